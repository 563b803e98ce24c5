"""Generated RTL on the whole bench: the tiny network at several sizes, intervals and heads, and the shipped models."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "codegen"))
from tiny_venom import tiny_venom

from sim.device import SIM_FOLDER
from sim.rtl_bench import run_rtl_bench
from sim.rtl_device import rtl_device
from sim.runner import golden_run, run_device
from sim.toolchain import verilator_environment
from venom_hw.boards import load_board
from venom_hw.codegen.errors import CodegenError
from venom_hw.codegen.rtl.project import render_rtl
from venom_hw.flow.model_files import find_model
from venom_hw.interchange.importer import import_venom

FIFO = 64
"""More than the windows of any scenario here: with short windows the head is slower than the engine."""


def bench(datapath, out, *, scenarios=None, windows=16, fifo_depth=FIFO, **given):
    project = render_rtl(datapath, load_board("rfsoc4x2"), out / "rtl", fifo_depth=fifo_depth, **given)
    result = run_rtl_bench(
        project, datapath, out, windows=windows, scenarios=scenarios, optimise="-O0", progress=False
    )
    assert result.passed, result.table()
    assert result.state_words == datapath.state_words * sum(s.used_beats for s in result.scenarios)
    assert result.results > windows
    return project, result


SLOW = pytest.mark.slow
SIZES = [
    pytest.param(5, 1, "serial", id="5 channels"),
    pytest.param(2, 4, "parallel", id="2 channels, interval 4"),
    pytest.param(1, 1, "serial", id="1 channel", marks=SLOW),
    pytest.param(2, 2, "serial", id="2 channels, interval 2", marks=SLOW),
    pytest.param(8, 8, "serial", id="8 channels, interval 8", marks=SLOW),
]


@pytest.mark.parametrize(("channels", "interval", "head"), SIZES)
def test_tiny_network_passes_every_scenario(tmp_path, channels, interval, head):
    network = tiny_venom()
    project, _ = bench(network, tmp_path, channels=channels, interval=interval, head=head)
    if interval > 1:  # the rule about TREADY can fail: the same engine, said to be twice as fast
        device = replace(rtl_device(project, tmp_path / "states.trace", optimise="-O0"), interval=interval // 2)
        given = {"built": tmp_path / "built", "scenarios": ["lengths"], "progress": False}
        wrong = run_device(device, golden_run(network.step, network.head), tmp_path / "wrong", **given)
        said = f"TREADY came after {interval} clocks, expected {interval // 2}"
        if interval == 2:  # said to take a sample every clock, whose TREADY must never fall
            said = "the input's TREADY fell outside reset"
        assert said in wrong.scenarios[0].differences[-1]


@pytest.mark.slow
def test_tiny_network_with_2048_channels(tmp_path):
    """Every channel has its windows, back to back and restarted; memories in block RAM."""
    _, result = bench(
        tiny_venom(), tmp_path, channels=2048, fifo_depth=4096, windows=2048, scenarios=["back_to_back", "restart"]
    )
    assert result.results >= 2 * 2048


@pytest.mark.slow
@pytest.mark.parametrize("model", ["ptsi", "inhf"])
def test_shipped_model_passes_every_scenario(tmp_path, model):
    files = find_model(model)
    bench(import_venom(files.step, files.head), tmp_path, channels=8, windows=8, fifo_depth=128)


@pytest.mark.parametrize("channels", [1, 3, 128])
@pytest.mark.parametrize("interval", [1, 4])
def test_generated_text_has_no_warning(tmp_path, channels, interval):
    """Verilator's -Wall, for simulation (with the state trace) and for synthesis."""
    project = render_rtl(tiny_venom(), load_board("rfsoc4x2"), tmp_path, channels=channels, interval=interval)
    command = ["verilator", "--lint-only", "-Wall", "--top-module", "venom"]
    for further in ([str(SIM_FOLDER / "state_trace.sv")], ["-DSYNTHESIS"]):
        done = subprocess.run(
            [*command, *further, *map(str, project.sources)],
            capture_output=True, text=True, env=verilator_environment(), cwd=tmp_path,
        )  # fmt: skip
        assert done.returncode == 0 and not done.stderr, done.stderr


def test_numbers_that_make_no_sense_are_refused(tmp_path):
    network, board = tiny_venom(), load_board("rfsoc4x2")
    for given, message in (
        ({"channels": 0}, "channels = 0: at least 1"),
        ({"channels": 4, "interval": 3}, "interval 3: one of 1, 2, 4, 8"),
        ({"channels": 4, "head": "quick"}, "head 'quick'; one of serial, parallel"),
        ({"channels": 4, "calibration": "none"}, "calibration 'none'; one of"),
        ({"channels": 4, "revisit": 3}, "revisit = 3 clocks: state 'h' is read in clock"),
        ({"channels": 4, "fifo_depth": 0}, "fifo_depth = 0"),
    ):
        with pytest.raises(CodegenError, match=message):
            render_rtl(network, board, tmp_path, **given)
