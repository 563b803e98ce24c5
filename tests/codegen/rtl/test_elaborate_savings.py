"""What elaboration saves, each exactly: constants, clamps, roundings, table bits, shared adders."""

import itertools

import numpy as np

from sim.pipeline_sim import PipelineSim
from venom_hw.codegen.rtl.circuit import Circuit, evaluate
from venom_hw.codegen.rtl.elaborate import elaborate
from venom_hw.codegen.rtl.emit import render_circuit
from venom_hw.codegen.rtl.strategies import Strategies
from venom_hw.datapath.fixed import FixedType
from venom_hw.datapath.graph import Graph, GraphBuilder
from venom_hw.datapath.reference import run_step


def s(width: int, frac) -> FixedType:
    return FixedType(True, width, frac)


def cells(circuit: Circuit, kind: str) -> list:
    return [cell for cell in circuit.cells if cell.kind == kind]


def checked(graph: Graph, strategies: Strategies | None = None) -> Circuit:
    """The circuit, equal to the reference on random inputs."""
    rng = np.random.default_rng(0)
    inputs = {n.name: rng.integers(n.type.lo, n.type.hi + 1, (300, *n.shape)) for n in graph.inputs}
    circuit = elaborate(graph, strategies)
    found = evaluate(circuit, inputs)
    for name, value in run_step(graph, inputs, {}).outputs.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)
    return circuit


def test_half_an_lsb_in_zero_bits_costs_nothing():
    b = GraphBuilder("half")
    x, y = b.input("x", (3,), s(10, 8)), b.input("y", (3,), s(8, 3))
    b_out = b.requantise(b.add(x, y), s(9, 4))  # y << 5 has room for the half at bit 3
    circuit = checked(b.build({"out": b_out}))
    assert len(cells(circuit, "add")) == 3
    for cell in cells(circuit, "add"):  # x without its low 3 bits, y << 2
        assert cell.attrs["constant"] == 1 and sorted(cell.attrs["shifts"]) == [0, 2]


def test_low_bits_that_meet_nothing_wait_as_one_bit():
    b = GraphBuilder("sticky")
    x, y = b.input("x", (2,), s(8, 8)), b.input("y", (2,), s(8, 7))
    circuit = checked(b.build({"out": b.requantise(b.mul(x, y), s(9, 5))}))  # 10 bits to drop: 9 under the half
    assert [cell.attrs["bits"] for cell in cells(circuit, "any")] == [9, 9]
    assert [(cell.attrs["drop"], len(cell.inputs)) for cell in cells(circuit, "round")] == [(1, 2), (1, 2)]
    assert all(cell.output.width < 9 for cell in cells(circuit, "add"))


def test_bias_and_half_are_one_addition_beside_the_matrix():
    rng = np.random.default_rng(1)
    b = GraphBuilder("bias")
    x = b.input("x", (6,), s(8, 4))
    product = b.constmatmul(x, rng.integers(-31, 32, (5, 6)), s(6, 5))
    biased = b.add(product, b.constant(rng.integers(-2000, 2000, (5,)), s(12, 11)))
    circuit = checked(b.build({"out": b.requantise(biased, s(10, 4))}))
    with_constant = [c for c in cells(circuit, "add") if c.attrs["constant"]]
    assert len(with_constant) == 5  # bias and half LSB together, once a row
    for cell in with_constant:
        shifts = cell.attrs["shifts"]
        assert len(shifts) == 1 or 0 < cell.attrs["constant"] < 1 << max(shifts), "three operands in one adder"


def test_a_constant_may_cancel_the_half():
    b = GraphBuilder("cancel")
    x = b.input("x", (2,), s(10, 8))
    offset = b.constant(np.array([-8, -72]), s(8, 8))
    circuit = checked(b.build({"out": b.requantise(b.add(x, offset), s(8, 4))}))
    assert [cell.attrs["constant"] for cell in cells(circuit, "add")] == [-8]  # -8 + 8: no adder; -72 + 8 = -8 * 8


def test_rows_share_adders():
    rng = np.random.default_rng(2)
    b = GraphBuilder("matrix")
    x = b.input("x", (8,), s(8, 0))
    graph = b.build({"out": b.constmatmul(x, rng.integers(-127, 128, (8, 8)), s(8, 0))})
    plans = [checked(graph, Strategies(constant_matrix=name)) for name in ("adder_graph", "adder_tree")]
    shared, alone = (len(cells(circuit, "add")) for circuit in plans)
    assert shared < 0.75 * alone


