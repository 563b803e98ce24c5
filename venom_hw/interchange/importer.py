"""QONNX files -> datapath: a step graph and a head graph, from the files alone.

Every live Quant becomes a `requantise`, or ends a `table` (`tables`); what lies between is lowered node by node to the
datapath's exact operations. An operation that is not in the table below is refused, by name.

==================================== ==========================================================================
ONNX                                 datapath
==================================== ==========================================================================
Quant                                requantise, table, or a quantised parameter
Gemm (transB=1), MatMul by constant  constmatmul, add; MatMul of two variables: matmul
Add, Sub, Mul, Max, Pow 2            add, sub, mul, maximum; Add of a state to its own next value: accumulate
ReduceSum, ReduceMean (of 2**k)      reduce, and a multiplication by 2**-k
Unsqueeze, Squeeze, Reshape, Flatten reshape
Slice, Split, Concat                 slice, concat
GreaterOrEqual, Cast, ReduceSum,     normalise and shift: x * 2**-floor(log2(den)), by comparison of den with all
Gather, Mul                          powers of two and a gather of 2**-k
==================================== ==========================================================================
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx

from venom_hw.datapath.fixed import FixedPointError, FixedType
from venom_hw.datapath.graph import Graph, GraphBuilder
from venom_hw.datapath.model import Datapath
from venom_hw.datapath.ops import DatapathError, gather
from venom_hw.interchange.onnx_graph import ImportRefused, OnnxGraph
from venom_hw.interchange.stages import FALLBACK, stage_of, tensor_name
from venom_hw.interchange.tables import Cone, ConeEvaluator, shrink, table_cone

STATE_PREFIX = "venom.state."
SUPPORTED = (
    "Quant, Gemm, MatMul, Add, Sub, Mul, Max, Pow (exponent 2), ReduceSum, ReduceMean, Unsqueeze, Squeeze, Reshape, "
    "Flatten, Identity, Slice, Split, Concat, the normalise pattern (GreaterOrEqual, Cast, ReduceSum, Gather, Mul), "
    "and elementwise functions of one quantised tensor that end in a Quant"
)


def import_venom(step: str | Path, head: str | Path) -> Datapath:
    """The datapath of a step file and a head file.

    Raises:
        ImportRefused: a file is missing or holds something that the datapath cannot; names the node, its op and what
            is supported.
    """
    step_file, head_file = OnnxGraph(step), OnnxGraph(head)
    step_graph = import_graph(step_file)
    sums = {state: step_graph[state].type for state, _ in step_graph.states}
    head_graph = import_graph(head_file, {n: sums[n] for n in head_file.inputs if n in sums})
    meta = {"model": step_file.metadata.get("venom.model", Path(step).parent.name), "max_steps": step_graph.max_steps}
    for key, value in step_file.metadata.items():
        if key == "venom.window":
            meta["window"] = json.loads(value)
    return Datapath(step_graph, head_graph, meta)


def import_graph(file: OnnxGraph, input_types: Mapping[str, FixedType] | None = None) -> Graph:
    """One file. `input_types` overrides the formats of inputs that the file's metadata states."""
    try:
        return _Importer(file, dict(input_types or {})).run()
    except (DatapathError, FixedPointError) as error:
        raise ImportRefused(f"{file.path.name}: {error}") from error


