"""Recognises the non-linear functions of a QONNX graph and tabulates them: one entry for each code of their input.

A table is whatever lies between a Quant and the Quant before it, if it depends on one tensor only and is elementwise
with at least one non-linear operation. It is evaluated once, in float64, on every code.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx
from onnx import helper
from onnx.reference import ReferenceEvaluator

from venom_hw.interchange.execute import Quant, widen
from venom_hw.interchange.onnx_graph import OnnxGraph

MOVES = {"Unsqueeze", "Squeeze", "Reshape", "Identity", "Flatten"}
LINEAR = {"Add", "Sub", "Mul", "Div", "Neg", "Cast"}
NONLINEAR = {
    "Abs", "Clip", "Cos", "Elu", "Erf", "Exp", "Gather", "GatherND", "Gelu", "Greater", "GreaterOrEqual", "Less",
    "LessOrEqual", "Log", "Max", "Min", "Pow", "Reciprocal", "Relu", "Sigmoid", "Sin", "Softplus", "Sqrt", "Tanh",
    "Where",
}  # fmt: skip


@dataclass(frozen=True)
class Cone:
    """Elementwise nodes in front of a Quant, and the one live tensor that they depend on."""

    leaf: str
    nodes: tuple[onnx.NodeProto, ...]
    quant: onnx.NodeProto


def table_cone(graph: OnnxGraph, quant: onnx.NodeProto) -> Cone | None:
    """The table that a Quant ends, or None when it ends something else."""
    seen: set[int] = set()
    leaves: list[str] = []
    todo = [quant.input[0]]
    while todo:
        tensor = todo.pop()
        if not tensor or graph.constant(tensor) is not None:
            continue
        node = graph.producer.get(tensor)
        if node is None or node.op_type in ("Quant", "Split", "Slice"):
            if tensor not in leaves:
                leaves.append(tensor)
            continue
        if node.op_type not in MOVES | LINEAR | NONLINEAR:
            return None
        if id(node) not in seen:
            seen.add(id(node))
            todo += list(node.input)
    nodes = tuple(n for n in graph.nodes if id(n) in seen)
    if len(leaves) != 1 or not any(n.op_type in NONLINEAR for n in nodes):
        return None
    return Cone(leaves[0], nodes, quant)


class ConeEvaluator:
    """Runs a cone in float64 on values of its leaf."""

    def __init__(self, graph: OnnxGraph, cone: Cone):
        needed = {i for n in (*cone.nodes, cone.quant) for i in n.input}
        quants = [graph.producer[i] for i in needed if i in graph.producer and graph.constant(i) is not None]
        quants = [q for q in quants if q.op_type == "Quant"]
        needed |= {i for q in quants for i in q.input}
        initialisers = [onnx.numpy_helper.from_array(graph.parameters[i], i) for i in needed if i in graph.parameters]
        value = lambda name: helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None)  # noqa: E731
        body = helper.make_graph(
            [*quants, *cone.nodes, cone.quant], "cone", [value(cone.leaf)], [value(cone.quant.output[0])], initialisers
        )
        model = helper.make_model(body, opset_imports=graph.model.opset_import, ir_version=graph.model.ir_version)
        self.leaf = cone.leaf
        self.evaluator = ReferenceEvaluator(widen(model), new_ops=[Quant])

    def __call__(self, values: np.ndarray) -> np.ndarray:
        with np.errstate(all="ignore"):  # a reciprocal of code 0 saturates
            return self.evaluator.run(None, {self.leaf: values})[0]


def shrink(entries: np.ndarray) -> np.ndarray:
    """(E, *elem) without the element axes along which all entries agree; (E,) when one table serves everybody."""
    for axis in range(1, entries.ndim):
        first = entries.take([0], axis=axis)
        if (entries == first).all():
            entries = first
    while entries.ndim > 1 and entries.shape[1] == 1:
        entries = entries[:, 0]
    return entries
