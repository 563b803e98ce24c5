"""Reshapes that keep a dynamic dimension say so by a 0 in a constant shape, instead of computing the shape."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import numpy_helper


def settle_reshapes(model: onnx.ModelProto) -> int:
    """Give every Reshape whose shape is computed from a tensor's own dynamic sizes a constant one; how many there were.

    A dimension that equals the operand's dimension at the same place (by name) becomes 0, which copies it.  Reshapes
    that cannot be written so stay.  Nodes that only computed shapes are removed.
    """
    graph = model.graph
    constants = {t.name for t in graph.initializer}
    values = {
        v.name: [d.dim_param or d.dim_value for d in v.type.tensor_type.shape.dim]
        for v in [*graph.input, *graph.output, *graph.value_info]
    }
    settled = 0
    for node in graph.node:
        if node.op_type != "Reshape" or node.input[1] in constants:
            continue
        before, after = values.get(node.input[0]), values.get(node.output[0])
        if not before or not after:
            continue
        shape = [0 if k < len(before) and before[k] == size else size for k, size in enumerate(after)]
        if any(isinstance(size, str) for size in shape):
            continue
        name = "shape_" + "_".join(map(str, shape))
        if name not in constants:
            constants.add(name)
            graph.initializer.append(numpy_helper.from_array(np.array(shape, np.int64), name))
        node.input[1] = name
        for attribute in node.attribute:
            if attribute.name == "allowzero":
                attribute.i = 0
        settled += 1
    if settled:
        _remove_unused(graph)
    return settled


def _remove_unused(graph: onnx.GraphProto) -> None:
    while True:
        used = {i for node in graph.node for i in node.input} | {o.name for o in graph.output}
        idle = [node for node in graph.node if not any(o in used for o in node.output)]
        if not idle:
            break
        for node in idle:
            graph.node.remove(node)
    for tensor in [t for t in graph.initializer if t.name not in used]:
        graph.initializer.remove(tensor)
    for value in [v for v in graph.value_info if v.name not in used]:
        graph.value_info.remove(value)
