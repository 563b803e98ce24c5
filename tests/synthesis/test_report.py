"""The document, its tables and its picture, of areas written by hand; the command's errors."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from venom_hw.boards import load_board
from venom_hw.synth import main
from venom_hw.synthesis.area import Area
from venom_hw.synthesis.counts import Counts
from venom_hw.synthesis.depth import CROSSINGS, Timing
from venom_hw.synthesis.depth import Path as Longest
from venom_hw.synthesis.design import Measured, part
from venom_hw.synthesis.errors import SynthesisError
from venom_hw.synthesis.report import document
from venom_hw.synthesis.tables import plot, summary
from venom_hw.synthesis.units import Design, Unit


def timing(levels: int, carry: int = 0, **crossings) -> Timing:
    path = Longest(levels, carry, "a", "b")
    return Timing(path, path, dict.fromkeys(CROSSINGS, 0) | crossings)


def area(memory: Counts) -> Area:
    """venom: step (of two multiplier arrays), head (of one array), a memory."""
    children = {"venom": {"step": 1, "head": 1, "memory": 2}, "step": {"array": 2}, "head": {"array": 1}}
    units = {name: Unit(name, Path(), "", children.get(name, {})) for name in ("venom", *children["venom"], "array")}
    counts = {
        "venom": Counts(lut_logic=100, ff=200),
        "step": Counts(
            lut_logic=20_000, lut_srl=1000, srl_short=400, srl_short_ff=1600, ff=30_000, ramb36=30, ramb18=3
        ),
        "head": Counts(lut_logic=2000, ff=3000, ramb18=5),
        "memory": memory,
        "array": Counts(ff=10, dsp=220),
    }
    timings = {
        "venom": timing(2),
        "step": timing(3, 1, from_dsp=1),
        "head": timing(6, 2),
        "memory": timing(0),
        "array": timing(1, to_dsp=1),
    }
    return Area(Design("venom", units, Path()), counts, timings)


@pytest.fixture
def found():
    projects = {n: SimpleNamespace(manifest={"clocks": {"step_latency": 150}}) for n in (2048, 512)}
    alkaid = Area(Design("alkaid_step", {"alkaid_step": Unit("alkaid_step", Path(), "")}, Path()),
                  {"alkaid_step": Counts(lut_logic=40_000)}, {"alkaid_step": timing(9, 4)})  # fmt: skip
    return Measured(
        {2048: area(Counts(ramb36=60)), 512: area(Counts(ramb36=15))},
        area(Counts(ramb36=60)),
        projects,
        SimpleNamespace(clocks=70, register_bits=9, checked=2000),
        alkaid,
        SimpleNamespace(channels=2048, lanes=8, slots=64, ring=11),
        Area(Design("d", {"d": Unit("d", Path(), "")}, Path()), {"d": Counts(ramb36=32)}, {"d": timing(4)}),
    )


@pytest.fixture
def report(found):
    return document(found, load_board("rfsoc4x2"), model="mine", datapath_hash="12ab")


def test_engine_and_head_are_apart(found, report):
    assert part(found.largest, "engine") == (
        Counts(
            lut_logic=20_100, lut_srl=1000, ff=30_220, dsp=440, ramb36=150, ramb18=3, srl_short=400, srl_short_ff=1600
        ),
        3,  # not the head's 6
    )
    assert report["engine"] == {
        "lut": 21_100, "lut_srl": 1000, "lut_srl_short": 400, "lut_ram": 0, "ff": 30_220, "ff_of_srl_short": 1600,
        "dsp": 440, "bram36": 151.5, "uram": 0, "lut_levels": 3,
    }  # fmt: skip
    assert report["head"]["lut"] == 2000 and report["head"]["dsp"] == 220 and report["head"]["bram36"] == 2.5
    assert report["head"]["lut_levels"] == 6
    assert report["dispatcher"]["bram36"] == 32 and report["dispatcher"]["slots"] == 64
    assert report["step"]["lut"] == 21_000 and report["step"]["clocks"] == 150
    assert report["alkaid_step"]["lut"] == 40_000 and report["alkaid_step"]["lut_levels"] == 9
    assert report["alkaid_step"]["ff"] == 9  # as scheduled
    assert all(aim["reached"] for aim in report["aims"].values())


def test_a_missing_part_is_an_error(found):
    with pytest.raises(SynthesisError, match="venom has no module 'dispatcher'"):
        part(found.largest, "dispatcher")


def test_budgets_are_of_all_engines_with_their_heads(report):
    one, four = report["budgets"]
    assert (one["engines"], one["channels"], four["engines"], four["channels"]) == (1, 2048, 4, 512)
    assert one["lut"] == 23_100 and four["lut"] == 4 * 23_100
    assert one["bram36"] == 154 and four["bram36"] == 4 * 64
    assert one["lutram"] == 1000 and one["of_board"]["lutram"] == round(1000 / 213_600, 4)
    assert four["dsp"] == 2640 and four["of_free"]["dsp"] == round(2640 / 3700, 4)
    assert one["fits_board"] and four["fits_beside_gen3"]


def test_what_does_not_fit_and_aims_that_are_missed_are_said(found):
    small = area(Counts(ramb36=600))
    found.areas[2048].counts.update(small.counts)
    report = document(found, load_board("rfsoc4x2"), model="mine", datapath_hash="12ab")
    assert not report["budgets"][0]["fits_board"] and not report["aims"]["bram36"]["reached"]
    text = summary(report)
    assert "of board: does not fit" in text and "bram36 1,231.5 (aim 200) missed" in text


def test_modules_are_listed_each_alone_the_largest_first(report):
    rows = report["modules"]
    assert [row["module"] for row in rows][:2] == ["step", "head"]
    array = next(row for row in rows if row["module"] == "array")
    assert (array["instances"], array["dsp"], array["crossings"]["to_dsp"]) == (3, 220, 1)


def test_the_summary_has_every_number(report):
    text = summary(report)
    for said in ("engine, without head", "21,100", "151.5", "array x 3", "1 x 2,048 contexts", "4 x 512 contexts",
                 "of free beside Gen3: fits", "7-series", "deepest path: 6 levels, 2 of them carry, in head",
                 "to dsp 1", "20,700 LUT, 31,820 FF", "aims of one engine: all reached",
                 "150 here, 70 by alkaid"):  # fmt: skip
        assert said in text, said


def test_the_document_is_json_and_has_a_picture(report, tmp_path):
    assert json.loads(json.dumps(report)) == report
    plot(report, tmp_path / "synth.png")
    assert (tmp_path / "synth.png").read_bytes().startswith(b"\x89PNG")


def test_without_peer_and_packing_their_rows_are_absent(found):
    alone = Measured(found.areas, None, found.projects)
    report = document(alone, load_board("rfsoc4x2"), model="mine", datapath_hash="12ab")
    text = summary(report)
    assert "alkaid" not in text and "7-series" not in text and "dispatcher" not in text and "alkaid_step" not in report


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["--board", "nothing"], "unknown board 'nothing'"),
        (["--model", "nothing"], "nothing"),
        (["--jobs", "0"], "--jobs 0: at least 1"),
        (["--strategy", "products"], "strategy 'products'; expected NAME=VALUE with a name of constant_matrix"),
        (["--strategy", "products=magic"], "magic"),
    ],
)
def test_the_commands_errors_are_one_line(arguments, said, capsys):
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and said in error and error.count("\n") == 1
