"""The peer: a step graph given to alkaid (da4ml's successor) alone, as its own program of shifts, adds and tables.

Values, not integers, live in alkaid's variables: an element of a tensor of type FixedType(s, w, f) is k * 2**-f.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from alkaid.trace import FVariable, FVArray, HWConfig, trace
from alkaid.types import CombLogic

from venom_hw.datapath.fixed import FixedType, Overflow, Rounding
from venom_hw.datapath.graph import Graph, Node
from venom_hw.synthesis.errors import SynthesisError

HARDWARE = HWConfig(1, 1, -1)
"""alkaid's own default: an adder takes 1.09 units of its latency and 0.025 more a bit (LUT, then carry)."""


def trace_step(graph: Graph) -> CombLogic:
    """The graph as one alkaid program: inputs, then states, each flattened; outputs, then next states.

    Bounds of inputs and states are those of their formats; everything else alkaid derives by itself.

    Raises:
        SynthesisError: the graph has an operation that alkaid has no exact counterpart of.
    """
    values: dict[str, np.ndarray] = {}
    given: list[FVariable] = []
    for node in graph.nodes:
        if node.op in ("input", "state"):
            values[node.name] = _ports(node)
    for node in (*graph.inputs, *graph.state_nodes):
        given += values[node.name].ravel().tolist()
    for node in graph.nodes:
        if node.op in ("input", "state"):
            continue
        rule = _RULES.get(node.op)
        if rule is None:
            raise SynthesisError(
                f"node {node.name!r} ({node.op}): alkaid has no exact counterpart; it has {', '.join(sorted(_RULES))}"
            )
        values[node.name] = _array(rule(graph, node, [values[i] for i in node.inputs]), node.shape)
    wanted = [v for name in result_nodes(graph) for v in values[name].ravel().tolist()]
    return trace(given, wanted, keep_dead_inputs=True)


def result_nodes(graph: Graph) -> list[str]:
    """Nodes of the results in the program's order: outputs, then next states."""
    return [node for _, node in (*graph.outputs, *graph.states)]


def pack(graph: Graph, inputs: Mapping[str, np.ndarray], states: Mapping[str, np.ndarray]) -> np.ndarray:
    """Integers (batch, *shape) by name as the program's inputs: values, float64 (batch, elements)."""
    columns = []
    for node, source in [*((n, inputs) for n in graph.inputs), *((n, states) for n in graph.state_nodes)]:
        value = np.asarray(source[node.name], np.float64) * 2.0 ** -_frac(node.type, node.shape)
        columns.append(value.reshape(len(value), -1))
    return np.concatenate(columns, axis=1)


def unpack(graph: Graph, values: np.ndarray) -> dict[str, np.ndarray]:
    """The program's results, float64 (batch, elements), as integers (batch, *shape) by name of output and state."""
    found, at = {}, 0
    for name, node_name in (*graph.outputs, *graph.states):
        node = graph[node_name]
        size = graph.numel(node_name)
        scaled = values[:, at : at + size].reshape(-1, *node.shape) * 2.0 ** _frac(node.type, node.shape)
        at += size
        found[name] = np.rint(scaled).astype(np.int64)
        if not np.array_equal(found[name], scaled):
            raise SynthesisError(f"alkaid's {name!r} is off the grid of {node.type}")
    return found


def _frac(type_: FixedType, shape: tuple[int, ...]) -> np.ndarray:
    return np.broadcast_to(np.asarray(type_.frac, np.float64), shape)


def _array(value, shape: tuple[int, ...]) -> np.ndarray:
    """Plain object array of FVariable (or float constants) of the node's shape."""
    return np.broadcast_to(np.asarray(value, object), shape)


def _ports(node: Node) -> np.ndarray:
    step = 2.0 ** -_frac(node.type, node.shape)
    return np.asarray(FVArray.from_lhs(node.type.lo * step, node.type.hi * step, step, hwconf=HARDWARE), object)


def _constant(graph: Graph, node: Node, _inputs):
    return graph.constants[node.attrs["key"]] * 2.0 ** -_frac(node.type, node.shape)


def _constmatmul(graph: Graph, node: Node, inputs):
    weights_type = FixedType.from_dict(node.attrs["weights_type"])
    weights = graph.constants[node.attrs["weights"]].astype(np.float64)
    weights *= 2.0 ** -np.broadcast_to(np.asarray(weights_type.frac, np.float64), weights.shape[:1])[:, None]
    return np.asarray(FVArray(inputs[0], hwconf=HARDWARE) @ weights.T, object)


