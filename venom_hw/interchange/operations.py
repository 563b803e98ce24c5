"""How each ONNX operation becomes operations of the datapath: one function an operation, found by `lowers`.

A function takes the `Lowering` at work, the ONNX node and the name of the tensor that is wanted of it, and returns the
datapath node that it made.
"""

from __future__ import annotations

import numpy as np
import onnx

from venom_hw.datapath.evaluate import gather
from venom_hw.datapath.fixed import FixedType
from venom_hw.interchange.lowering import Lowering, lowers
from venom_hw.interchange.normalise import normalised
from venom_hw.interchange.products import products
from venom_hw.interchange.tables import Cone, ConeEvaluator, shrink, table_cone


@lowers("Quant")
def quant(im: Lowering, node: onnx.NodeProto, tensor: str) -> str:
    fmt = im.file.quant_format(node)
    cone = table_cone(im.file, node)
    if cone is not None:
        return table(im, cone, fmt.type)
    x = im.lower(node.input[0])
    return im.builder.requantise(x, fmt.type, fmt.rounding, fmt.overflow, name=im.name())


def table(im: Lowering, cone: Cone, type_: FixedType) -> str:
    """The cone tabulated, once, in float64; the code gets axes of one where a table has entries for each of them."""
    code = im.lower(cone.leaf)
    facts = im.builder.facts[code]
    if not facts.type.is_uniform or facts.type.width > 20:
        raise im.file.refuse(cone.quant, f"a table of a code of format {facts.type}; one LSB, at most 20 bits")
    evaluate = ConeEvaluator(im.file, cone)
    codes = np.arange(facts.type.lo, facts.type.hi + 1)
    values = np.broadcast_to(
        facts.type.to_value(codes).reshape((-1,) + (1,) * len(facts.shape)), (codes.size,) + facts.shape
    )
    full = type_.from_value(evaluate(np.ascontiguousarray(values)), what=f"table in front of {cone.quant.name!r}")
    entries = shrink(full)
    shape = full.shape[1:]
    ones = (1,) * (len(shape) - len(facts.shape))
    for candidate in (ones + facts.shape, facts.shape + ones):
        if _table_agrees(evaluate, facts, entries, shape, candidate, type_):
            if candidate != facts.shape:
                code = im.builder.reshape(code, candidate, name=im.name("code"))
            if entries.ndim > 1:
                missing = (1,) * (len(shape) + 1 - entries.ndim)
                entries = entries.reshape(entries.shape[:1] + missing + entries.shape[1:])
            return im.builder.table(code, entries, type_, name=im.name())
    raise im.file.refuse(cone.quant, "ends a function that is no table of its code, element by element")


def _table_agrees(evaluate, facts, entries, shape, candidate, type_) -> bool:
    """Whether gathering by a code of this shape gives what the cone gives, on random codes."""
    try:
        if np.broadcast_shapes(candidate, shape) != shape:
            return False
    except ValueError:
        return False
    codes = np.random.default_rng(0).integers(facts.type.lo, facts.type.hi + 1, (64,) + facts.shape)
    expected = type_.from_value(evaluate(facts.type.to_value(codes)))
    index = codes.reshape((64,) + candidate) - facts.type.lo
    return np.array_equal(gather(entries, index, shape), expected)


@lowers("Gemm")
def gemm(im: Lowering, node: onnx.NodeProto, tensor: str) -> str:
    attribute = im.file.attribute
    if attribute(node, "alpha", 1.0) != 1.0 or attribute(node, "beta", 1.0) != 1.0 or attribute(node, "transA", 0):
        raise im.file.refuse(node, "with alpha, beta or transA is not supported")
    transposed = bool(attribute(node, "transB", 0))
    result = product(im, node, node.input[0], node.input[1], transposed)
    if len(node.input) < 3 or not node.input[2]:
        return result
    return im.builder.add(result, im.lower(node.input[2]), name=im.name("biased"))


@lowers("MatMul")
def matmul(im: Lowering, node: onnx.NodeProto, tensor: str) -> str:
    if im.file.constant(node.input[1]) is not None:
        return product(im, node, node.input[0], node.input[1], False)
    source = im.file.producer.get(node.input[1])
    if source is not None and source.op_type == "Transpose" and im.file.constant(source.input[0]) is not None:
        return product(im, node, node.input[0], source.input[0], _transposes(im, source))
    return products(im, node, im.lower(node.input[0]), im.lower(node.input[1]))


def _transposes(im: Lowering, node: onnx.NodeProto) -> bool:
    """Whether a Transpose of a constant matrix exchanges its axes (perm [0, 1] leaves it as it is)."""
    axes = im.file.constant(node.input[0]).ndim
    perm = list(im.file.attribute(node, "perm", range(axes)[::-1]))
    if axes != 2 or sorted(perm) != [0, 1]:
        raise im.file.refuse(node, f"of a constant of {axes} axes by perm {perm}; a matrix is supported")
    return perm == [1, 0]