def test_two_matrices_of_one_vector_are_solved_together():
    rng = np.random.default_rng(3)
    weights = rng.integers(-15, 16, (6, 6))
    b = GraphBuilder("twice")
    x = b.input("x", (6,), s(8, 0))
    outputs = {name: b.requantise(b.constmatmul(x, weights, s(5, 0)), s(8, -6)) for name in ("one", "two")}
    circuit = checked(b.build(outputs))
    assert circuit.outputs[0].elements == circuit.outputs[1].elements  # the same cells


def test_superfluous_clamp_and_exact_rounding_are_wires():
    b = GraphBuilder("wires")
    x = b.input("x", (2,), s(8, 4))
    fits, narrow = b.requantise(x, s(7, 2)), b.requantise(x, s(6, 2))
    exact = b.requantise(b.mul(x, b.constant(np.array([64, 64]), s(8, 0))), s(16, 1))
    circuit = checked(b.build({"fits": fits, "narrow": narrow, "exact": exact}))
    assert len(cells(circuit, "clamp")) == 2  # 127 / 4 rounds up to 32, -128 / 4 is -32: one limit can be passed
    assert len(cells(circuit, "round")) == 4  # x by 64 has no bits to round off
    assert sum(not cell.is_wires for cell in cells(circuit, "add")) == 2  # half an LSB, once for both formats


def test_constant_table_bits_are_not_stored():
    codes = np.arange(16)
    b = GraphBuilder("table")
    code = b.input("code", (2,), FixedType(False, 4, 0))
    upper = b.table(code, 128 + (codes * 7) % 32, FixedType(False, 8, 0))  # 100xxxxx
    lower = b.table(code, codes * 8 - 61, s(8, 0))  # xxxxx011
    negative = b.table(code, -128 + codes, s(8, 0))  # 1000xxxx
    flat = b.table(code, codes * 0 + 5, s(4, 0))
    square = b.mul(upper, lower)
    circuit = checked(b.build({"u": upper, "l": lower, "n": negative, "f": flat, "s": square}))
    assert sorted({cell.output.width for cell in cells(circuit, "lookup")}) == [4, 5]
    assert all(cell.is_wires for cell in cells(circuit, "add"))


def test_columns_of_one_address_are_one_rom():
    rng = np.random.default_rng(4)
    b = GraphBuilder("wide")
    code = b.input("code", (2, 1), s(5, 0))
    entries = np.concatenate([rng.integers(-100, 100, (32, 1, 3))] * 2, 1)
    table = b.table(code, entries, s(8, 0))
    circuit = checked(b.build({"t": table}))
    assert [rom.shape for rom in circuit.roms.values()] == [(32, 3)]  # both addresses read the same contents
    assert len(cells(circuit, "lookup")) == 6


def test_addresses_of_different_reach_share_a_memory(tmp_path):
    b = GraphBuilder("reach")
    x, y = b.input("x", (1,), s(6, 0)), b.input("y", (1,), FixedType(False, 4, 0))
    code = b.requantise(b.concat([x, y], 0), s(6, 0))
    table = b.table(code, (np.arange(64) - 32) ** 2, FixedType(False, 11, 0))
    circuit = checked(b.build({"t": table}))
    lookups = cells(circuit, "lookup")
    assert [circuit.signals()[cell.inputs[0]].width for cell in lookups] == [6, 4]
    assert len(circuit.roms) == 1 and len({cell.output.width for cell in lookups}) == 1
    pipeline = render_circuit(circuit, name="reach")
    assert sum(name.endswith(".mem") for name in pipeline.files) == 1
    values = {"x": np.arange(-32, 32)[:, None], "y": np.arange(64)[:, None] % 16}
    found = PipelineSim(pipeline, tmp_path).run(values)
    np.testing.assert_array_equal(found["t"], np.concatenate([values["x"], values["y"]], 1) ** 2)


def test_products_by_powers_of_two_are_wires():
    b = GraphBuilder("shift")
    x, y = b.input("x", (2,), s(8, 4)), b.input("y", (2,), s(6, 4))
    scaled = b.mul(x, b.constant(np.array([4, 8]), s(8, 2)))
    circuit = checked(b.build({"out": b.mul(scaled, y)}))
    kinds = [cell.kind for cell in circuit.cells if not cell.is_wires]
    assert kinds == ["mul", "mul"]


def test_every_strategy_runs_a_saturating_sum():
    b = GraphBuilder("all")
    x = b.input("x", (4,), s(9, 3))
    weights = np.array([[3, -7, 11, 5], [1, 0, -2, 4]])
    graph = b.build({"out": b.requantise(b.constmatmul(x, weights, s(5, 2)), s(6, 0))})
    matrices = ("adder_graph", "adder_tree", "dsp")
    for matrix, products, clamps in itertools.product(matrices, ("dsp", "lut"), ("reset", "mux")):
        checked(graph, Strategies(constant_matrix=matrix, products=products, clamps=clamps))