def _elementwise(operation: Callable) -> Callable:
    apply = np.frompyfunc(operation, 2, 1)
    return lambda graph, node, inputs: apply(*_lifted(inputs))


def _lifted(inputs) -> list[np.ndarray]:
    rank = max(x.ndim for x in inputs)
    return [x.reshape((1,) * (rank - x.ndim) + x.shape) for x in inputs]


def _maximum(a, b):
    return a.max_of(b) if isinstance(a, FVariable) else b.max_of(a) if isinstance(b, FVariable) else max(a, b)


def _accumulate(graph: Graph, node: Node, inputs):
    """The sum is proven to fit its format over a window, which a look at one step cannot know: wrapped to it."""
    integers = node.type.width - int(node.type.signed) - np.asarray(node.type.frac, np.int64)
    wrap = lambda s, i, f: s.quantize(node.type.signed, int(i), int(f))  # noqa: E731
    total = np.frompyfunc(lambda a, b: a + b, 2, 1)(*inputs)
    return np.frompyfunc(wrap, 3, 1)(total, integers, node.type.frac)


def _table(graph: Graph, node: Node, inputs):
    """A slice of the table over what alkaid knows of the code's interval; one table for each element that differs."""
    (code,) = inputs
    code_type = graph[node.inputs[0]].type
    entries = graph.constants[node.attrs["entries"]]
    lead = code.reshape((1,) * (len(node.shape) - code.ndim) + code.shape)
    code = np.broadcast_to(lead, node.shape)
    entries = entries.reshape(entries.shape[0], *(1,) * (len(node.shape) - entries.ndim + 1), *entries.shape[1:])
    entries = np.broadcast_to(entries, (entries.shape[0], *node.shape))
    code_step = 2.0 ** -_frac(code_type, lead.shape)
    code_step, step = np.broadcast_to(code_step, node.shape), 2.0 ** -_frac(node.type, node.shape)
    out = np.empty(node.shape, object)
    for at in np.ndindex(*node.shape):
        first, last, stride = (round(v / code_step[at]) for v in code[at].qint)
        column = entries[(slice(first - code_type.lo, last - code_type.lo + 1, stride), *at)]
        out[at] = code[at].lookup(column * step[at])
    return out


def _requantise(graph: Graph, node: Node, inputs):
    """Rounded into one more integer bit, then saturated: clamps after the rounding are narrower than before it."""
    (x,) = inputs
    mode = "RND_CONV" if Rounding(node.attrs["rounding"]) is Rounding.HALF_EVEN else "TRN"
    limit = "SAT" if Overflow(node.attrs["overflow"]) is Overflow.SATURATE else "SAT_SYM"
    signed, width = int(node.type.signed), node.type.width

    def one(v, frac):
        frac = int(frac)
        k, i, f = v.kif
        if f > frac:
            v = v.quantize(k, max(int(i) + 1, 1 - frac), frac, "WRAP", mode)
        return v.quantize(signed, width - signed - frac, frac, limit, "TRN")

    return np.frompyfunc(one, 2, 1)(x, _frac(node.type, node.shape))


def _reduce(graph: Graph, node: Node, inputs):
    """A balanced tree."""
    (x,) = inputs
    axis, join = node.attrs["axis"], _maximum if node.attrs["kind"] == "max" else (lambda a, b: a + b)
    parts = [np.take(x, i, axis) for i in range(x.shape[axis])]
    while len(parts) > 1:
        pairs = [np.frompyfunc(join, 2, 1)(a, b) for a, b in zip(parts[::2], parts[1::2], strict=False)]
        parts = pairs + parts[2 * len(pairs) :]
    return np.reshape(parts[0], node.shape)


def _slice(graph: Graph, node: Node, inputs):
    return np.take(inputs[0], range(node.attrs["start"], node.attrs["stop"]), node.attrs["axis"])


_RULES: dict[str, Callable] = {
    "constant": _constant,
    "constmatmul": _constmatmul,
    "add": _elementwise(lambda a, b: a + b),
    "sub": _elementwise(lambda a, b: a - b),
    "mul": _elementwise(lambda a, b: a * b),
    "maximum": _elementwise(_maximum),
    "accumulate": _accumulate,
    "table": _table,
    "requantise": _requantise,
    "reduce": _reduce,
    "slice": _slice,
    "concat": lambda graph, node, inputs: np.concatenate(inputs, axis=node.attrs["axis"]),
    "reshape": lambda graph, node, inputs: np.reshape(inputs[0], node.attrs["shape"]),
}
