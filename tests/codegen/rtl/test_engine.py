"""The engine's clocks: revisit distance, where memories are read and written, what a project says of itself."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from counting import counting_engine, counting_network, counting_pipelines

from venom_hw.boards import load_board
from venom_hw.codegen.errors import CodegenError
from venom_hw.codegen.rtl.engine import MAX_REVISIT, default_fifo_depth, plan_engine
from venom_hw.codegen.rtl.project import load_rtl, write_rtl
from venom_hw.codegen.rtl.rates import window_fifo_depth


@pytest.fixture(scope="module")
def network():
    return counting_network()


def project(network, engine, out):
    return write_rtl(network, load_board("rfsoc4x2"), engine, out, name="counting", banner="by hand", head="parallel")


def test_clocks_of_a_pipeline_by_hand(network):
    """sum: at its port in clock 7 of the step, so addressed 2 before; its next value is there in clock 10."""
    engine = counting_engine(network, channels=8)
    assert engine.step_clock == 1 and engine.sample_delay == 0
    clocks = {m.name: (m.read_clock, m.value_clock, m.next_clock, m.write_clock) for m in engine.memories}
    # the tap's next value is there in clock 2, but the beat reads the tap in clock 5
    assert clocks == {"sum": (6, 8, 11, 11), "tap": (5, 7, 2, 6), "count": (9, 11, 12, 12)}
    assert engine.distances == {"window": 5, "sum": 6, "tap": 2, "count": 4}
    assert engine.revisit == 6 and engine.fifo_clock == 12 and engine.trace_clock == 12
    assert [(s.name, s.delay) for s in engine.sums] == [("sum", 1), ("count", 0)]
    assert engine.state_bits == 36 + 32 + network.step["count"].type.width + 24 + 4


def test_a_state_that_is_needed_at_once_moves_the_step_back(network):
    """A memory takes clocks 1 to 3: a state at its port in the step's clock 0 lets the step begin in clock 3."""
    step, head = counting_pipelines(network)
    early = replace(step, inputs={**step.inputs, "tap": replace(step.inputs["tap"], clock=0)})
    engine = plan_engine(network.step, early, counting_engine(network, channels=8).head, channels=8)
    assert engine.step_clock == 3 and engine.sample_delay == 2
    tap = next(m for m in engine.memories if m.name == "tap")
    assert (tap.read_clock, tap.next_clock, tap.write_clock) == (1, 4, 5)  # not before it is decided that it is used


def test_too_short_a_revisit_distance_names_state_and_clocks(network):
    with pytest.raises(CodegenError, match=r"revisit = 5 .*'sum' is read in clock 6 and written in clock 11 .* 6 "):
        counting_engine(network, channels=8, revisit=5)
    assert counting_engine(network, channels=8, revisit=6).revisit == 6
    assert counting_engine(network, channels=8, revisit=MAX_REVISIT).revisit == MAX_REVISIT
    with pytest.raises(CodegenError, match="revisit = 257 .* watches at most the last 256"):
        counting_engine(network, channels=8, revisit=MAX_REVISIT + 1)


def test_a_longer_pipeline_of_the_state_lengthens_the_distance(network):
    step, head = counting_pipelines(network)
    slow = replace(step, outputs={**step.outputs, "sum_out": replace(step.outputs["sum_out"], clock=15)})
    engine = plan_engine(network.step, slow, counting_engine(network, channels=8).head, channels=8)
    assert engine.distances["sum"] == 11 and engine.revisit == 11 and engine.fifo_clock == 16


def test_ports_that_do_not_fit_are_refused(network):
    step, _ = counting_pipelines(network)
    head = counting_engine(network, channels=8).head
    with pytest.raises(CodegenError, match="head: input 'energy_gain' is no state and no output of the step"):
        plan_engine(network.step, step, replace(head, inputs={**head.inputs, "energy_gain": 16}), channels=8)
    with pytest.raises(CodegenError, match="head: input 'sum' has 35 bits, the step gives 36"):
        plan_engine(network.step, step, replace(head, inputs={**head.inputs, "sum": 35}), channels=8)
    narrow = {**step.inputs, "sample": replace(step.inputs["sample"], width=8)}
    with pytest.raises(CodegenError, match="one input of two 16-bit words"):
        plan_engine(network.step, replace(step, inputs=narrow), head, channels=8)
    with pytest.raises(CodegenError, match="channels = 0: at least 1"):
        plan_engine(network.step, step, head, channels=0)
    with pytest.raises(CodegenError, match="fifo_depth = 0: at least 1"):
        plan_engine(network.step, step, head, channels=8, fifo_depth=0)


def test_default_depth_of_the_fifo_holds_what_may_come_at_once(network):
    """64 windows may end within 72 clocks; a place is held from a window's end to its result's delivery."""
    engine = counting_engine(network, channels=64)
    assert engine.latency == 18 and engine.head.interval == 1
    needed = window_fifo_depth(64, 9, 1, latency=18)
    assert needed > 18 and engine.fifo_depth == 64 >= needed + 16
    slow = replace(engine, head=replace(engine.head, interval=64))
    with pytest.raises(CodegenError, match="the head takes one every 64"):
        default_fifo_depth(slow)


def test_project_is_written_once_and_read_again(network, tmp_path):
    engine = counting_engine(network, channels=5, revisit=7)
    made = project(network, engine, tmp_path)
    assert [p.name for p in made.sources][-1] == "venom.sv" and all(p.exists() for p in made.sources)
    assert not project(network, engine, tmp_path).written
    again = load_rtl(tmp_path)
    assert again.manifest == json.loads(json.dumps(made.manifest)) and again.files == made.files
    assert (again.channels, again.revisit, again.max_steps) == (5, 7, 9)
    (tmp_path / "old_stage.sv").write_text("module old_stage; endmodule\n")
    project(network, engine, tmp_path)
    assert not (tmp_path / "old_stage.sv").exists()
    (tmp_path / "manifest.json").write_text("{}")
    with pytest.raises(CodegenError, match="expected 'venom-hw/rtl-project/1'"):
        load_rtl(tmp_path)


def test_vivado_script_reads_what_there_is(network, tmp_path):
    made = project(network, counting_engine(network, channels=5), tmp_path)
    script = (tmp_path / "vivado_project.tcl").read_text()
    assert all(f"$here/{name}" in script for name in made.files)
    assert "-part xczu48dr-ffvg1517-2-e" in script and "-period 1.9531" in script  # 512 MHz