def product(im: Lowering, node, x: str, w: str, transposed: bool) -> str:
    """x @ w of a constant matrix w; x @ w.T with `transposed`."""
    constant = im.file.constant(w)
    if constant is None or im.file.constant(x) is not None:
        raise im.file.refuse(node, "needs a variable on the left and a constant matrix on the right")
    if constant.ndim != 2:
        axes = f"{constant.ndim} ax{'i' if constant.ndim == 1 else 'e'}s"
        raise im.file.refuse(node, f"by a constant of {axes}; a matrix is supported")
    x = im.lower(x)
    weights, type_ = im.file.constant_integers(w)
    frac = np.asarray(type_.frac)
    if frac.ndim:
        frac = np.broadcast_to(frac, weights.shape)
    if not transposed:
        weights, frac = weights.T, frac.T
    if frac.ndim:
        if (frac != frac[:, :1]).any():
            raise im.file.refuse(node, "weights have a scale a column; one a row (output) is supported")
        frac = frac[:, 0]
    weights_type = FixedType(type_.signed, type_.width, frac)
    return im.builder.constmatmul(x, weights, weights_type, name=im.name("product"))


@lowers("Add")
def add(im: Lowering, node: onnx.NodeProto, tensor: str) -> str:
    state = next((s for s, following in im.pairs.items() if following == tensor and s in node.input), None)
    if state is not None and state not in im.tensor:
        term = im.lower(next(i for i in node.input if i != state))
        im.builder.stage = "pooling"
        im.tensor[state], following = im.builder.accumulator(state, term, out=tensor)
        return following
    a, b = map(im.lower, node.input)
    return im.builder.add(a, b, name=im.name("sum"))


@lowers("Sub")
def sub(im: Lowering, node: onnx.NodeProto, tensor: str) -> str:
    a, b = map(im.lower, node.input)
    return im.builder.sub(a, b, name=im.name("difference"))


@lowers("Max")
def maximum(im: Lowering, node: onnx.NodeProto, tensor: str) -> str:
    a, b = node.input
    return im.builder.maximum(im.lower(a), im.lower(b), name=im.name("maximum"))


@lowers("Relu")
def relu(im: Lowering, node: onnx.NodeProto, tensor: str) -> str:
    zero = im.builder.constant(0, FixedType(False, 1, 0), name=im.name("zero"))
    return im.builder.maximum(im.lower(node.input[0]), zero, name=im.name("positive"))


@lowers("Mul")
def mul(im: Lowering, node: onnx.NodeProto, tensor: str) -> str:
    for x, scale in (node.input, reversed(node.input)):
        gathered = im.file.producer.get(scale)
        if gathered is not None and gathered.op_type == "Gather":
            return normalised(im, node, x, gathered)
    a, b = map(im.lower, node.input)  # first: what they are made of takes names too
    name = tensor if tensor in im.file.outputs else im.name("product")
    return im.builder.mul(a, b, name=name)


@lowers("Pow")
def power(im: Lowering, node: onnx.NodeProto, tensor: str) -> str:
    exponent = im.file.constant(node.input[1])
    if exponent is None or not (exponent == 2).all():
        raise im.file.refuse(node, "is supported with the exponent 2 only, or inside a table")
    x = im.lower(node.input[0])
    return im.builder.mul(x, x, name=im.name("square"))


def _reduce(im: Lowering, node, kind, suffix):
    x = im.lower(node.input[0])
    axes = im.axes(node)
    if len(axes) != 1:
        raise im.file.refuse(node, f"over axes {axes}; one axis is supported")
    axis = im.axis(node, axes[0], len(im.shape(x)) + 1)
    keep = bool(im.file.attribute(node, "keepdims", 1))
    return im.builder.reduce(x, axis, kind, keepdims=keep, name=im.name(suffix)), im.shape(x)[axis]


@lowers("ReduceSum")
def reduce_sum(im: Lowering, node: onnx.NodeProto, tensor: str) -> str:
    return _reduce(im, node, "sum", "total")[0]


@lowers("ReduceMax")
def reduce_max(im: Lowering, node: onnx.NodeProto, tensor: str) -> str:
    return _reduce(im, node, "max", "maximum")[0]


@lowers("ReduceMean")
def reduce_mean(im: Lowering, node: onnx.NodeProto, tensor: str) -> str:
    total, count = _reduce(im, node, "sum", "total")
    bits = count.bit_length() - 1
    if count != 1 << bits:
        raise im.file.refuse(node, f"over {count} elements; the mean is exact for a power of two only")
    one = im.builder.constant(1, FixedType(False, 1, bits), name=im.name("reciprocal_count"))
    return im.builder.mul(total, one, name=im.name("mean"))


