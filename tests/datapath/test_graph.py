"""Widths are derived and never wrong: executed values stay within the derived bounds, on random graphs."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.datapath.networks import random_graph, small_recurrent
from venom_hw.datapath import DatapathError, FixedType, GraphBuilder
from venom_hw.datapath.reference import initial_states, run_step


def random_input(rng, node, batch):
    values = rng.integers(node.type.lo, node.type.hi + 1, (batch, *node.shape))
    values[0], values[1] = node.type.lo, node.type.hi
    return values


@settings(max_examples=60)
@given(st.integers(0, 2**32))
def test_executed_values_stay_within_the_derived_bounds(seed):
    rng = np.random.default_rng(seed)
    graph = random_graph(rng)
    result = run_step(graph, {"x": random_input(rng, graph.inputs[0], 40)}, {})
    for node in graph.nodes:
        facts, values = graph.facts[node.name], result.tensors[node.name]
        assert (values >= facts.lo).all() and (values <= facts.hi).all(), node
        assert facts.type.lo <= facts.lo.min() and facts.hi.max() <= facts.type.hi


@settings(max_examples=40)
@given(st.integers(0, 2**32))
def test_exact_operations_are_exact_in_real_numbers(seed):
    """Each node's value, as a real number, is its operation applied to the real values of its inputs."""
    rng = np.random.default_rng(seed)
    graph = random_graph(rng, operations=8, max_width=30)
    result = run_step(graph, {"x": random_input(rng, graph.inputs[0], 20)}, {})
    value = {n.name: n.type.to_value(result.tensors[n.name]) for n in graph.nodes}
    binary = {"add": np.add, "sub": np.subtract, "mul": np.multiply, "maximum": np.maximum, "matmul": np.matmul}
    checked = 0
    for node in graph.nodes:
        args = [value[i] for i in node.inputs]
        if node.op in binary:
            rank = max(a.ndim for a in args)
            args = [a.reshape(a.shape[:1] + (1,) * (rank - a.ndim) + a.shape[1:]) for a in args]
            expected = binary[node.op](*args)
        elif node.op == "constmatmul":
            weights_type = FixedType.from_dict(node.attrs["weights_type"])
            frac = np.asarray(weights_type.frac).reshape(-1, 1)
            expected = args[0] @ np.ldexp(graph.constants[node.attrs["weights"]].astype(float), -frac.astype(int)).T
        elif node.op == "reduce":
            function = np.sum if node.attrs["kind"] == "sum" else np.max
            expected = function(args[0], axis=node.attrs["axis"] + 1, keepdims=node.attrs["keepdims"])
        elif node.op == "shift":
            expected = args[0] * 2.0 ** (result.tensors[node.inputs[1]] - node.attrs["offset"])
        else:
            continue
        checked += 1
        assert np.array_equal(np.broadcast_to(value[node.name], expected.shape), expected), node
    assert checked or not any(n.op in binary for n in graph.nodes)


def test_accumulators_are_wide_enough_for_the_longest_window_and_no_wider():
    b = GraphBuilder("sum", max_steps=100)
    x = b.input("x", (3,), FixedType(True, 8, 2))
    b.accumulator("total", x)
    graph = b.build({})
    assert graph["total"].type == FixedType(True, 15, 2)  # 100 * -128 = -12800 >= -2**14
    state = initial_states(graph, 1)
    for _ in range(100):
        state = run_step(graph, {"x": np.full((1, 3), -128)}, state).states
    assert state["total"].tolist() == [[-12800] * 3]


def test_a_scalar_constant_stays_a_scalar():
    b = GraphBuilder("scalar")
    x = b.input("x", (), FixedType(True, 8, 0))
    y = b.mul(x, b.constant(3, FixedType(False, 2, 1)), name="y")
    graph = b.build({"y": y})
    assert graph["y"].shape == ()
    assert run_step(graph, {"x": np.array([5, -7])}, {}).outputs["y"].tolist() == [15, -21]


