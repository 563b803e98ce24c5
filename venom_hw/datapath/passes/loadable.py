"""Calibration constants become inputs: the affine in front of the step, gain and offset of the head's energy.

The same arithmetic on other numbers: with the constants' own integers on the new inputs, every tensor of the graph
keeps its integers. What becomes loadable is found by structure, so a network without it is left as it is.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from venom_hw.datapath.fixed import FixedType
from venom_hw.datapath.graph import Graph, GraphBuilder, Node


@dataclass(frozen=True)
class Loadable:
    """A constant that became an input.

    Attributes:
        name: of the input.
        shape, type: of the input; `type` is the constant's.
        default: integers of the constant, in `shape`.
    """

    name: str
    shape: tuple[int, ...]
    type: FixedType
    default: np.ndarray


def loadable_step(graph: Graph) -> tuple[Graph, tuple[Loadable, ...]]:
    """Weights of the product that alone uses the step's one input, and the bias added to it, as inputs.

    Returns:
        The graph and its new inputs; the graph as it was and () if it does not begin with an affine.
    """
    product = _affine(graph)
    if product is None:
        return graph, ()
    (sample,) = graph.inputs
    weights = np.asarray(graph.constants[product.attrs["weights"]], np.int64)
    type_ = FixedType.from_dict(product.attrs["weights_type"])
    frac = np.asarray(type_.frac)
    by_row = type_ if frac.ndim == 0 else replace(type_, frac=frac.reshape(-1, 1))
    names = {word: _fresh(graph, f"{product.name}_{word}") for word in ("weights", "row", "terms")}
    made = [Loadable(names["weights"], weights.shape, by_row, weights)]
    bias = _added_constant(graph, product.name)
    if bias is not None:
        made.append(_of_constant(graph, bias))
    builder = _builder(graph)
    for node in graph.nodes:
        builder.stage = node.stage
        if node.name == product.name:
            rows = builder.input(made[0].name, made[0].shape, made[0].type)
            row = builder.reshape(sample.name, (1, weights.shape[1]), name=names["row"])
            builder.reduce(builder.mul(row, rows, name=names["terms"]), 1, name=product.name)
        elif bias is not None and node.name == bias.name:
            builder.input(bias.name, made[1].shape, made[1].type)
        else:
            builder.readd(node)
    return _built(builder, graph), tuple(made)


def loadable_head(graph: Graph, output: str = "energy") -> tuple[Graph, tuple[Loadable, ...]]:
    """Gain and offset of `output` = requantise(x * gain + offset) as inputs.

    Returns:
        The graph and its new inputs; the graph as it was and () if the output has no gain and offset of its own.
    """
    node = graph[dict(graph.outputs)[output]]
    total = graph[node.inputs[0]] if node.op == "requantise" else node
    if total.op != "add" or (offset := _constant_of(graph, total)) is None:
        return graph, ()
    product = graph[next(i for i in total.inputs if i != offset.name)]
    if product.op != "mul" or (gain := _constant_of(graph, product)) is None:
        return graph, ()
    if len(graph.users(gain.name)) != 1 or len(graph.users(offset.name)) != 1:
        return graph, ()
    made = {n.name: _of_constant(graph, n) for n in (gain, offset)}
    builder = _builder(graph)
    for each in graph.nodes:
        builder.stage = each.stage
        if each.name in made:
            builder.input(each.name, made[each.name].shape, each.type)
        else:
            builder.readd(each)
    return _built(builder, graph), tuple(made.values())


def _fresh(graph: Graph, name: str) -> str:
    while name in graph.by_name:
        name += "_"
    return name


def _affine(graph: Graph) -> Node | None:
    if len(graph.inputs) != 1:
        return None
    users = graph.users(graph.inputs[0].name)
    product = users[0] if len(users) == 1 else None
    if product is None or product.op != "constmatmul" or len(graph.inputs[0].shape) != 1:
        return None
    square = graph.numel(product.name) == graph.numel(graph.inputs[0].name)
    return product if square else None


def _added_constant(graph: Graph, name: str) -> Node | None:
    """The constant that the only user of `name` adds to it."""
    users = graph.users(name)
    if len(users) != 1 or users[0].op != "add":
        return None
    constant = _constant_of(graph, users[0])
    return constant if constant is not None and len(graph.users(constant.name)) == 1 else None


def _constant_of(graph: Graph, node: Node) -> Node | None:
    found = [graph[i] for i in node.inputs if graph[i].op == "constant"]
    return found[0] if len(found) == 1 else None


def _of_constant(graph: Graph, node: Node) -> Loadable:
    return Loadable(node.name, node.shape, node.type, np.asarray(graph.constants[node.attrs["key"]], np.int64))


def _builder(graph: Graph) -> GraphBuilder:
    builder = GraphBuilder(graph.name, max_steps=graph.max_steps)
    builder.constants = dict(graph.constants)
    return builder


def _built(builder: GraphBuilder, graph: Graph) -> Graph:
    builder.states = dict(graph.states)
    return builder.build(dict(graph.outputs))
