"""The cut of a head: its parts, one element at a time, give what the whole graph gives."""

import dataclasses

import numpy as np
import pytest

from tests.codegen.rtl.head_models import head_of, sums
from venom_hw.codegen.errors import CodegenError
from venom_hw.codegen.rtl.head_cut import PHASE, Cut, cut, element_graph
from venom_hw.datapath.fixed import FixedType
from venom_hw.datapath.graph import GraphBuilder
from venom_hw.datapath.reference import run_step

PERIOD = 61


def serial(parts: Cut, values: dict, seed: int = 2) -> dict:
    """Outputs of the parts run in order, each element in a clock of its own, in any order."""
    rng, count = np.random.default_rng(seed), len(next(iter(values.values())))
    arriving = None
    for stream, product in zip(parts.streams, parts.products, strict=True):
        phases = rng.permutation(PERIOD)[: stream.length]
        graph = element_graph(parts.graph, stream, phases, PERIOD)
        result = np.zeros((count, stream.length), np.int64)
        for k in range(stream.length):
            given = {}
            for node in graph.inputs:
                if node.name == PHASE:
                    given[node.name] = np.full((count, 1), phases[k])
                elif node.name in parts.graph.by_name and parts.graph[node.name].op == "input":
                    own = k if parts.graph.numel(node.name) > 1 else 0
                    given[node.name] = values[node.name].reshape(count, -1)[:, [own]]
                else:
                    given[node.name] = arriving[:, [k]]
            result[:, k] = run_step(graph, given, {}).outputs[stream.result.name][:, 0]
        arriving = result @ product.weights.T
    tail = {n.name: values.get(n.name, arriving) for n in parts.tail.inputs}
    return run_step(parts.tail, tail, {}).outputs


@pytest.mark.parametrize("model", ["tiny", "ptsi", "inhf"])
def test_parts_give_what_the_graph_gives(model):
    head = head_of(model)
    parts = cut(head)
    values = sums(head, 400)
    golden = run_step(head, values, {})
    assert any(golden.saturations.values()), "no sum saturates: the test would miss it"
    for name, value in serial(parts, values).items():
        np.testing.assert_array_equal(value, golden.outputs[name], err_msg=name)


def test_a_weight_changed_shows():
    head = head_of("tiny")
    parts = cut(head)
    values = sums(head, 100)
    weights = parts.products[1].weights.copy()
    weights[0, 0] += 1
    wrong = dataclasses.replace(parts.products[1], weights=weights)
    changed = dataclasses.replace(parts, products=(parts.products[0], wrong))
    golden = run_step(head, values, {}).outputs
    assert any((v != golden[n]).any() for n, v in serial(changed, values).items())


def test_parts_of_a_shipped_head():
    parts = cut(head_of("ptsi"))
    assert [s.length for s in parts.streams] == [16, 32, 32]
    assert [(p.rows, p.columns) for p in parts.products] == [(32, 16), (32, 32), (2, 32)]
    assert [n.name for n in parts.streams[0].vectors] == ["pool_num"]


def graph_of(build) -> object:
    b = GraphBuilder("head")
    x = b.input("x", (4,), FixedType(True, 8, 4))
    return b.build({"out": build(b, x)})


def matrix(b: GraphBuilder, x: str, rows: int, name: str) -> str:
    weights = np.ones((rows, b.facts[x].shape[0]), np.int64)
    return b.constmatmul(x, weights, FixedType(True, 4, 2), name=name)


def narrow(b: GraphBuilder, x: str, name: str) -> str:
    return b.requantise(x, FixedType(True, 8, 4), name=name)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda b, x: narrow(b, b.mul(x, x), "y"), "no constant matrix"),
        (lambda b, x: b.add(matrix(b, x, 2, "one"), matrix(b, x, 2, "two")), "'two'.*beside 'one'"),
        (lambda b, x: matrix(b, narrow(b, b.reduce(x, 0, keepdims=True), "y"), 2, "one"), "mixes elements"),
        (
            lambda b, x: b.add(matrix(b, (y := narrow(b, matrix(b, x, 4, "one"), "y")), 4, "two"), y),
            "takes 'y' past a matrix",
        ),
        (lambda b, x: matrix(b, narrow(b, b.add(matrix(b, x, 4, "one"), x), "y"), 4, "two"), "input 'x': a vector"),
    ],
)
def test_what_it_cannot_cut_is_refused(build, message):
    with pytest.raises(CodegenError, match=message):
        cut(graph_of(build))
