"""Vectorised kernels for the golden executor: exact integers carried in floating point.

NumPy's floating-point loops and BLAS are several times faster than its int64 ones, and exact as long as every value
and every partial sum is an integer multiple of a power of two that fits the mantissa. The interval analysis proves
that: a tensor of at most 24 bits is carried in float32, one of at most 53 in float64, anything wider is refused.

A tensor's carrier holds ``value * 2**unit``. Units are chosen so that scaling costs nothing where possible: weights,
constants and tables are stored in the unit that the next `requantise` wants.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

import numpy as np

from venom_hw.datapath.fixed import Overflow, Rounding
from venom_hw.datapath.graph import Graph, Node
from venom_hw.datapath.ops import DatapathError, collapse, full_frac

Unit = int | np.ndarray
Kernel = Callable[[list[np.ndarray], "np.ndarray | None"], np.ndarray]


class NoKernel(DatapathError):
    """A node that this engine does not compute: an operation of the head, or integers that float64 does not hold."""


def carrier(width: int, name: str) -> np.dtype:
    if width > 53:
        raise NoKernel(f"node {name!r}: {width} bits are more than float64 carries exactly (53)")
    return np.dtype(np.float32 if width <= 24 else np.float64)


class SaturationCounter:
    """Counts, by tensor, values that a requantise had to saturate; only samples inside their window count."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self.valid: np.ndarray | None = None  # (batch,) bool of the running call, None: all

    def add(self, name: str, outside: np.ndarray) -> None:
        if self.valid is not None and len(outside) == len(self.valid):  # else a constant, the same in every sample
            outside = outside[self.valid]
        if count := int(np.count_nonzero(outside)):
            self.counts[name] = self.counts.get(name, 0) + count


