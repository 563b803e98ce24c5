"""Yosys on small modules whose sites are known: inference, counting, units and what is kept."""

from pathlib import Path

import numpy as np
import pytest

from venom_hw.synthesis import area as area_module
from venom_hw.synthesis.area import synthesise
from venom_hw.synthesis.counts import Counts
from venom_hw.synthesis.errors import SynthesisError
from venom_hw.synthesis.units import digest, readable_names

SOURCE = Path(__file__).parent / "sites.sv"
KEEP = ("adders", "products", "tables", "lut_table", "state_memory", "result_fifo", "delay", "crossing", "half")


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    folder, rng = tmp_path_factory.mktemp("sites"), np.random.default_rng(1)
    for name, entries, width in (("wide", 1024, 64), ("narrow", 4096, 12), ("small", 64, 8)):
        words = (int.from_bytes(rng.bytes(8), "little") % (1 << width) for _ in range(entries))
        (folder / f"{name}.mem").write_text("".join(f"{word:x}\n" for word in words))
    return [SOURCE, *sorted(folder.glob("*.mem"))]


@pytest.fixture(scope="module")
def sites(sources, tmp_path_factory):
    return synthesise(sources, "sites", tmp_path_factory.mktemp("work"), keep=KEEP, progress=False)


KNOWN = {
    # a carry-propagate adder: a LUT and a flip-flop a bit; the top bit of a sum of sign extensions is one of them
    "adders": Counts(lut_logic=33, ff=35, carry4=10),
    "tables": Counts(ff=64 + 12 + 12, ramb36=2, ramb18=3),  # 1024 x 64; 4096 x 12 with two read ports
    "state_memory": Counts(ff=72, ramb36=1),  # 512 x 72; the clear is the flip-flops' reset: no LUT
    "result_fifo": Counts(ff=72, uram=1),  # 4096 x 72
    "delay": Counts(lut_srl=16),  # 12 clocks in one SRL16 a bit
    "delay__2": Counts(ff=32),  # 2 clocks
    "delay__3": Counts(lut_srl=16, srl_short=16, srl_short_ff=64),  # 4 clocks
    "half": Counts(lut_logic=3),
    "crossing": Counts(ff=24),
    "sites": Counts(),
}


@pytest.mark.parametrize("name", KNOWN)
def test_sites_of_a_module_are_those_that_are_known(sites, name):
    assert sites.counts[name] == KNOWN[name]


def test_products_go_to_dsp_unless_told_not_to(sites):
    found = sites.counts["products"]
    assert found.dsp == 1
    assert 100 <= found.lut <= 170  # 8 x 8 in LUT, twice: a square, marked at its register, and one in a module
    assert found.ff == 24 + 2 * 25 + 3 * 16


def test_a_distributed_table_is_logic(sites):
    found = sites.counts["lut_table"]
    assert found.ramb36 == found.ramb18 == 0
    assert 1 <= found.lut_logic <= 8 and found.ff == 8


def test_the_total_counts_every_instance(sites):
    assert sites.design.instances()["half"] == 2
    expected = sum((sites.counts[name] * sites.design.instances()[name] for name in sites.counts), Counts())
    assert sites.total() == expected
    assert sites.total("crossing") == Counts(lut_logic=6, ff=24)
    assert sites.total().bram36 == 4.5 and sites.total().uram == 1


def test_depth_of_adders_is_a_lut_and_a_chain(sites):
    path = sites.timings["adders"].longest
    assert (path.levels, path.carry) == (2, 1)
    assert path.begin.startswith("sum[") and path.end.startswith("total[")


def test_a_path_through_the_ports_of_two_modules_is_found(sites):
    assert sites.timings["half"].longest.levels == 0  # no register in it
    assert sites.timings["crossing"].longest.levels == 4  # 12 bits: two levels, twice
    assert sites.timings["crossing"].longest.begin.startswith("a_1")


def test_blocks_are_crossings_not_levels(sites):
    assert sites.timings["tables"].longest.levels == 0
    assert sites.timings["tables"].crossings == dict.fromkeys(("to_dsp", "from_dsp", "to_bram", "from_bram"), 0)


def test_unchanged_units_are_not_synthesised_again(sources, tmp_path, monkeypatch):
    ran = []
    monkeypatch.setattr(area_module, "run_yosys", spy := lambda *a, **k: ran.append(a[2]) or _real(*a, **k))
    assert spy
    some = {"keep": ("adders", "half"), "cache": tmp_path / "cache", "progress": False}
    first = synthesise(sources, "crossing", tmp_path / "a", **some)
    assert ran == ["map"]
    again = synthesise(sources, "crossing", tmp_path / "b", **some)
    assert ran == ["map"] and again.counts == first.counts and again.timings == first.timings
    changed = tmp_path / "changed.sv"
    changed.write_text(SOURCE.read_text().replace("assign y = ^a", "assign y = |a"))
    synthesise([changed, *sources[1:]], "crossing", tmp_path / "c", **some)
    assert ran == ["map", "map"]  # `half` alone: `crossing` is the same
    assert len(list((tmp_path / "cache").iterdir())) == 3


_real = area_module.run_yosys


def test_the_packed_family_puts_registers_into_dsp(sources, tmp_path):
    found = synthesise(sources, "products", tmp_path, family="xc7", progress=False).total()
    assert found.dsp == 1 and found.ff < 24 + 2 * 25 + 3 * 16


def test_7_series_has_block_ram_where_the_board_has_uram(sources, tmp_path):
    found = synthesise(sources, "result_fifo", tmp_path, family="xc7", progress=False).total()
    assert found.uram == 0 and found.bram36 == 8  # 4096 x 72


def test_errors_name_what_is_wrong(sources, tmp_path):
    with pytest.raises(SynthesisError, match="nothing"):
        synthesise(sources, "nothing", tmp_path, progress=False)
    with pytest.raises(SynthesisError, match="family 'ice40'; expected one of xcup, xc7"):
        synthesise(sources, "sites", tmp_path, family="ice40", progress=False)
    bad = tmp_path / "bad.sv"
    bad.write_text("module bad (input logic a);\n  assign b = c +;\nendmodule\n")
    with pytest.raises(SynthesisError, match=r"bad.sv:2.*syntax error"):
        synthesise([bad], "bad", tmp_path, progress=False)


def test_names_with_parameters_become_readable():
    names = readable_names(["fifo", "$paramod\\fifo\\DEPTH=s32'0001", "$paramod$12ab\\delay", "top"])
    assert names == {
        "fifo": "fifo",
        "$paramod\\fifo\\DEPTH=s32'0001": "fifo__2",
        "$paramod$12ab\\delay": "delay",
        "top": "top",
    }


def test_the_digest_sees_through_made_up_names_and_nothing_else():
    text = "autoidx 7\ncell $add $add$a.sv:3$12\n  connect \\A \\x\ncell $add $add$a.sv:4$13\n"
    filled = "parameter \\PRIORITY 812\n"
    assert digest(filled) == digest(filled.replace("812", "44")) != digest(filled.replace("PRIORITY", "WIDTH"))
    assert digest(text) == digest(text.replace("$12", "$99").replace("autoidx 7", "autoidx 9"))
    assert digest(text) != digest(text.replace("\\x", "\\y"))
    assert digest(text) != digest(text.replace("cell $add $add$a.sv:4", "cell $sub $add$a.sv:4"))
