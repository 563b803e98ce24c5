"""Lowering of what a network over a whole sequence adds: exchanged axes, padding, a class token.

The datapath has no transposition: it is written out with slices, reshapes and concatenations, which move values and
compute nothing.  Lengths are fixed: ``OnnxGraph(path, sizes={"length": n})``.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx

from venom_hw.datapath.fixed import FixedType
from venom_hw.interchange.lowering import Lowering, lowers


@lowers("Transpose")
def transpose(im: Lowering, node: onnx.NodeProto, tensor: str) -> str:
    x = im.lower(node.input[0])
    axes = len(im.shape(x)) + 1
    perm = list(im.file.attribute(node, "perm", range(axes)[::-1]))
    if sorted(perm) != list(range(axes)) or perm[0] != 0:
        raise im.file.refuse(node, f"by perm {perm} of {axes} axes; the batch axis must stay the first")
    return exchanged(im, x, [axis - 1 for axis in perm[1:]])


def exchanged(im: Lowering, x: str, perm: Sequence[int]) -> str:
    """x with its axes (without the batch's) in the order ``perm``, slice by slice of the axis that comes first."""
    if list(perm) == sorted(perm):
        return x
    shape, first = im.shape(x), perm[0]
    left = [size for axis, size in enumerate(shape) if axis != first]
    rest = [axis - (axis > first) for axis in perm[1:]]
    parts = []
    for k in range(shape[first]):
        part = im.builder.slice(x, first, k, k + 1, name=im.name("lane"))
        part = exchanged(im, im.builder.reshape(part, left, name=im.name("lane")), rest)
        parts.append(im.builder.reshape(part, (1, *im.shape(part)), name=im.name("lane")))
    return im.builder.concat(parts, 0, name=im.name("exchanged"))


@lowers("Expand")
def expand(im: Lowering, node: onnx.NodeProto, tensor: str) -> str:
    """A parameter that every element of the batch gets: nothing to do, parameters have no batch axis."""
    value, target = im.file.constant(node.input[0]), im.file.producer.get(node.input[1])
    parts = list(target.input) if target is not None and target.op_type == "Concat" else []
    size = im.file.producer.get(parts[0]) if parts else None
    of_batch = (
        size is not None
        and size.op_type == "Shape"
        and size.input[0] in im.file.inputs
        and (im.file.attribute(size, "start", 0), im.file.attribute(size, "end")) == (0, 1)
    )
    ones = all(part in im.file.parameters and (im.file.parameters[part] == 1).all() for part in parts[1:])
    rank = 1 + sum(np.size(im.file.parameters[part]) for part in parts[1:]) if of_batch and ones else 0
    if value is None or value.ndim != rank or value.shape[0] != 1:
        raise im.file.refuse(node, "is supported for a parameter of one element, along the batch axis")
    return im.lower(node.input[0])


@lowers("Pad")
def pad(im: Lowering, node: onnx.NodeProto, tensor: str) -> str:
    """Zeros around one axis."""
    x = im.lower(node.input[0])
    pads, given = im.file.parameters.get(node.input[1]), [*node.input[2:], "", ""]
    mode = im.file.attribute(node, "mode", "constant")
    fill = im.file.constant(given[0]) if given[0] else 0
    axes = len(im.shape(x)) + 1
    if pads is None or mode != "constant" or fill is None or np.any(fill) or given[1] or len(pads) != 2 * axes:
        raise im.file.refuse(node, "is supported with constant zeros and the sizes of all axes")
    around = {axis: (int(pads[axis]), int(pads[axis + axes])) for axis in range(axes)}
    around = {axis: sizes for axis, sizes in around.items() if any(sizes)}
    if len(around) != 1 or 0 in around or min(pads) < 0:
        raise im.file.refuse(node, f"by {[int(p) for p in pads]}; one axis, not the batch's, can grow")
    ((axis, sizes),) = around.items()

    def zeros(size: int) -> list[str]:
        shape = [size if k == axis - 1 else n for k, n in enumerate(im.shape(x))]
        filled = np.zeros(shape, np.int64)
        return [im.builder.constant(filled, FixedType(False, 1, 0), name=im.name("zeros"))] if size else []

    return im.builder.concat([*zeros(sizes[0]), x, *zeros(sizes[1])], axis - 1, name=im.name("padded"))


@lowers("Gather")
def select(im: Lowering, node: onnx.NodeProto, tensor: str) -> str:
    """One index of an axis, which goes away (a Gather of powers of two belongs to the normalise pattern)."""
    index = im.file.parameters.get(node.input[1])
    if index is None or np.ndim(index):
        raise im.file.refuse(node, "is supported with one constant index, or in the normalise pattern")
    x = im.lower(node.input[0])
    shape = list(im.shape(x))
    axis = im.axis(node, int(im.file.attribute(node, "axis", 0)), len(shape) + 1)
    k = int(index) + (shape[axis] if int(index) < 0 else 0)
    part = im.builder.slice(x, axis, k, k + 1, name=im.name("selected"))
    return im.builder.reshape(part, shape[:axis] + shape[axis + 1 :], name=im.name("selected"))