def test_normalise_brings_the_leading_one_to_the_top():
    b = GraphBuilder("n")
    x = b.input("x", (), FixedType(False, 10, 4))
    s = b.normalise(x)
    y = b.shift(x, s, offset=9)
    graph = b.build({"s": s, "y": y})
    result = run_step(graph, {"x": np.array([0, 1, 2, 3, 512, 1023])}, {})
    assert result.outputs["s"].tolist() == [9, 9, 8, 8, 0, 0]
    assert result.outputs["y"].tolist() == [0, 512, 512, 768, 512, 1023]
    assert graph["y" if "y" in graph.by_name else y].type == FixedType(False, 10, 13)


def test_saturations_are_counted_by_tensor():
    b = GraphBuilder("sat")
    x = b.input("x", (2,), FixedType(True, 8, 0))
    y = b.requantise(x, FixedType(True, 4, 0), name="y")
    result = run_step(b.build({"y": y}), {"x": np.array([[7, 8], [-9, -8]])}, {})
    assert result.saturations == {"y": 2}
    assert result.outputs["y"].tolist() == [[7, 7], [-8, -8]]


class TestErrors:
    def test_table_of_the_wrong_length(self):
        b = GraphBuilder("t")
        x = b.input("x", (2,), FixedType(True, 4, 0))
        with pytest.raises(DatapathError, match="node 'silu' .table.: 15 entries for a code of 16"):
            b.table(x, np.zeros(15, int), FixedType(True, 4, 0), name="silu")

    def test_table_entries_out_of_range(self):
        b = GraphBuilder("t")
        x = b.input("x", (2,), FixedType(False, 2, 0))
        with pytest.raises(DatapathError, match="do not fit"):
            b.table(x, np.array([0, 1, 2, 8]), FixedType(True, 4, 0))

    def test_shapes_that_do_not_multiply(self):
        b = GraphBuilder("t")
        x = b.input("x", (3,), FixedType(True, 4, 0))
        with pytest.raises(DatapathError, match=r"\(2, 4\) do not multiply a tensor of shape \(3,\)"):
            b.constmatmul(x, np.ones((2, 4), int), FixedType(True, 2, 0))

    def test_too_wide(self):
        b = GraphBuilder("t")
        x = b.input("x", (), FixedType(True, 40, 0))
        with pytest.raises(DatapathError, match="need 80 bits; the limit is 62"):
            b.mul(x, b.input("y", (), FixedType(True, 40, 0)))

    def test_unpaired_state(self):
        b = GraphBuilder("t")
        b.state("h", (2,), FixedType(True, 4, 0))
        with pytest.raises(DatapathError, match="state 'h' is not paired"):
            b.build({})

    def test_state_that_does_not_hold_its_next_value(self):
        b = GraphBuilder("t")
        h = b.state("h", (2,), FixedType(True, 4, 0))
        b.next_state(h, b.add(h, h))
        with pytest.raises(DatapathError, match="state 'h' .* does not hold its next value"):
            b.build({})

    def test_input_out_of_range_or_missing(self):
        step, _ = small_recurrent(np.random.default_rng(0))
        with pytest.raises(DatapathError, match="input 'sample' is missing"):
            run_step(step, {}, initial_states(step, 1))
        with pytest.raises(DatapathError, match="leaves s8.0"):
            run_step(step, {"sample": np.array([[0, 128]])}, initial_states(step, 1))

    def test_a_stored_type_that_the_operands_do_not_give(self):
        step, _ = small_recurrent(np.random.default_rng(0))
        nodes = tuple(
            replace(n, type=FixedType(True, n.type.width + 1, n.type.frac)) if n.op == "sub" else n for n in step.nodes
        )
        with pytest.raises(DatapathError, match=r"node 'sub_1' \(sub\) is stored as"):
            replace(step, nodes=nodes).facts  # noqa: B018
