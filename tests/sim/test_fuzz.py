"""The fuzzer: cases and their files, what it finds and shrinks (planted bugs), and a few cases through everything."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sim.fuzz import renderings
from sim.fuzz.__main__ import main
from sim.fuzz.campaign import campaign
from sim.fuzz.case import FuzzCase, load_case, save_case
from sim.fuzz.difference import Difference
from sim.fuzz.errors import FuzzError, Refused
from sim.fuzz.expected import reference
from sim.fuzz.generate import VENOM_EVERY, random_case
from sim.fuzz.rebuild import least_head
from sim.fuzz.renderings import check
from sim.fuzz.shrink import Shrinker, size
from sim.fuzz.step_vectors import step_vectors
from sim.fuzz.venom import RANGES
from sim.fuzz.workshop import Workshop
from venom_hw.codegen.errors import CodegenError
from venom_hw.codegen.rtl.emit import render_pipeline
from venom_hw.codegen.rtl.project import render_rtl
from venom_hw.codegen.stimulus import Pulse
from venom_hw.datapath.bounds import OPERATIONS
from venom_hw.datapath.fixed import ROUNDING_NAMES, FixedType, Rounding
from venom_hw.datapath.graph import GraphBuilder
from venom_hw.datapath.model import Datapath
from venom_hw.datapath.ops import DatapathError
from venom_hw.datapath.reference import run_step

FOUND = sorted((Path(__file__).parent / "fuzz_cases").glob("*.json"))
CASES = 200


@pytest.fixture(scope="module")
def workshop(tmp_path_factory):
    return Workshop(tmp_path_factory.mktemp("tools"))


def differs(name, case, folder, workshop) -> Difference | None:
    """The difference of a rendering that takes the case."""
    checked = check(name, case, folder, workshop)
    assert checked.compared, checked.refused
    return checked.difference


# --------------------------------------------------------------------------------------------------- cases


def test_a_case_is_what_its_seed_and_number_say():
    first, again, other = random_case(3, 5), random_case(3, 5), random_case(4, 5)
    assert first.datapath.hash == again.datapath.hash and first.options == again.options
    assert all(np.array_equal(p.samples, q.samples) for p, q in zip(first.pulses, again.pulses, strict=True))
    assert first.datapath.hash != other.datapath.hash


def test_cases_cover_every_operation_and_every_number_of_a_configuration():
    cases = [random_case(1, number) for number in range(40 * VENOM_EVERY)]
    ops = {node.op for case in cases for graph in (case.datapath.step, case.datapath.head) for node in graph.nodes}
    assert ops == set(OPERATIONS)
    shapes = [case.datapath.meta["shape"] for case in cases if case.name.startswith("venom")]
    for name, (lo, hi) in RANGES.items():
        drawn = {shape[name] for shape in shapes}
        assert lo <= min(drawn) and max(drawn) <= hi and len(drawn) > (hi - lo) // 2, name
    assert {shape["norm"] for shape in shapes} == {True, False}
    assert len({case.options.get("interval", 1) for case in cases}) == 4


def test_a_file_gives_the_case_back(tmp_path):
    case = random_case(1, VENOM_EVERY)
    back = load_case(save_case(case, tmp_path / "case.json", about={"rendering": "hls"}))
    assert back.datapath.hash == case.datapath.hash and back.about == {"rendering": "hls"}
    one, two = (reference(c.datapath, c.stimulus(2)) for c in (case, back))
    assert np.array_equal(one.energy, two.energy) and one.energy.size
    assert (back.channels, back.order, back.options) == (case.channels, case.order, case.options)


def test_files_that_are_no_cases_are_refused(tmp_path):
    path = tmp_path / "case.json"
    with pytest.raises(FuzzError, match="no readable fuzz case"):
        load_case(path)
    path.write_text('{"format": "venom-hw/datapath"}')
    with pytest.raises(FuzzError, match="expected 'venom-hw/fuzz-case/1'"):
        load_case(path)
    path.write_text('{"format": "venom-hw/fuzz-case/1", "constants": {}}')
    with pytest.raises(FuzzError, match="field 'step' is missing"):
        load_case(path)


def test_step_vectors_start_windows_at_zero_and_follow_their_states():
    case = random_case(1, VENOM_EVERY)
    stimulus = case.stimulus(2)
    vectors = step_vectors(case.datapath.step, stimulus, expected := reference(case.datapath, stimulus))
    runs = stimulus.runs(case.datapath.step.max_steps)
    used = runs.run >= 0
    assert len(vectors) == used.sum()
    fresh = runs.step[used] == 0
    assert not vectors.inputs["h"][fresh].any() and vectors.inputs["h"][~fresh].any()
    assert np.array_equal(vectors.outputs["h"], expected.states["h"][runs.run[used], runs.step[used]])


# --------------------------------------------------------------------------------------------------- golden model


@pytest.mark.parametrize("first", range(0, 160, 40))
def test_numpy_golden_model_on_small_graphs(first, tmp_path, workshop):
    numbers = range(first, first + 40)
    checked = {number: check("numpy", random_case(2, number), tmp_path, workshop) for number in numbers}
    assert not {number: c.difference for number, c in checked.items() if c.difference}
    refused = [c for c in checked.values() if not c.compared]
    assert all(c.refused.keys() == {"numpy"} for c in refused)
    assert len(refused) < 20, "the other engine is for the few"


REFUSED = 2
"""Number of a case of seed 2 that the NumPy engine refuses, and the compiled one takes."""


def test_what_the_numpy_engine_refuses_the_compiled_one_checks(tmp_path, monkeypatch, workshop):
    case = random_case(2, REFUSED)
    alone = check("numpy", case, tmp_path, workshop)
    assert not alone.compared and alone.difference is None and "node" in alone.refused["numpy"]
    both = check("golden", case, tmp_path, workshop)
    assert both.compared and both.difference is None and both.refused == alone.refused
    wrong = Difference("native", "planted")
    monkeypatch.setitem(renderings.RENDERINGS, "native", lambda *given: wrong)
    assert check("golden", case, tmp_path, workshop).difference is wrong


def refuses_odd_channels(case, folder, workshop):
    """A rendering for some cases only."""
    if case.channels % 2:
        raise Refused(f"{case.channels} channels")


def test_a_refused_case_is_not_counted_and_another_one_drawn(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(renderings.RENDERINGS, "planted", refuses_odd_channels)
    monkeypatch.setitem(renderings.RENDERINGS, "mended", mended)
    odd = [random_case(2, number).channels % 2 for number in range(30)]
    drawn = next(n for n in range(31) if n - sum(odd[:n]) == 10)
    assert drawn > 10
    summary = campaign(2, 10, ["mended", "planted"], tmp_path, jobs=1)
    assert (summary.cases, summary.complete, summary.failed) == (drawn, 10, 0)
    assert summary.checks == {"mended": drawn, "planted": 10} and summary.refused == {"planted": drawn - 10}
    arguments = ["--count", "10", "--seed", "2", "--jobs", "1", "--out", str(tmp_path), "--renderings"]
    assert main([*arguments, "mended,planted"]) == 0
    printed = capsys.readouterr().out
    assert f"compared: mended {drawn}, planted 10; refused by planted {drawn - 10}" in printed
    assert "ALL EQUAL: 10 cases through all of mended, planted" in printed


def test_a_campaign_whose_cases_are_all_refused_ends_and_fails(tmp_path, monkeypatch, capsys):
    def refuses(case, folder, workshop):
        """A rendering for no case."""
        raise Refused("no")

    monkeypatch.setitem(renderings.RENDERINGS, "planted", refuses)
    arguments = ["--count", "2", "--jobs", "1", "--out", str(tmp_path), "--renderings", "planted"]
    assert main(arguments) == 1
    printed = capsys.readouterr().out
    assert "compared: planted 0; refused by planted 6" in printed and "BUT 2 CASES TOO FEW" in printed


@pytest.mark.parametrize("path", FOUND, ids=lambda path: path.stem)
def test_what_was_found_before_stays_found(path, tmp_path, workshop):
    case = load_case(path)
    assert differs(case.about["rendering"], case, tmp_path, workshop) is None


# --------------------------------------------------------------------------------------------------- planted bugs


def rounds_down(case, folder, workshop):
    """A rendering that has forgotten half-even rounding."""
    step = case.datapath.step
    plain = lambda node: replace(node, attrs={**node.attrs, "rounding": "floor"})  # noqa: E731
    nodes = tuple(plain(node) if node.op == "requantise" else node for node in step.nodes)
    stimulus = case.stimulus(2)
    vectors = step_vectors(step, stimulus, reference(case.datapath, stimulus))
    wrong = replace(step, nodes=nodes)
    try:
        result = run_step(wrong, {"sample": vectors.inputs["sample"]}, vectors.inputs)
    except DatapathError as error:  # its own bounds differ
        raise CodegenError(f"node 'x{len(nodes)}': {type(error).__name__}") from None
    return vectors.compare("planted", {**result.outputs, **result.states})


def mended(case, folder, workshop):
    """The rendering without its bug."""


def test_a_planted_bug_shrinks_to_one_requantise(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(renderings.RENDERINGS, "planted", rounds_down)
    summary = campaign(7, 12, ["golden", "planted"], tmp_path, jobs=1, shrink_seconds=600)
    values = [failure for failure in summary.failures if not failure.small.error]
    assert summary.cases == 12 and len(values) == 1 and values[0].small.rendering == "planted"
    small = load_case(values[0].path)
    original = random_case(7, int(values[0].case.rsplit("-", 1)[1]))
    step = small.datapath.step
    half_even = [node for node in step.nodes if node.attrs.get("rounding") == "half_even"]
    assert len(half_even) == 1 and len(step.nodes) <= 5 < len(original.datapath.step.nodes)
    assert [len(pulse.samples) for pulse in small.pulses] == [1] and small.channels == 1
    assert len(values[0].path.read_text()) < 4000

    replay = ["--replay", str(values[0].path), "--out", str(tmp_path)]
    assert main(replay) == 1
    assert "planted" in capsys.readouterr().out
    monkeypatch.setitem(renderings.RENDERINGS, "planted", mended)
    assert main(replay) == 0
    assert "equal to the reference" in capsys.readouterr().out


def test_a_planted_bug_of_a_venom_configuration_shrinks(tmp_path, monkeypatch):
    monkeypatch.setitem(renderings.RENDERINGS, "planted", rounds_down)
    number = next(
        n for n in range(0, 99, VENOM_EVERY)
        if (found := differs("planted", random_case(1, n), tmp_path, None)) and not found.error
    )  # fmt: skip
    case = random_case(1, number)
    fails = lambda c: (d := differs("planted", c, tmp_path, None)) is not None and not d.error  # noqa: E731
    small = Shrinker(fails, seconds=600).run(case)
    assert fails(small) and size(small)[0] <= 12 < size(case)[0] // 4


def test_errors_of_one_kind_are_one_kind(tmp_path, monkeypatch):
    def fails(case, folder, workshop):
        raise CodegenError(f"node 'add_{case.channels}': {case.channels} bits in {folder}/step.sv")

    monkeypatch.setitem(renderings.RENDERINGS, "planted", fails)
    one, two = (differs("planted", replace(random_case(1, 1), channels=n), tmp_path, None) for n in (1, 2))
    assert one.error == "CodegenError" and one.message == "node 'add_1': 1 bits in step.sv"
    assert one.kind == two.kind != Difference("planted", "node 'mul_1'", error="ValueError").kind


def small_case() -> FuzzCase:
    """One requantise of the sample, watched; a sum behind it."""
    builder = GraphBuilder("step", max_steps=3)
    sample = builder.input("sample", (2,), FixedType(True, 16, 4))
    rounded = builder.requantise(sample, FixedType(True, 9, 1), name="rounded")
    total = builder.add(rounded, builder.constant([5, -9], FixedType(True, 8, 2)))
    builder.next_state(builder.state("old", (2,), builder.facts[total].type), total)
    builder.accumulator("sum", rounded, out="sum_out")
    step = builder.build({})
    pulses = [Pulse(c % 2, np.array([[37 * c, -51 * c], [c, 20 - c]]) << 2) for c in range(12)]
    return FuzzCase("small", Datapath(step, least_head(step), {"max_steps": 3}), tuple(pulses), 2)


def test_a_wrong_rounding_of_the_hls_cpp_is_found(tmp_path, monkeypatch, workshop):
    assert differs("hls", small_case(), tmp_path / "right", workshop) is None
    names = ROUNDING_NAMES[Rounding.HALF_EVEN]
    monkeypatch.setitem(ROUNDING_NAMES, Rounding.HALF_EVEN, replace(names, ap_fixed="AP_TRN"))
    found = differs("hls", small_case(), tmp_path / "wrong", workshop)
    assert found is not None and not found.error and found.tensor in ("old", "sum")


def test_a_wrong_adder_of_the_rtl_is_found(tmp_path, monkeypatch, workshop):
    assert differs("rtl", small_case(), tmp_path / "right", workshop) is None
    assert differs("rtl_step", small_case(), tmp_path / "right", workshop) is None

    wrong = lambda text: text.replace("<= sum_0 + ", "<= sum_0 - ")  # noqa: E731

    def pipeline(*given, **options):
        made = render_pipeline(*given, **options)
        assert any(wrong(text) != text for text in made.files.values())
        return replace(made, files={name: wrong(text) for name, text in made.files.items()})

    def engine(*given, **options):
        made = render_rtl(*given, **options)
        assert any(wrong(source.read_text()) != source.read_text() for source in made.sources)
        for source in made.sources:
            source.write_text(wrong(source.read_text()))
        return made

    monkeypatch.setattr(renderings, "render_pipeline", pipeline)
    monkeypatch.setattr(renderings, "render_rtl", engine)
    for name in ("rtl_step", "rtl"):
        found = differs(name, small_case(), tmp_path / "wrong", workshop)
        assert found is not None and not found.error and found.tensor == "sum", str(found)


# --------------------------------------------------------------------------------------------------- the command


def test_a_few_cases_through_golden_hls_and_rtl(tmp_path, capsys):
    assert main(["--count", "2", "--seed", "1", "--shrink", "0", "--out", str(tmp_path)]) == 0
    assert "ALL EQUAL: 2 cases through all of golden, hls, rtl" in capsys.readouterr().out


@pytest.mark.slow
def test_many_cases_through_golden_hls_and_rtl(tmp_path, capsys):
    result = main(["--count", str(CASES), "--seed", "2026", "--shrink", "120", "--out", str(tmp_path)])
    printed = capsys.readouterr().out
    assert result == 0 and f"ALL EQUAL: {CASES} cases through all of golden, hls, rtl" in printed, printed


@pytest.mark.slow
def test_the_compiled_golden_model_and_the_circuit_on_many_cases(tmp_path, capsys):
    arguments = ["--count", "60", "--seed", "2027", "--renderings", "native,circuit,rtl_step", "--out", str(tmp_path)]
    assert main(arguments) == 0, capsys.readouterr().out


def test_wrong_arguments_are_one_line(tmp_path, capsys):
    assert main(["--renderings", "golden,vhdl"]) == 2
    assert "no rendering 'vhdl'; there are golden" in capsys.readouterr().err
    assert main(["--replay", str(tmp_path / "none.json")]) == 2
    assert "no readable fuzz case" in capsys.readouterr().err
    assert main(["--count", "0"]) == 2
