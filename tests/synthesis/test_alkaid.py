"""The step by alkaid: the same integers as the golden step, as program and as Verilog."""

import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "codegen"))
from tiny_venom import tiny_venom

from sim.toolchain import verilator_environment
from venom_hw.datapath.fixed import FixedType, Overflow, Rounding
from venom_hw.datapath.graph import GraphBuilder
from venom_hw.datapath.passes.factor_decay import factor_decay
from venom_hw.flow.model_files import find_model
from venom_hw.interchange.importer import import_venom
from venom_hw.synthesis.alkaid_step import (
    check_program,
    check_verilog,
    random_vectors,
    render_alkaid,
    side_by_side,
)
from venom_hw.synthesis.alkaid_trace import pack, trace_step, unpack
from venom_hw.synthesis.errors import SynthesisError

S, U = (lambda width, frac: FixedType(True, width, frac)), (lambda width, frac: FixedType(False, width, frac))


@pytest.fixture(scope="module")
def step():
    return tiny_venom().step


def test_the_program_equals_the_golden_step(step):
    graph = factor_decay(step)
    check_program(graph, trace_step(graph), 1000, 3)


@pytest.mark.parametrize("rounding", list(Rounding))
@pytest.mark.parametrize("overflow", list(Overflow))
@pytest.mark.parametrize("target", [S(6, 2), U(5, 3), S(3, 0), S(12, 6), U(4, -1)])
def test_requantise_in_every_mode(rounding, overflow, target):
    b = GraphBuilder("step")
    x, y = b.input("x", (3,), S(9, np.array([2, 4, 5]))), b.input("y", (3,), U(7, 3))
    q = b.requantise(b.sub(x, y), target, rounding, overflow)
    graph = b.build({"q": q})
    check_program(graph, trace_step(graph), 4000, 1)


def test_tables_that_see_a_part_of_their_codes_and_differ_by_element():
    b = GraphBuilder("step")
    x = b.input("x", (2,), S(6, np.array([3, 4])))
    code = b.requantise(b.maximum(x, b.constant(np.array([-4]), S(4, 3))), S(7, 4))
    rng = np.random.default_rng(1)
    t = b.table(code, rng.integers(-40, 40, (128, 2)), S(7, np.array([5, 2])))
    shared = b.table(code, rng.integers(0, 90, 128), U(7, 6))
    graph = b.build({"t": t, "both": b.mul(t, shared), "most": b.reduce(t, 0, "max")})
    check_program(graph, trace_step(graph), 2000, 1)


def test_a_wrong_program_is_seen(step):
    graph = factor_decay(step)
    program = trace_step(graph)
    at = next(i for i, op in enumerate(program.ops) if op.opcode == 8)
    table = program.lookup_tables[program.ops[at].data[0]].table
    kept = table.copy()
    table ^= 1
    with pytest.raises(SynthesisError, match=r"alkaid's '\w+' differs at vector \d+, element .*golden step has -?\d+"):
        check_program(graph, program, 200, 1)
    table[:] = kept
    check_program(graph, program, 200, 1)


def test_values_off_the_grid_are_an_error(step):
    program_inputs = random_vectors(step, 2, 1)
    values = trace_step(step).predict(pack(step, *program_inputs))
    unpack(step, values)
    values[1, 0] += 2.0**-40
    with pytest.raises(SynthesisError, match="off the grid"):
        unpack(step, values)


def test_what_alkaid_cannot_express_is_named():
    b = GraphBuilder("head")
    x = b.input("x", (1,), U(8, 0))
    graph = b.build({"s": b.normalise(x, name="zeros")})
    with pytest.raises(SynthesisError, match=r"node 'zeros' \(normalise\): alkaid has no exact counterpart"):
        trace_step(graph)


def test_rendering_writes_the_verilog_of_the_program(step, tmp_path):
    made = render_alkaid(step, tmp_path, vectors=100)
    assert made.checked == 100 and made.clocks > 3 and made.register_bits > 100
    text = "".join(path.read_text() for path in made.sources)
    assert "module logic0 " in text and "module table_" in text and "module multiplier" in text
    assert "always @(posedge" not in text  # what is synthesised has no registers
    assert "posedge clk" in (tmp_path / "src" / "alkaid_step.v").read_text()
    stages = [path for path in made.sources if path.stem.startswith("logic")]
    top = side_by_side(stages)
    assert len(stages) > 3 and all(f" stage_{path.stem} " in top for path in stages)
    stages[0].write_text("module logic0 ();\nendmodule\n")
    with pytest.raises(SynthesisError, match=r"logic0\.v: no ports model_inp and model_out"):
        side_by_side(stages)


def simple_step():
    """A state, a table, a product, roundings: little to compile."""
    b = GraphBuilder("step", max_steps=5)
    x, h = b.input("x", (2,), S(6, 3)), b.state("h", (2,), S(8, 4))
    g = b.table(x, np.arange(64)[::-1] * 3, U(8, 8))
    driven = b.add(b.mul(g, h), b.constmatmul(x, [[3, -5], [7, 1]], S(4, 2)))
    b.next_state(h, b.requantise(driven, S(8, 4), name="h_out"))
    b.accumulator("total", b.mul(x, x))
    return b.build({"g": g})


def test_the_verilog_equals_the_golden_step(tmp_path):
    made = render_alkaid(simple_step(), tmp_path / "a", vectors=500)
    check_verilog(made, tmp_path / "b", verilator_environment(), vectors=200)
    shutil.rmtree(tmp_path / "b")
    wrong = replace(made, graph=replace(made.graph, outputs=(("g", "h_out"),)))
    with pytest.raises(SynthesisError, match="differs|off the grid"):
        check_verilog(wrong, tmp_path / "b", verilator_environment(), vectors=20)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ptsi", "inhf"])
def test_the_program_of_a_shipped_model_equals_its_golden_step(name):
    files = find_model(name)
    graph = factor_decay(import_venom(files.step, files.head).step)
    check_program(graph, trace_step(graph), 4000, 1)
