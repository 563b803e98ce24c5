"""Netlists of LUTs and flip-flops under the benches of the RTL they were made of: the same results, faults seen."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sim.netlist_device import netlist_device
from sim.runner import golden_run, run_device
from tests.codegen.rtl.head_bench import HeadBench, Stopped, golden
from tests.codegen.rtl.head_models import head_of, sums
from tests.codegen.tiny_venom import tiny_venom
from venom_hw.boards import load_board
from venom_hw.codegen.rtl.head import render_head
from venom_hw.codegen.rtl.project import render_rtl
from venom_hw.synthesis.netlist import simulation_netlist

CHANNELS = 5


def head_netlist(graph, folder: Path, *, interval: int = 64):
    """A serial head, with the netlist in the place of its sources."""
    unit = render_head(graph, interval=interval, channel_bits=11)
    folder.mkdir(parents=True)
    for name, text in unit.files.items():
        (folder / name).write_text(text)
    sources = [folder / name for name in unit.files]
    files = simulation_netlist(sources, unit.name, folder / "yosys", progress=False)
    return replace(unit, files={f"netlist_{n}.sv": path.read_text() for n, path in enumerate(files)})


def flip(text: str, seed: int, bits: int = 1 << 21) -> str:
    """The Verilog of a netlist with `bits` of the contents of one LUT6 flipped, one bit unless told otherwise."""
    found = list(re.finditer(r"LUT6 #\(\s*\.INIT\(64'h([0-9a-f]+)\)", text))
    match = found[np.random.default_rng(seed).integers(len(found))]
    wrong = f"{int(match.group(1), 16) ^ bits:016x}"
    return text[: match.start(1)] + wrong + text[match.end(1) :]


def results(unit, graph, folder, count=300):
    values, channels = sums(graph, count, 3), np.random.default_rng(3).integers(0, 2048, count)
    bench = HeadBench(unit, graph, folder, build=folder.parent / "build", lint=False)
    run = bench.run(values, channels, wait_in=20, wait_out=30)
    return run.results, golden(graph, values, channels)


@pytest.mark.slow
def test_the_netlist_of_a_head_gives_the_golden_results_and_a_wrong_lut_others(tmp_path):
    graph = head_of("tiny")
    unit = head_netlist(graph, tmp_path / "rtl", interval=16)
    text = "".join(unit.files.values())
    assert "LUT6 #(" in text and "FDRE #(" in text
    last = list(unit.files)[-1]
    assert not re.search(r"^\s*(DSP48|RAMB|URAM)", unit.files[last], re.MULTILINE)
    found, expected = results(unit, graph, tmp_path / "good")
    np.testing.assert_array_equal(found, expected)
    for seed in range(3):
        wrong = replace(unit, files={**unit.files, last: flip(unit.files[last], seed)})
        try:
            found, _ = results(wrong, graph, tmp_path / f"wrong{seed}")
        except Stopped:
            return
        if not np.array_equal(found, expected):
            return
    pytest.fail("none of three inverted LUTs was seen")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ptsi", "inhf"])
def test_the_netlist_of_a_shipped_models_head_gives_the_golden_results(name, tmp_path):
    graph = head_of(name)
    found, expected = results(head_netlist(graph, tmp_path / "rtl"), graph, tmp_path / "bench", 500)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.slow
def test_the_netlist_of_an_engine_passes_the_bench_and_a_wrong_one_does_not(tmp_path):
    datapath = tiny_venom()
    project = render_rtl(datapath, load_board("rfsoc4x2"), tmp_path / "rtl", channels=CHANNELS, fifo_depth=64)
    sources = [*project.sources, *project.memory_files]
    files = simulation_netlist(sources, project.top, tmp_path / "yosys", keep=("step",), progress=False)
    model = golden_run(datapath.step, datapath.head)
    device = netlist_device(project, files, optimise="-O0")
    result = run_device(device, model, tmp_path / "bench", model="tiny", windows=12, progress=False)
    assert result.passed, result.mismatches[:5]
    step = next(n for n, path in enumerate(files) if "module step(" in path.read_text())
    for seed in range(3):
        wrong = tmp_path / f"wrong{seed}.v"
        wrong.write_text(flip(files[step].read_text(), seed, bits=2**64 - 1))
        device = netlist_device(project, [*files[:step], wrong, *files[step + 1 :]], optimise="-O0")
        out = tmp_path / f"bench{seed}"
        result = run_device(
            device, model, out, model="tiny", windows=6, scenarios=["back_to_back"], progress=False
        )
        if not result.passed:
            return
    pytest.fail("none of three inverted LUTs was seen")