class Kernels:
    """Compiles the nodes of one graph; one instance a thread (the saturation counter is not shared).

    Tensors named in `wide` are carried in float64 whatever their width, where that saves conversions.
    """

    def __init__(self, graph: Graph, counter: SaturationCounter, wide: Collection[str] = ()):
        self.graph, self.counter = graph, counter
        self.want = wanted_units(graph)
        self.unit: dict[str, Unit] = {}
        self.dtype: dict[str, np.dtype] = {}
        self.kernel: dict[str, Kernel] = {}
        self.inputs = {node.name: node.inputs for node in graph.nodes}
        self.fused = {mul.name for node in graph.nodes if (mul := contracted(graph, node)) is not None}
        for node in graph.nodes:
            dtype = carrier(node.type.width, node.name)
            self.dtype[node.name] = np.dtype(np.float64) if node.name in wide else dtype
            make = getattr(self, f"_{node.op}", None)
            if make is None:
                raise NoKernel(f"node {node.name!r}: the windowed executor has no kernel for {node.op}")
            self.unit[node.name], self.kernel[node.name] = make(node)

    # units -----------------------------------------------------------------------------------------------------

    def to_carrier(self, name: str, integers: np.ndarray) -> np.ndarray:
        """Raw integers (..., *shape) to the carrier of a tensor."""
        delta = np.asarray(self.unit[name]) - np.asarray(self.graph[name].type.frac)
        return np.ldexp(integers.astype(np.float64), delta.astype(np.int32)).astype(self.dtype[name])

    def to_integers(self, name: str, values: np.ndarray) -> np.ndarray:
        """A tensor's raw integers (int64) from its carrier."""
        delta = np.asarray(self.graph[name].type.frac) - np.asarray(self.unit[name])
        if delta.any():
            values = np.multiply(values, _power(delta, np.dtype(np.float64)), dtype=np.float64)
        return values.astype(np.int64)

    def rescale(self, source: str, target: str) -> np.ndarray | float | None:
        """The factor from one tensor's carrier to that of another of the same shape and LSB, None for 1."""
        delta = np.asarray(self.unit[target]) - np.asarray(self.unit[source])
        return _power(delta, np.dtype(np.float64)) if delta.any() else None

    def _rank(self, node: Node) -> list[Callable[[np.ndarray], np.ndarray]]:
        """Per operand: insert axes after the batch axis, so that trailing axes pair."""
        rank = len(node.shape)

        def lift(shape):
            missing = rank - len(shape)
            if not missing:
                return lambda v: v
            return lambda v: v.reshape(v.shape[:1] + (1,) * missing + v.shape[1:])

        return [lift(self.graph[i].shape) for i in node.inputs]

    def _scales(self, node: Node, unit: Unit) -> list[np.ndarray | float | None]:
        """Per operand: the factor that brings it to `unit`, None for 1."""
        out = []
        for name in node.inputs:
            delta = np.asarray(unit) - np.asarray(self.unit[name])
            out.append(None if not delta.any() else _power(delta, self.dtype[name]))
        return out

    # operations ------------------------------------------------------------------------------------------------

    def _given(self, node: Node):
        return node.type.frac, None

    _input = _state = _given

    def _constant(self, node: Node):
        unit = self.want.get(node.name, node.type.frac)
        self.unit[node.name] = unit
        value = self.to_carrier(node.name, self.graph.constants[node.attrs["key"]])[None]
        return unit, lambda args, out: value

    def _constmatmul(self, node: Node):
        (x,) = node.inputs
        weights = self.graph.constants[node.attrs["weights"]].astype(np.float64)
        weight_frac = np.asarray(node.attrs["weights_type"]["frac"])
        unit = self.want.get(node.name, node.type.frac)
        unit = node.type.frac if np.ndim(unit) > 1 else unit  # a matrix of units is no row of the weights' matrix
        if max(np.ndim(self.unit[x]), np.ndim(self.graph[x].type.frac)) > 1:
            raise NoKernel(f"node {node.name!r}: an operand with a binary point in each element of a matrix")
        facts = self.graph.facts[x]
        reach = np.maximum(np.abs(facts.lo), np.abs(facts.hi)).astype(np.float64)
        if reach.ndim > 1:
            reach = reach.reshape(-1, reach.shape[-1]).max(axis=0)
        lsb = np.ldexp(reach, (facts.type.max_frac - np.broadcast_to(facts.type.frac, reach.shape)).astype(np.int32))
        bits = float((np.abs(weights) @ lsb).max())
        if bits >= 2**53:
            raise NoKernel(f"node {node.name!r}: a partial sum of {bits:.3g} is not exact in float64")
        dtype = np.dtype(np.float32 if bits < 2**24 else np.float64)
        self.dtype[node.name] = dtype
        exponent = np.broadcast_to(unit, node.shape[-1:])[:, None] - weight_frac.reshape(-1, 1)
        exponent = exponent - np.broadcast_to(self.unit[x], (weights.shape[1],))[None]
        matrix = np.ascontiguousarray(np.ldexp(weights, exponent.astype(np.int32)).T.astype(dtype))

        def kernel(args, out):
            return np.matmul(args[0].astype(dtype, copy=False), matrix, out=out)

        return unit, kernel

    def _aligned(self, node: Node, function):
        unit = self.want.get(node.name)
        if unit is None:
            unit = collapse(np.maximum(*(np.asarray(self.unit[i]) for i in node.inputs)))
        lifts, scales, dtype = self._rank(node), self._scales(node, unit), self.dtype[node.name]

        def kernel(args, out):
            a, b = (
                (lift(arg) if scale is None else lift(arg) * scale).astype(dtype, copy=False)
                for arg, lift, scale in zip(args, lifts, scales, strict=True)
            )
            return function(a, b, out=out)

        return unit, kernel

    def _add(self, node: Node):
        return self._aligned(node, np.add)

    def _sub(self, node: Node):
        return self._aligned(node, np.subtract)

    def _maximum(self, node: Node):
        return self._aligned(node, np.maximum)

    def _mul(self, node: Node):
        a, b = node.inputs
        unit = np.asarray(self.unit[a]) + np.asarray(self.unit[b])
        want, lifts, dtype = self.want.get(node.name), self._rank(node), self.dtype[node.name]
        scale = None
        if want is not None and (np.asarray(want) - unit).any():
            scale, unit = FullScale(_power(np.asarray(want) - unit, dtype), node.shape), np.asarray(want)
        shapes = [(1,) * (len(node.shape) - len(self.graph[i].shape)) + self.graph[i].shape for i in node.inputs]
        outer = shapes == [node.shape[:1] + (1,), (1,) + node.shape[1:]] and len(node.shape) == 2
        constant = any(self.graph[i].op == "constant" for i in node.inputs)

        def kernel(args, out):
            a, b = (lift(arg).astype(dtype, copy=False) for arg, lift in zip(args, lifts, strict=True))
            if outer and not constant:  # einsum's inner loop is quicker than a broadcast over a short axis
                product = np.einsum("bi,bj->bij", a[:, :, 0], b[:, 0], out=out)
            else:
                product = np.multiply(a, b, out=out)
            return product if scale is None else np.multiply(product, scale(product.shape[0]), out=product)

        return collapse(unit), kernel

    def _table(self, node: Node):
        (code,) = node.inputs
        unit = self._table_unit(node)
        self.unit[node.name] = unit
        entries = self.graph.constants[node.attrs["entries"]]
        one_for_all = np.ndim(unit) == 0 and node.type.is_uniform
        entries = self.to_carrier(node.name, entries if one_for_all else _full(entries, node.shape))
        code_node = self.graph[code]
        scale = _power(np.asarray(code_node.type.frac) - np.asarray(self.unit[code]), np.dtype(np.float64))
        low, size = code_node.type.lo, entries.shape[0]
        code_shape = (1,) * (len(node.shape) - len(code_node.shape)) + code_node.shape
        same_unit = not np.asarray(code_node.type.frac - np.asarray(self.unit[code])).any()

        def index(arg):
            arg = arg if same_unit else arg * scale
            return arg.astype(np.intp).reshape(arg.shape[:1] + code_shape)

        if entries.ndim == 1:
            rotated = np.roll(entries, low)  # a negative code counts from the end

            def kernel(args, out):
                i = index(args[0])
                if i.shape[1:] != node.shape:
                    i = np.broadcast_to(i, i.shape[:1] + node.shape)
                return np.take(rotated, i, out=out, mode="wrap")

            return unit, kernel

        # entries per element: leading axes that the code has, trailing axes gathered as whole rows
        lead = next((k for k in range(len(code_shape), 0, -1) if code_shape[k - 1] != 1), 0)
        if code_shape[:lead] != node.shape[:lead]:
            raise NoKernel(f"node {node.name!r}: codes of shape {code_node.shape} for a table of {node.shape}")
        rows = _full(entries, node.shape).reshape((size, -1) + node.shape[lead:])
        rows = np.ascontiguousarray(np.moveaxis(rows, 0, 1)).reshape((-1,) + node.shape[lead:])
        base = (np.arange(rows.shape[0] // size, dtype=np.intp) * size).reshape(node.shape[:lead])
        base -= low

        def kernel(args, out):
            i = index(args[0])
            i = i.reshape(i.shape[: 1 + lead])
            return np.take(rows, i + base, axis=0, out=out, mode="clip")

        return unit, kernel

    def _table_unit(self, node: Node) -> Unit:
        """In front of a lone product with a state, the unit that makes the product come out in the wanted one."""
        if node.name in self.want:
            return self.want[node.name]
        users = self.graph.users(node.name)
        if len(users) == 1 and users[0].op == "mul" and users[0].name in self.want:
            (other,) = [i for i in users[0].inputs if i != node.name] or (node.name,)
            if self.graph[other].op == "state":
                return collapse(np.asarray(self.want[users[0].name]) - np.asarray(self.graph[other].type.frac))
        return node.type.frac

    def _requantise(self, node: Node):
        (x,) = node.inputs
        unit = node.type.frac
        delta = np.asarray(unit) - np.asarray(self.unit[x])
        scale = None if not delta.any() else _power(delta, self.dtype[x])
        lo, hi = node.type.limits(Overflow(node.attrs["overflow"]))
        rounding = np.rint if Rounding(node.attrs["rounding"]) is Rounding.HALF_EVEN else np.floor
        dtype, source, name, counter = self.dtype[node.name], self.dtype[x], node.name, self.counter
        same = dtype == source
        limits_inexact = source == np.float32 and node.type.width > 24  # 2**25 - 1 is no float32

        def kernel(args, out):
            x = args[0].astype(np.float64) if limits_inexact else args[0]
            buffer = out if same else None
            if scale is not None:
                x = buffer = np.multiply(x, scale, out=buffer)
            x = rounding(x, out=buffer)
            if x.size and (x.max() > hi or x.min() < lo):
                counter.add(name, (x > hi) | (x < lo))
                np.clip(x, lo, hi, out=x)
            if same:
                return x
            if out is None:
                return x.astype(dtype)
            out[...] = x
            return out

        return unit, kernel

    def _taps(self, node: Node, product: Node, constant: str):
        """sum over the first axis of x*w, w constant (a depthwise convolution's taps): one matrix product."""
        (x,) = [i for i in product.inputs if i != constant]
        taps, channels = product.shape
        value = np.broadcast_to(self.graph[constant].type.to_value(self._integers(constant)), product.shape)
        unit = self.want.get(node.name, node.type.frac)
        scaled = np.ldexp(value, (np.asarray(unit) - np.asarray(self.unit[x])).astype(np.int32))
        matrix = np.zeros((taps, channels, channels))
        matrix[:, np.arange(channels), np.arange(channels)] = scaled
        dtype = self._dtype_of_sum(node, product)
        self.dtype[node.name] = dtype
        matrix = matrix.reshape(taps * channels, channels).astype(dtype)
        self.inputs[node.name] = (x,)

        def kernel(args, out):
            return np.matmul(args[0].reshape(-1, taps * channels).astype(dtype, copy=False), matrix, out=out)

        return unit, kernel

    def _integers(self, constant: str) -> np.ndarray:
        return self.graph.constants[self.graph[constant].attrs["key"]]

    def _dtype_of_sum(self, node: Node, x: Node) -> np.dtype:
        """Carrier in which every partial sum of a reduce is exact, in whatever order it is taken."""
        facts, axis = self.graph.facts[x.name], node.attrs["axis"]
        reach = np.maximum(np.abs(facts.lo), np.abs(facts.hi)).astype(object)
        reach = (reach * (1 << (facts.type.max_frac - full_frac(facts)).astype(object))).sum(axis=axis)
        return carrier(int(np.max(reach)).bit_length(), f"{node.name}, a partial sum of")

    def _contraction(self, node: Node, product: Node):
        """sum over the last axis of a*b, b without the other axes: a matrix times a vector for each sample."""
        a, b = sorted(product.inputs, key=lambda name: -self.graph.numel(name))
        unit = int(np.max(self.graph[product.name].type.frac))
        common = unit - np.asarray(self.unit[b])
        scale = None
        if (common - np.asarray(self.unit[a])).any():
            scale = FullScale(_power(common - np.asarray(self.unit[a]), np.dtype(np.float64)), self.graph[a].shape)
        self.inputs[node.name] = (a, b)
        self.dtype[node.name] = np.dtype(np.float64)
        length = node.shape[-1] if node.shape else 1

        def kernel(args, out):
            matrix = args[0].astype(np.float64, copy=False)
            if scale is not None:
                matrix = matrix * scale(matrix.shape[0])
            vector = args[1].astype(np.float64, copy=False).reshape(args[1].shape[0], -1, 1)
            into = None if out is None else out.reshape(out.shape[0], length, 1)
            return np.matmul(matrix, vector, out=into).reshape(-1, *node.shape)

        return unit, kernel

    def _reduce(self, node: Node):
        (x,) = node.inputs
        product = contracted(self.graph, node)
        if product is not None:
            constant = next((i for i in product.inputs if self.graph[i].op == "constant"), None)
            return self._taps(node, product, constant) if constant else self._contraction(node, product)
        axis, keep = node.attrs["axis"], node.attrs["keepdims"]
        unit = self.want.get(node.name)
        if unit is None or np.ndim(unit):
            unit = int(np.max(self.graph[x].type.frac))
        (scale,) = self._scales(node, unit)
        function = np.add.reduce if node.attrs["kind"] == "sum" else np.maximum.reduce
        shape = self.graph[x].shape
        dtype = np.result_type(self.dtype[x], self._dtype_of_sum(node, self.graph[x]))
        self.dtype[node.name] = dtype
        if node.attrs["kind"] == "sum" and axis == len(shape) - 1:  # BLAS sums a short last axis faster
            weight = np.full(shape[-1], 1.0, dtype)
            if scale is not None:
                weight = weight * scale if np.ndim(scale) == 0 or np.shape(scale) == (shape[-1],) else None
            if weight is not None:

                def dot(args, out):
                    rows = args[0].astype(dtype, copy=False).reshape(-1, shape[-1]) @ weight
                    return rows.reshape(args[0].shape[:1] + node.shape)

                return unit, dot

        def kernel(args, out):
            x = args[0] if scale is None else args[0] * scale
            if shape[axis] <= 8 and function is np.add.reduce and not keep:  # quicker than a reduction of few terms
                terms = np.moveaxis(x, axis + 1, 0)
                total = np.add(terms[0], terms[1], out=out, dtype=dtype) if len(terms) > 1 else terms[0]
                for term in terms[2:]:
                    np.add(total, term, out=total)
                return total
            return function(x, axis=axis + 1, keepdims=keep, dtype=dtype, out=out)

        return unit, kernel

    def _moved_unit(self, node: Node, move) -> Unit:
        units = [np.broadcast_to(self.unit[i], self.graph[i].shape) for i in node.inputs]
        return collapse(move(units))

    def _slice(self, node: Node):
        take = [slice(None)] * len(node.shape)
        take[node.attrs["axis"]] = slice(node.attrs["start"], node.attrs["stop"])
        take = tuple(take)
        return self._moved_unit(node, lambda u: u[0][take]), lambda args, out: args[0][(slice(None), *take)]

    def _reshape(self, node: Node):
        return (
            self._moved_unit(node, lambda u: u[0].reshape(node.shape)),
            lambda args, out: args[0].reshape(args[0].shape[:1] + node.shape),
        )

    def _concat(self, node: Node):
        axis = node.attrs["axis"]

        def kernel(args, out):
            batch = max(a.shape[0] for a in args)
            args = [np.broadcast_to(a, (batch,) + a.shape[1:]) for a in args]
            return np.concatenate(args, axis=axis + 1, out=out)

        return self._moved_unit(node, lambda u: np.concatenate(u, axis=axis)), kernel

    def _accumulate(self, node: Node):
        return self._aligned(node, np.add)


def contracted(graph: Graph, node: Node) -> Node | None:
    """The product, used nowhere else, that a reduce sums in one matrix operation.

    Either (m, n) times (1, n) summed over n, or (taps, channels) times a constant summed over the taps.
    """
    if node.op != "reduce" or node.attrs["kind"] != "sum" or node.attrs["keepdims"]:
        return None
    product = graph[node.inputs[0]]
    named = {name for pair in (*graph.outputs, *graph.states) for name in pair}
    if product.op != "mul" or len(product.shape) != 2 or product.name in named or len(graph.users(product.name)) != 1:
        return None
    constants = [i for i in product.inputs if graph[i].op == "constant"]
    if constants:
        whole = [i for i in product.inputs if i not in constants and graph[i].shape == product.shape]
        return product if len(constants) == 1 and whole and node.attrs["axis"] == 0 else None
    sizes = sorted(graph.numel(i) for i in product.inputs)
    vector = sizes == [product.shape[1], graph.numel(product.name)] and product.shape[0] > 1
    fits = product.type.width + product.shape[1].bit_length() + int(np.ptp(np.asarray(product.type.frac))) <= 53
    return product if vector and fits and node.attrs["axis"] == 1 else None


class FullScale:
    """A scale per element repeated for the whole batch: NumPy multiplies equal shapes faster than short rows."""

    def __init__(self, scale: np.ndarray | float, shape: tuple[int, ...]):
        self.scale, self.shape = scale, shape
        self.full = np.empty((0, *shape))

    def __call__(self, batch: int) -> np.ndarray | float:
        if np.ndim(self.scale) == 0:
            return self.scale
        if len(self.full) < batch:
            self.full = np.ascontiguousarray(np.broadcast_to(self.scale, (batch, *self.shape)))
        return self.full[:batch]


def _full(entries: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Entries (E, *elem) with elem broadcast to the whole shape (E, *shape)."""
    elem = entries.shape[1:]
    entries = entries.reshape(entries.shape[:1] + (1,) * (len(shape) - len(elem)) + elem)
    return np.broadcast_to(entries, entries.shape[:1] + shape)


def _power(exponent: np.ndarray, dtype: np.dtype):
    """2**exponent; a Python float when uniform, so that it does not widen a float32 product."""
    exponent = np.asarray(exponent)
    if exponent.size == 1 or exponent.min() == exponent.max():
        return float(np.ldexp(1.0, int(exponent.flat[0])))
    return np.ldexp(1.0, exponent.astype(np.int32)).astype(dtype)


def wanted_units(graph: Graph) -> Mapping[str, Unit]:
    """The unit that each tensor's first consumer would like it in, walking up from the requantises."""
    want: dict[str, Unit] = {}
    for node in reversed(graph.nodes):
        unit = node.type.frac if node.op == "requantise" else want.get(node.name)
        if unit is None:
            continue
        if node.op in ("requantise", "add", "sub", "maximum"):
            for name in node.inputs:
                size = np.ndim(unit) and np.broadcast_shapes(np.shape(unit), graph[name].shape) != graph[name].shape
                if not size:
                    want.setdefault(name, unit)
        elif node.op == "reduce" and np.ndim(unit) == 0:
            want.setdefault(node.inputs[0], unit)
    return want