class _Importer:
    def __init__(self, file: OnnxGraph, input_types: dict[str, FixedType]):
        self.file, self.input_types = file, input_types
        try:
            max_steps = int(file.metadata.get("venom.max_steps", 1))
        except ValueError as error:
            raise file.refuse(None, f"metadata venom.max_steps {file.metadata['venom.max_steps']!r}") from error
        self.pairs = {
            k[len(STATE_PREFIX) :]: v for k, v in file.metadata.items() if k.startswith(STATE_PREFIX)
        }
        for state, following in self.pairs.items():
            if state not in file.inputs or following not in file.outputs:
                raise file.refuse(
                    None, f"metadata {STATE_PREFIX}{state} = {following!r} does not name an input and an output"
                )
        self.builder = GraphBuilder(file.metadata.get("venom.graph", file.path.stem), max_steps=max_steps)
        self.tensor: dict[str, str] = {}  # ONNX tensor -> datapath node
        self.target = ""  # name of the quantised tensor being built: names its intermediates

    def run(self) -> Graph:
        file = self.file
        for name in file.inputs:
            if name not in self.pairs:
                self.tensor[name] = self.builder.input(name, file.input_shape(name), self.input_type(name))
        for node in file.nodes:
            wanted = [o for o in node.output if o in file.outputs]
            if wanted or (node.op_type == "Quant" and file.constant(node.output[0]) is None):
                self.lower(node.output[0])
        outputs = {}
        for name in file.outputs:
            if name not in self.pairs.values():
                outputs[name] = self.lower(name)
        for state in file.inputs:  # the order of a channel's state words: metadata pairs in the order of `STATES`
            if state in self.pairs and state not in self.builder.states:
                self.builder.next_state(self.lower(state), self.lower(self.pairs[state]))
        order = sorted(self.builder.states, key=_state_order)
        self.builder.states = {s: self.builder.states[s] for s in order}
        return self.builder.build(outputs)

    def input_type(self, name: str) -> FixedType:
        if name in self.input_types:
            return self.input_types[name]
        text = self.file.metadata.get(f"venom.input.{name}")
        if text is None:
            users = [n for n in self.file.nodes if name in n.input]
            if len(users) == 1 and users[0].op_type == "Quant":
                return self.file.quant_format(users[0]).type
            raise self.file.refuse(
                None, f"input {name!r} has no format: expected metadata venom.input.{name} or a Quant as its only user"
            )
        try:
            data = json.loads(text)
            frac = np.asarray(data["frac"])
            frac = frac[0] if frac.ndim > len(self.file.input_shape(name)) else frac  # the batch axis
            return FixedType(bool(data["signed"]), int(data["bits"]), frac)
        except (KeyError, TypeError, ValueError) as error:
            raise self.file.refuse(None, f"metadata venom.input.{name} {text!r} is no format ({error})") from error

    # names -----------------------------------------------------------------------------------------------------

    def name(self, suffix: str = "") -> str:
        """A name for an intermediate of the tensor being built; without a suffix, for that tensor itself."""
        base = "_".join(part for part in (self.target, suffix) if part)
        name, k = base, 1
        while name in self.builder.facts:
            k += 1
            name = f"{base}{k}"
        return name

    # lowering --------------------------------------------------------------------------------------------------

    def lower(self, tensor: str) -> str:
        """The datapath node of an ONNX tensor, made now if need be."""
        if tensor in self.tensor:
            return self.tensor[tensor]
        if tensor in self.file.inputs:  # a state
            self.tensor[tensor] = self.builder.state(tensor, self.file.input_shape(tensor), self.input_type(tensor))
            return self.tensor[tensor]
        if self.file.constant(tensor) is not None:
            return self.constant(tensor)
        node = self.file.producer.get(tensor)
        if node is None:
            raise self.file.refuse(None, f"tensor {tensor!r} is made by no node")
        outer = self.target, self.builder.stage
        if node.op_type == "Quant":
            path = self.file.path_of(node)
            self.target = tensor if tensor in self.file.outputs else tensor_name(path or tensor)
            self.builder.stage = stage_of(path, self.builder.name)
        elif tensor in self.file.outputs and not self.builder.stage:
            self.builder.stage = FALLBACK.get(self.builder.name, "main")
        handler = getattr(self, f"_{node.op_type}", None)
        if handler is None:
            raise self.file.refuse(node, f"is not supported here; supported: {SUPPORTED}")
        result = handler(node, tensor)
        self.target, self.builder.stage = outer
        self.tensor[tensor] = result
        return result

    def constant(self, tensor: str) -> str:
        integers, type_ = self.file.constant_integers(tensor)
        frac = type_.frac
        if integers.ndim and integers.shape[0] == 1:  # the batch axis
            integers = integers[0]
            if np.ndim(frac) and np.shape(frac)[0] == 1:
                frac = frac[0]
        name = tensor_name(self.file.path_of(self.file.producer[tensor])) if tensor in self.file.producer else ""
        name = name if name and name not in self.builder.facts else self.name("constant")
        node = self.builder.constant(integers, FixedType(type_.signed, type_.width, frac), name=name)
        self.tensor[tensor] = node
        return node

    def axis(self, node: onnx.NodeProto, axis: int, rank: int) -> int:
        """An ONNX axis of a tensor of `rank` axes (batch included) as a datapath axis."""
        axis = axis + rank if axis < 0 else axis
        if axis == 0:
            raise self.file.refuse(node, "works along the batch axis")
        return axis - 1

    def shape(self, name: str) -> tuple[int, ...]:
        return self.builder.facts[name].shape

    def _axes(self, node: onnx.NodeProto) -> list[int]:
        if len(node.input) > 1 and node.input[1]:
            return [int(a) for a in np.atleast_1d(self.file.parameters[node.input[1]])]
        axes = self.file.attribute(node, "axes")
        if axes is None:
            raise self.file.refuse(node, "has no axes")
        return list(axes)

    # operations ------------------------------------------------------------------------------------------------

    def _Quant(self, node, tensor):
        fmt = self.file.quant_format(node)
        cone = table_cone(self.file, node)
        if cone is not None:
            return self.table(cone, fmt.type)
        x = self.lower(node.input[0])
        return self.builder.requantise(x, fmt.type, fmt.rounding, fmt.overflow, name=self.name())

    def table(self, cone: Cone, type_: FixedType) -> str:
        code = self.lower(cone.leaf)
        facts = self.builder.facts[code]
        if not facts.type.is_uniform or facts.type.width > 20:
            raise self.file.refuse(cone.quant, f"a table of a code of format {facts.type}; one LSB, at most 20 bits")
        evaluate = ConeEvaluator(self.file, cone)
        codes = np.arange(facts.type.lo, facts.type.hi + 1)
        values = np.broadcast_to(
            facts.type.to_value(codes).reshape((-1,) + (1,) * len(facts.shape)), (codes.size,) + facts.shape
        )
        full = type_.from_value(evaluate(np.ascontiguousarray(values)), what=f"table in front of {cone.quant.name!r}")
        entries = shrink(full)
        shape = full.shape[1:]
        ones = (1,) * (len(shape) - len(facts.shape))
        for candidate in (ones + facts.shape, facts.shape + ones):
            if self._table_agrees(evaluate, facts, entries, shape, candidate, type_):
                if candidate != facts.shape:
                    code = self.builder.reshape(code, candidate, name=self.name("code"))
                if entries.ndim > 1:
                    missing = (1,) * (len(shape) + 1 - entries.ndim)
                    entries = entries.reshape(entries.shape[:1] + missing + entries.shape[1:])
                return self.builder.table(code, entries, type_, name=self.name())
        raise self.file.refuse(cone.quant, "ends a function that is no table of its code, element by element")

    @staticmethod
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

    def _Gemm(self, node, tensor):
        attribute = self.file.attribute
        if attribute(node, "alpha", 1.0) != 1.0 or attribute(node, "beta", 1.0) != 1.0 or attribute(node, "transA", 0):
            raise self.file.refuse(node, "with alpha, beta or transA is not supported")
        transposed = bool(attribute(node, "transB", 0))
        product = self.product(node, node.input[0], node.input[1], transposed)
        if len(node.input) < 3 or not node.input[2]:
            return product
        return self.builder.add(product, self.lower(node.input[2]), name=self.name("biased"))

    def _MatMul(self, node, tensor):
        if self.file.constant(node.input[1]) is not None:
            return self.product(node, node.input[0], node.input[1], False)
        return self.builder.matmul(self.lower(node.input[0]), self.lower(node.input[1]), name=self.name("matmul"))

    def product(self, node, x: str, w: str, transposed: bool) -> str:
        if self.file.constant(w) is None or self.file.constant(x) is not None:
            raise self.file.refuse(node, "needs a variable on the left and a constant matrix on the right")
        x = self.lower(x)
        weights, type_ = self.file.constant_integers(w)
        frac = np.asarray(type_.frac)
        if frac.ndim:
            frac = np.broadcast_to(frac, weights.shape)
        if not transposed:
            weights, frac = weights.T, frac.T
        if frac.ndim:
            if (frac != frac[:, :1]).any():
                raise self.file.refuse(node, "weights have a scale a column; one a row (output) is supported")
            frac = frac[:, 0]
        weights_type = FixedType(type_.signed, type_.width, frac)
        return self.builder.constmatmul(x, weights, weights_type, name=self.name("product"))

    def _Add(self, node, tensor):
        state = next((s for s, following in self.pairs.items() if following == tensor and s in node.input), None)
        if state is not None and state not in self.tensor:
            term = self.lower(next(i for i in node.input if i != state))
            self.builder.stage = "pooling"
            self.tensor[state], following = self.builder.accumulator(state, term, out=tensor)
            return following
        return self.builder.add(*map(self.lower, node.input), name=self.name("sum"))

    def _Sub(self, node, tensor):
        return self.builder.sub(*map(self.lower, node.input), name=self.name("difference"))

    def _Max(self, node, tensor):
        a, b = node.input
        return self.builder.maximum(self.lower(a), self.lower(b), name=self.name("maximum"))

    def _Mul(self, node, tensor):
        for x, scale in (node.input, reversed(node.input)):
            gathered = self.file.producer.get(scale)
            if gathered is not None and gathered.op_type == "Gather":
                return self.normalised(node, x, gathered)
        name = tensor if tensor in self.file.outputs else self.name("product")
        return self.builder.mul(*map(self.lower, node.input), name=name)

    def _Pow(self, node, tensor):
        exponent = self.file.constant(node.input[1])
        if exponent is None or not (exponent == 2).all():
            raise self.file.refuse(node, "is supported with the exponent 2 only, or inside a table")
        x = self.lower(node.input[0])
        return self.builder.mul(x, x, name=self.name("square"))

    def _reduce(self, node, kind, suffix):
        x = self.lower(node.input[0])
        axes = self._axes(node)
        if len(axes) != 1:
            raise self.file.refuse(node, f"over axes {axes}; one axis is supported")
        axis = self.axis(node, axes[0], len(self.shape(x)) + 1)
        keep = bool(self.file.attribute(node, "keepdims", 1))
        return self.builder.reduce(x, axis, kind, keepdims=keep, name=self.name(suffix)), self.shape(x)[axis]

    def _ReduceSum(self, node, tensor):
        return self._reduce(node, "sum", "total")[0]

    def _ReduceMax(self, node, tensor):
        return self._reduce(node, "max", "maximum")[0]

    def _ReduceMean(self, node, tensor):
        total, count = self._reduce(node, "sum", "total")
        bits = count.bit_length() - 1
        if count != 1 << bits:
            raise self.file.refuse(node, f"over {count} elements; the mean is exact for a power of two only")
        one = self.builder.constant(1, FixedType(False, 1, bits), name=self.name("reciprocal_count"))
        return self.builder.mul(total, one, name=self.name("mean"))

    def normalised(self, node, x: str, gathered: onnx.NodeProto) -> str:
        """x * powers[sum(den >= thresholds)] = x * 2**-(floor(log2 den) + constant)."""
        powers, (den, thresholds) = self.file.constant(gathered.input[0]), self._comparison(node, gathered)
        den = self.lower(den)
        type_ = self.builder.facts[den].type
        mantissa, exponent = np.frexp(powers)
        levels = np.ldexp(thresholds.ravel(), type_.max_frac)
        covered = {int(t) for t in levels} >= {1 << j for j in range(1, type_.width)}
        whole_powers = (np.frexp(levels)[0] == 0.5).all() and (levels >= 1).all()
        halving = (mantissa == 0.5).all() and (np.diff(exponent) == -1).all() and powers.size >= levels.size
        if type_.signed or not (covered and whole_powers and halving):
            raise self.file.refuse(
                node, "normalises by thresholds that are not all the powers of two of an unsigned tensor's range"
            )
        below = int((levels <= 1).sum())  # thresholds that any den >= 1 passes
        offset = type_.width - 1 + below - (int(exponent.flat[0]) - 1)
        key = f"normalise:{den}"
        if key not in self.tensor:
            self.tensor[key] = self.builder.normalise(den, name=self.name("leading_zeros"))
        return self.builder.shift(self.lower(x), self.tensor[key], offset=offset, name=self.name("shifted"))

    def _comparison(self, node, gathered: onnx.NodeProto) -> tuple[str, np.ndarray]:
        index = gathered.input[1]
        for expected in (("Cast",), ("ReduceSum",), ("Cast",), ("GreaterOrEqual",)):
            producer = self.file.producer.get(index)
            if producer is None or producer.op_type not in expected:
                if expected == ("Cast",):
                    continue
                raise self.file.refuse(node, f"multiplies by a Gather without {expected[0]} before it: no normalise")
            if producer.op_type == "GreaterOrEqual":
                thresholds = self.file.constant(producer.input[1])
                if thresholds is None:
                    raise self.file.refuse(producer, "compares two variables")
                return producer.input[0], thresholds
            index = producer.input[0]
        raise self.file.refuse(node, "multiplies by a Gather that is no normalise pattern")

    def _reshaped(self, node, shape) -> str:
        return self.builder.reshape(self.lower(node.input[0]), shape, name=self.name("reshaped"))

    def _Identity(self, node, tensor):
        return self.lower(node.input[0])

    def _Unsqueeze(self, node, tensor):
        shape = list(self.shape(self.lower(node.input[0])))
        axes = self._axes(node)
        for axis in sorted(self.axis(node, a, len(shape) + 1 + len(axes)) for a in axes):
            shape.insert(axis, 1)
        return self._reshaped(node, shape)

    def _Squeeze(self, node, tensor):
        shape = list(self.shape(self.lower(node.input[0])))
        axes = {self.axis(node, a, len(shape) + 1) for a in self._axes(node)}
        return self._reshaped(node, [s for i, s in enumerate(shape) if i not in axes])

    def _Reshape(self, node, tensor):
        shape = [int(s) for s in self.file.parameters[node.input[1]]][1:]
        size = int(np.prod(self.shape(self.lower(node.input[0]))))
        known = int(np.prod([s for s in shape if s > 0]))
        return self._reshaped(node, [size // known if s == -1 else s for s in shape])

    def _Flatten(self, node, tensor):
        return self._reshaped(node, [int(np.prod(self.shape(self.lower(node.input[0]))))])

    def _Slice(self, node, tensor):
        x = self.lower(node.input[0])
        starts, ends, axes, steps = (
            np.atleast_1d(self.file.parameters[i]) if i else None
            for i in (list(node.input[1:]) + ["", ""])[:4]
        )
        if axes is None or len(axes) != 1 or (steps is not None and (steps != 1).any()):
            raise self.file.refuse(node, "is supported on one axis with step 1")
        axis = self.axis(node, int(axes[0]), len(self.shape(x)) + 1)
        size = self.shape(x)[axis]
        start, stop = (min(max(v + size if v < 0 else v, 0), size) for v in (int(starts[0]), int(ends[0])))
        if tensor in self.pairs.values():  # a state that keeps samples belongs where they come from
            self.builder.stage = next(n.stage for n in self.builder.nodes if n.name == x)
        name = tensor if tensor in self.file.outputs else self.name("slice")
        return self.builder.slice(x, axis, start, stop, name=name)

    def _Split(self, node, tensor):
        x = self.lower(node.input[0])
        axis = self.axis(node, int(self.file.attribute(node, "axis", 0)), len(self.shape(x)) + 1)
        size = self.shape(x)[axis]
        count = len(node.output)
        parts = self.file.parameters[node.input[1]] if len(node.input) > 1 else [size // count] * count
        edges = np.concatenate([[0], np.cumsum(parts)]).astype(int)
        k = list(node.output).index(tensor)
        return self.builder.slice(x, axis, edges[k], edges[k + 1], name=self.name("slice"))

    def _Concat(self, node, tensor):
        xs = [self.lower(i) for i in node.input]
        axis = self.axis(node, int(self.file.attribute(node, "axis")), len(self.shape(xs[0])) + 1)
        return self.builder.concat(xs, axis, name=tensor if tensor in self.file.outputs else self.name("concat"))


def _state_order(name: str) -> tuple:
    """h, conv, pool_num, pool_den (contracts, States); layer by layer; anything else after, by name."""
    base, layer = re.fullmatch(r"(.*?)_?(\d*)", name).groups()
    known = ("h", "conv", "pool_num", "pool_den")
    pooled = base.startswith("pool")
    return (pooled, int(layer or 0), known.index(base) if base in known else len(known), name)
