"""Views, fused loops and stage functions."""

import numpy as np
from tiny_venom import tiny_venom

from venom_hw.codegen.lowering import lower, resolve
from venom_hw.datapath.fixed import FixedType
from venom_hw.datapath.graph import GraphBuilder

S8 = FixedType(True, 8, 4)


def test_views_are_indices():
    b = GraphBuilder("g")
    x = b.input("x", (4, 3), S8)
    y = b.reshape(b.slice(b.slice(x, 0, 1, 4), 0, 1, 3), (2, 1, 3, 1))
    graph = b.build({"y": y})
    assert resolve(y, ("i", "0", "j", "0"), graph.by_name) == ("x", ("i + 1 + 1", "j"))
    assert resolve(b.slice(x, 1, 2, 3), ("i", "0"), {n.name: n for n in b.nodes}) == ("x", ("i", "2"))


def test_elementwise_chain_is_one_loop_with_scalars():
    b = GraphBuilder("g")
    x, y = b.input("x", (3, 2), S8), b.input("y", (2,), S8)
    out = b.requantise(b.add(b.mul(x, y), x), S8, name="out")
    (stage,) = lower(b.build({"out": out}), {"out": out}, "main").stages
    assert [[n.op for n in block.nodes] for block in stage.blocks] == [["mul", "add", "requantise"]]
    assert stage.inputs == ("x", "y") and stage.outputs == ("out",) and stage.internal == ()
    assert len(stage.scalars) == 2


def test_what_is_read_whole_ends_a_loop():
    b = GraphBuilder("g")
    x = b.input("x", (4,), S8)
    square = b.requantise(b.mul(x, x), S8, name="square")
    product = b.constmatmul(square, np.ones((4, 4), int), S8, name="product")
    out = b.requantise(product, S8, name="out")
    (stage,) = lower(b.build({"out": out}), {"out": out}, "main").stages
    assert [[n.name for n in block.nodes] for block in stage.blocks] == [
        ["mul_1", "square"],
        ["product", "out"],
    ]
    assert stage.internal == ("square",)


def test_a_summed_product_is_a_multiply_accumulate():
    b = GraphBuilder("g")
    x, y = b.input("x", (3, 4), S8), b.input("y", (4,), S8)
    scaled = b.requantise(x, S8, name="scaled")
    total = b.reduce(b.mul(scaled, y, name="term"), 1, name="total")
    best = b.reduce(b.mul(x, y, name="kept"), 1, "max", name="best")
    graph = b.build({"total": total, "best": best})
    (stage,) = lower(graph, dict(graph.outputs), "main").stages
    assert stage.terms == {"term"} and stage.internal == ("scaled", "kept")
    assert [[n.name for n in block.nodes] for block in stage.blocks] == [
        ["scaled", "kept"],
        ["total", "best"],
    ]


def test_a_stage_is_split_only_where_it_must():
    b = GraphBuilder("g")
    x = b.input("x", (2,), S8)
    b.stage = "a"
    one = b.requantise(x, S8, name="one")
    b.stage = "b"
    two = b.requantise(one, S8, name="two")
    b.stage = "a"
    three = b.requantise(two, S8, name="three")
    graph = b.build({"y": three})
    assert [s.name for s in lower(graph, {"y": three}, "g").stages] == ["a", "b", "a_part2"]
    stages = lower(tiny_venom().step, dict(tiny_venom().step.states), "step").stages
    assert [s.name for s in stages] == ["input", "norm", "convolution", "ssm", "gate", "pool"]


def test_unused_nodes_vanish_and_given_tensors_are_copied():
    b = GraphBuilder("g")
    x = b.input("x", (2,), S8)
    b.requantise(x, S8, name="unused")
    lowered = lower(b.build({"y": x}), {"y": x}, "g")
    assert lowered.roots == {"y": "y (copy)"}
    assert [n.name for s in lowered.stages for block in s.blocks for n in block.nodes] == ["y (copy)"]
