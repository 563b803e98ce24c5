"""Two products of one common factor in one multiplier: exact for every sign, also in simulation."""


import numpy as np
import pytest

from sim.pipeline_sim import PipelineSim
from venom_hw.codegen.rtl.circuit import evaluate
from venom_hw.codegen.rtl.elaborate import elaborate
from venom_hw.codegen.rtl.emit import render_circuit
from venom_hw.codegen.rtl.strategies import Strategies
from venom_hw.datapath.fixed import FixedType, Overflow
from venom_hw.datapath.graph import Graph, GraphBuilder
from venom_hw.datapath.reference import run_step

PACKED = Strategies(products="dsp_packed")


def outer(x: FixedType, b: FixedType) -> Graph:
    """A column times a row: every element of the column is a common factor."""
    g = GraphBuilder("outer")
    column, row = g.input("x", (2, 1), x), g.input("b", (1, 4), b)
    return g.build({"product": g.mul(column, row)})


def update(h_frac: int) -> Graph:
    """A state's update, a * h + x * b, rounded and saturated."""
    g = GraphBuilder("update")
    x, b = g.input("x", (2, 1), FixedType(True, 10, 9)), g.input("b", (1, 2), FixedType(True, 8, 4))
    a, h = g.input("a", (2, 2), FixedType(False, 8, 8)), g.input("h", (2, 2), FixedType(True, 12, h_frac))
    total = g.add(g.mul(a, h), g.mul(x, b))
    return g.build({"h_out": g.requantise(total, FixedType(True, 12, h_frac))})


def all_values(graph: Graph, rng: np.random.Generator, batch: int = 600) -> dict[str, np.ndarray]:
    """Random integers, and both ends of every format in all combinations."""
    out = {}
    for at, node in enumerate(graph.inputs):
        value = rng.integers(node.type.lo, node.type.hi + 1, (batch, *node.shape))
        ends = np.array([node.type.lo, node.type.hi, -1 if node.type.signed else 1, 0])
        value[:256] = ends[(np.arange(256) >> 2 * at) & 3].reshape(-1, *(1,) * len(node.shape))
        out[node.name] = value
    return out


def checked(graph: Graph):
    circuit = elaborate(graph, PACKED)
    values = all_values(graph, np.random.default_rng(0))
    found = evaluate(circuit, values)
    for name, value in run_step(graph, values, {}).outputs.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)
    return circuit


def multipliers(circuit) -> int:
    return sum(cell.kind == "mul" for cell in circuit.cells)


@pytest.mark.parametrize(
    ("x", "b", "expected"),
    [
        ((True, 10), (True, 8), 4),
        ((True, 11), (True, 8), 8),  # the lowest of both: a bit too wide
        ((False, 10), (True, 8), 4),
        ((True, 10), (False, 7), 4),
        ((False, 8), (False, 6), 4),
        ((True, 16), (True, 8), 8),
    ],
)
def test_pairs_share_a_multiplier_where_they_fit(x, b, expected):
    assert multipliers(checked(outer(FixedType(*x, 4), FixedType(*b, 3)))) == expected


@pytest.mark.parametrize(("width", "expected"), [(12, 4), (13, 8)])
def test_a_symmetric_factor_leaves_room_for_two_more_bits(width, expected):
    g = GraphBuilder("symmetric")
    x, wide = g.input("x", (2, 1), FixedType(True, width, 4)), g.input("wide", (1, 4), FixedType(True, 9, 3))
    b = g.requantise(wide, FixedType(True, 8, 3), overflow=Overflow.SATURATE_SYMMETRIC)
    assert multipliers(checked(g.build({"product": g.mul(x, b)}))) == expected


@pytest.mark.parametrize("h_frac", [8, 12, 13, 15, 18])
def test_the_correction_is_the_carry_of_the_update(h_frac):
    circuit = checked(update(h_frac))
    assert multipliers(circuit) == 4 + 2
    sums = [cell for cell in circuit.cells if cell.kind == "add" and len(cell.inputs) == 3]
    assert len(sums) == 2  # one of each pair needs a correction
    for cell in sums:
        assert cell.attrs["shifts"][2] == max(cell.attrs["shifts"]) and not cell.attrs["constant"]


@pytest.mark.parametrize("h_frac", [8, 15])
def test_rtl_of_packed_products(tmp_path, h_frac):
    graph = update(h_frac)
    values = all_values(graph, np.random.default_rng(1))
    pipeline = render_circuit(elaborate(graph, PACKED), name="update", strategies=PACKED)
    found = PipelineSim(pipeline, tmp_path).run(values)
    np.testing.assert_array_equal(found["h_out"], run_step(graph, values, {}).outputs["h_out"])