def _reshaped(im: Lowering, node, shape) -> str:
    return im.builder.reshape(im.lower(node.input[0]), shape, name=im.name("reshaped"))


@lowers("Identity")
def identity(im: Lowering, node: onnx.NodeProto, tensor: str) -> str:
    return im.lower(node.input[0])


@lowers("Unsqueeze")
def unsqueeze(im: Lowering, node: onnx.NodeProto, tensor: str) -> str:
    shape = list(im.shape(im.lower(node.input[0])))
    axes = im.axes(node)
    for axis in sorted(im.axis(node, a, len(shape) + 1 + len(axes)) for a in axes):
        shape.insert(axis, 1)
    return _reshaped(im, node, shape)


@lowers("Squeeze")
def squeeze(im: Lowering, node: onnx.NodeProto, tensor: str) -> str:
    shape = list(im.shape(im.lower(node.input[0])))
    axes = {im.axis(node, a, len(shape) + 1) for a in im.axes(node)}
    return _reshaped(im, node, [s for i, s in enumerate(shape) if i not in axes])


@lowers("Reshape")
def reshape(im: Lowering, node: onnx.NodeProto, tensor: str) -> str:
    given = im.file.parameters.get(node.input[1])
    if given is None:
        raise im.file.refuse(node, "has a shape that is computed; a constant one is supported")
    given = [int(s) for s in given]
    if 0 in given and im.file.attribute(node, "allowzero", 0):
        raise im.file.refuse(node, "has allowzero and a 0 in its shape (an empty tensor)")
    before = im.shape(im.lower(node.input[0]))
    beyond = [k for k, s in enumerate(given) if s == 0 and k > len(before)]
    if beyond:
        axes = len(before) + 1
        raise im.file.refuse(node, f"has a 0 at axis {beyond[0]} of its shape, but only {axes} axes to copy from")
    shape = [before[k] if s == 0 else s for k, s in enumerate(given[1:])]  # 0 copies
    size, known = int(np.prod(before)), int(np.prod([s for s in shape if s > 0]))
    shape = [size // known if s == -1 else s for s in shape]
    if int(np.prod(shape)) != size:
        raise im.file.refuse(node, f"has the shape {given} for {before} behind the batch axis; the batch must stay")
    return _reshaped(im, node, shape)


@lowers("Flatten")
def flatten(im: Lowering, node: onnx.NodeProto, tensor: str) -> str:
    shape = im.shape(im.lower(node.input[0]))
    axis = int(im.file.attribute(node, "axis", 1))
    if axis not in (1, -len(shape)):
        raise im.file.refuse(node, f"at axis {axis}; axis 1, which keeps the batch, is supported")
    return _reshaped(im, node, [int(np.prod(shape))])


@lowers("Slice")
def slice_(im: Lowering, node: onnx.NodeProto, tensor: str) -> str:
    x = im.lower(node.input[0])
    starts, ends, axes, steps = (
        np.atleast_1d(im.file.parameters[i]) if i else None
        for i in (list(node.input[1:]) + ["", ""])[:4]
    )
    if axes is None or len(axes) != 1 or (steps is not None and (steps != 1).any()):
        raise im.file.refuse(node, "is supported on one axis with step 1")
    axis = im.axis(node, int(axes[0]), len(im.shape(x)) + 1)
    size = im.shape(x)[axis]
    start, stop = (min(max(v + size if v < 0 else v, 0), size) for v in (int(starts[0]), int(ends[0])))
    if tensor in im.pairs.values():  # a state that keeps samples belongs where they come from
        im.builder.stage = next(n.stage for n in im.builder.nodes if n.name == x)
    name = tensor if tensor in im.file.outputs else im.name("slice")
    return im.builder.slice(x, axis, start, stop, name=name)


@lowers("Split")
def split(im: Lowering, node: onnx.NodeProto, tensor: str) -> str:
    x = im.lower(node.input[0])
    axis = im.axis(node, int(im.file.attribute(node, "axis", 0)), len(im.shape(x)) + 1)
    size = im.shape(x)[axis]
    count = len(node.output)
    parts = im.file.parameters[node.input[1]] if len(node.input) > 1 else [size // count] * count
    edges = np.concatenate([[0], np.cumsum(parts)]).astype(int)
    k = list(node.output).index(tensor)
    return im.builder.slice(x, axis, edges[k], edges[k + 1], name=im.name("slice"))


@lowers("Concat")
def concat(im: Lowering, node: onnx.NodeProto, tensor: str) -> str:
    xs = [im.lower(i) for i in node.input]
    axis = im.axis(node, int(im.file.attribute(node, "axis")), len(im.shape(xs[0])) + 1)
    return im.builder.concat(xs, axis, name=tensor if tensor in im.file.outputs else im.name("concat"))
