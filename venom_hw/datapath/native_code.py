"""Renders a step graph as one C++ function that runs whole windows, several windows side by side in vector lanes.

Arithmetic: exact integers carried in double. The interval analysis proves that every tensor and every partial sum
stays below 2**53, where sums and products of integers are exact in any order; a graph that needs more is refused.
Rounding half to even is (x + M) - M with M = 1.5 * 2**52, exact for |x| <= 2**51. Graphs with the same structure give
the same source text: weights, constants and tables are passed at run time, only powers of two and limits are literals.

A tensor lives in `w.b<i>[element]`, a vector of one value a lane. Operations whose result is used once are written
into their consumer's loop and never stored.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources

import numpy as np

from venom_hw.datapath.evaluate import round_only
from venom_hw.datapath.fixed import Overflow, Rounding
from venom_hw.datapath.graph import Graph, Node
from venom_hw.datapath.kernels import NoKernel
from venom_hw.datapath.ops import alignment, collapse, full_frac, shift_left

EXACT = 1 << 53
ROUNDED = 1 << 51
C_INTEGER = {np.dtype(np.int16): "int16_t", np.dtype(np.int32): "int32_t", np.dtype(np.int64): "int64_t"}
ELEMENTWISE = ("add", "sub", "mul", "maximum", "accumulate", "requantise", "table", "shift", "normalise")


@dataclass(frozen=True)
class NativeCode:
    """C++ text of a step graph and what it has to be given.

    Attributes:
        constants, tables: numbers that the text refers to by position.
        counted: requantise nodes, in the order of the saturation counters.
        traced: (name, node) of the tensors traced after every sample, in the order of the trace pointers.
    """

    source: str
    constants: np.ndarray  # float64
    tables: np.ndarray  # float32
    counted: tuple[str, ...]
    traced: tuple[tuple[str, str], ...]


def traced_tensors(graph: Graph) -> tuple[tuple[str, str], ...]:
    """(name, node): every state, and every output that is not the next value of a state."""
    following = {node for _, node in graph.states}
    return (*((s, s) for s, _ in graph.states), *((o, n) for o, n in graph.outputs if n not in following))


def generate(graph: Graph) -> NativeCode:
    """The C++ of a step graph.

    Raises:
        NoKernel: a tensor or a partial sum needs more than the 53 bits that a double carries exactly.
    """
    return _Writer(graph).finish()


def _flat(index: list[str], shape: tuple[int, ...]) -> str:
    """Row-major position as a C expression."""
    terms, stride = [], 1
    for i, size in zip(reversed(index), reversed(shape), strict=True):
        if size != 1 and i != "0":
            terms.append(i if stride == 1 else f"({i})*{stride}")
        stride *= size
    return " + ".join(reversed(terms)) or "0"


def _lifted(index: list[str], shape: tuple[int, ...]) -> list[str]:
    """Index of an operand that broadcasts to the indexed shape."""
    trailing = index[len(index) - len(shape) :]
    return ["0" if size == 1 else i for i, size in zip(trailing, shape, strict=True)]


class _Writer:
    def __init__(self, graph: Graph):
        self.graph = graph
        self.lines: list[str] = []
        self.depth = 1
        self.names = 0
        self.constants: list[np.ndarray] = []
        self.tables: list[np.ndarray] = []
        self.sizes = {"c": 0, "t": 0}
        self.counted: list[str] = []
        self.missed: list[int] = []  # counters of the loop nest being written
        self.place: dict[str, tuple[str, int]] = {}  # tensor -> (buffer, first element)
        self.buffers: list[tuple[str, int]] = []
        self.named = {n for pair in (*graph.outputs, *graph.states) for n in pair}
        self.users: dict[str, list[Node]] = {node.name: [] for node in graph.nodes}
        for node in graph.nodes:
            for name in node.inputs:
                self.users[name].append(node)
        for node in graph.nodes:
            facts = graph.facts[node.name]
            self.exact(node, max(abs(int(facts.lo.min())), abs(int(facts.hi.max()))))
            self.node(node)

    # plumbing --------------------------------------------------------------------------------------------------

    def exact(self, node: Node, reach: int, limit: int = EXACT) -> None:
        if reach > limit:
            bits = limit.bit_length() - 1
            raise NoKernel(f"node {node.name!r} ({node.op}): {reach} is beyond the {bits} bits exact in a double")

    def line(self, text: str) -> None:
        self.lines.append("    " * self.depth + text)

    def fresh(self, prefix: str) -> str:
        self.names += 1
        return f"{prefix}{self.names}"

    def keep(self, values: np.ndarray, into: str = "c") -> int:
        """Position of an array in the constants or the tables."""
        store, dtype = (self.constants, np.float64) if into == "c" else (self.tables, np.float32)
        position = self.sizes[into]
        flat = np.ascontiguousarray(values, dtype).reshape(-1)
        store.append(flat)
        self.sizes[into] += flat.size
        return position

    def scaled(self, expression: str, exponent, shape: tuple[int, ...], index: list[str]) -> str:
        """expression * 2**exponent, the exponent an int or an array that broadcasts to `shape`."""
        exponent = collapse(exponent)
        if isinstance(exponent, int):
            return expression if exponent == 0 else f"{expression} * {2.0**exponent!r}"
        at = self.keep(np.ldexp(1.0, np.broadcast_to(exponent, shape).astype(np.int32)))
        return f"{expression} * c[{at} + {_flat(index, shape)}]"

    def buffer(self, name: str, size: int) -> str:
        buffer = f"b{len(self.buffers)}"
        self.buffers.append((buffer, size))
        self.place[name] = (buffer, 0)
        return buffer

    def stored(self, node: Node) -> bool:
        """Whether a tensor needs memory of its own."""
        users = self.users[node.name]
        if node.op == "constant":
            return node.name in self.named or any(u.op in ("reshape", "slice") for u in users)
        if node.op in ("input", "state", "concat") or node.name in self.named or len(users) != 1:
            return True
        (user,) = users
        same = self.graph.numel(node.name) == self.graph.numel(user.name)
        return not (user.op in ("reduce", "concat") or user.op in ELEMENTWISE and same)

    def node(self, node: Node) -> None:
        if node.op in ("reshape", "slice") and self.aliased(node):
            return
        if not self.stored(node):
            return
        size = self.graph.numel(node.name)
        buffer = self.buffer(node.name, size)
        if node.op in ("input", "state"):
            return
        self.line(f"{{  // {''.join(ch if ch.isalnum() else '_' for ch in node.name)}: {node.op}")
        self.depth += 1
        body, self.lines, self.missed = self.lines, [], []
        if node.op == "concat":
            self.concat(node, buffer)
        else:
            self.nest(node.shape, lambda index: self.store(buffer, index, node.shape, self.compute(node, index)))
        nest, self.lines = self.lines, body
        for counter in self.missed:
            self.line(f"V miss{counter} = V{{}};")
        self.lines += nest
        for counter in self.missed:
            self.line(f"w.saturated[{counter}] += miss{counter} * w.valid;")
        self.depth -= 1
        self.line("}")

    def store(self, buffer: str, index: list[str], shape: tuple[int, ...], value: str) -> None:
        self.line(f"w.{buffer}[{_flat(index, shape)}] = {value};")

    def nest(self, shape: tuple[int, ...], body) -> None:
        """Loops over a shape around body(index)."""
        index, opened = [], 0
        for size in shape:
            if size == 1:
                index.append("0")
                continue
            i = self.fresh("i")
            self.line(f"for (int {i} = 0; {i} < {size}; ++{i}) {{")
            self.depth += 1
            opened += 1
            index.append(i)
        body(index)
        for _ in range(opened):
            self.depth -= 1
            self.line("}")

    def aliased(self, node: Node) -> bool:
        """A reshape, or a slice of the leading axis, is the memory of its source."""
        (source,) = node.inputs
        buffer, first = self.place[source]
        if node.op == "slice":
            shape, axis = self.graph[source].shape, node.attrs["axis"]
            if int(np.prod(shape[:axis])) != 1:
                return False
            first += node.attrs["start"] * int(np.prod(shape[axis + 1 :]))
        self.place[node.name] = (buffer, first)
        return True

    def value(self, name: str, index: list[str]) -> str:
        """C expression of one element, all lanes; statements that it needs are written before."""
        node = self.graph[name]
        if name in self.place:
            buffer, first = self.place[name]
            return f"w.{buffer}[{first} + {_flat(index, node.shape)}]"
        return self.compute(node, index)

    def operand(self, name: str, index: list[str]) -> str:
        return self.value(name, _lifted(index, self.graph[name].shape))

    def compute(self, node: Node, index: list[str]) -> str:
        expression = getattr(self, f"_{node.op}")(node, index)
        name = self.fresh("v")
        self.line(f"V {name} = {expression};")
        return name

    def facts(self, node: Node):
        return [self.graph.facts[i] for i in node.inputs]

    # operations ------------------------------------------------------------------------------------------------

    def _constant(self, node: Node, index):
        return f"splat(c[{self.keep(self.graph.constants[node.attrs['key']])} + {_flat(index, node.shape)}])"

    def _aligned(self, node: Node, index) -> list[str]:
        _, shifts = alignment(*self.facts(node))
        return [
            self.scaled(self.operand(i, index), shift, node.shape, index)
            for i, shift in zip(node.inputs, shifts, strict=True)
        ]

    def _add(self, node: Node, index):
        return " + ".join(self._aligned(node, index))

    _accumulate = _add

    def _sub(self, node: Node, index):
        return " - ".join(self._aligned(node, index))

    def _maximum(self, node: Node, index):
        return f"larger({', '.join(self._aligned(node, index))})"

    def _mul(self, node: Node, index):
        return " * ".join(self.operand(i, index) for i in node.inputs)

    def _shift(self, node: Node, index):
        return f"shifted({', '.join(self.operand(i, index) for i in node.inputs)})"

    def _normalise(self, node: Node, index):
        return f"leading_zeros({self.operand(node.inputs[0], index)}, {self.facts(node)[0].type.width})"

    def _slice(self, node: Node, index):
        index = list(index)
        axis = node.attrs["axis"]
        index[axis] = f"{index[axis]} + {node.attrs['start']}"
        return self.value(node.inputs[0], index)

    def concat(self, node: Node, buffer: str) -> None:
        axis, start = node.attrs["axis"], 0
        for name in node.inputs:
            def body(index, name=name, start=start):
                there = list(index)
                there[axis] = f"{index[axis]} + {start}"
                self.store(buffer, there, node.shape, self.value(name, index))

            self.nest(self.graph[name].shape, body)
            start += self.graph[name].shape[axis]

    def _sum(self, size: int, term) -> str:
        """Sum of term(k) over k < size."""
        total, k = self.fresh("sum"), self.fresh("k")
        self.line(f"V {total} = V{{}};")
        self.line(f"for (int {k} = 0; {k} < {size}; ++{k}) {{")
        self.depth += 1
        self.line(f"{total} += {term(k)};")
        self.depth -= 1
        self.line("}")
        return total

    def _constmatmul(self, node: Node, index):
        (x,), (facts,) = node.inputs, self.facts(node)
        shifts = np.broadcast_to(facts.type.max_frac - full_frac(facts), facts.shape)
        weights = self.graph.constants[node.attrs["weights"]].astype(object)
        reach = np.maximum(abs(facts.lo.astype(object)), abs(facts.hi.astype(object)))
        self.exact(node, int(np.max(shift_left(reach, shifts.astype(object)) @ abs(weights).T)))
        one_shift = bool((shifts == shifts.reshape(-1, shifts.shape[-1])[0]).all())
        if one_shift:  # the same for every row of x: aligned once, in the weights
            weights = shift_left(weights, shifts.reshape(-1, shifts.shape[-1])[:1].astype(object))
        at, size = self.keep(weights), weights.shape[1]

        def term(k):
            there = [*index[:-1], k if size != 1 else "0"]
            value = self.value(x, there)
            value = value if one_shift else self.scaled(value, shifts, facts.shape, there)
            return f"{value} * c[{at} + {_flat([index[-1], k], weights.shape)}]"

        return self._sum(size, term)

    def _matmul(self, node: Node, index):
        a, b = node.inputs
        reach = [np.maximum(abs(f.lo.astype(object)), abs(f.hi.astype(object))) for f in self.facts(node)]
        self.exact(node, int(np.max(reach[0] @ reach[1])))
        row, column = index
        return self._sum(
            self.graph[a].shape[1], lambda k: f"{self.value(a, [row, k])} * {self.value(b, [k, column])}"
        )

    def _reduce(self, node: Node, index):
        (x,), (facts,) = node.inputs, self.facts(node)
        axis, shape = node.attrs["axis"], facts.shape
        frac = full_frac(facts)
        shift = frac.max(axis=axis, keepdims=True) - frac
        reach = np.maximum(abs(facts.lo.astype(object)), abs(facts.hi.astype(object)))
        reach = shift_left(reach, shift.astype(object))
        rest = list(index)
        if node.attrs["keepdims"]:
            del rest[axis]
        term = lambda k: self.scaled(  # noqa: E731
            self.value(x, there := [*rest[:axis], k, *rest[axis:]]), shift, shape, there
        )
        if node.attrs["kind"] == "sum":
            self.exact(node, int(np.max(reach.sum(axis=axis))))
            return self._sum(shape[axis], term)
        largest, k = self.fresh("max"), self.fresh("k")
        self.line(f"V {largest} = splat(-0x1p53);")
        self.line(f"for (int {k} = 0; {k} < {shape[axis]}; ++{k}) {{")
        self.depth += 1
        self.line(f"{largest} = larger({largest}, {term(k)});")
        self.depth -= 1
        self.line("}")
        return largest

    def _requantise(self, node: Node, index):
        (facts,) = self.facts(node)
        drop = np.broadcast_to(np.asarray(facts.type.frac) - np.asarray(node.type.frac), node.shape)
        value = self.scaled(self.operand(node.inputs[0], index), -drop, node.shape, index)
        call = self.graph.call(node, self.graph.facts)
        lo, hi = (int(f(round_only(call, b[None]))) for f, b in ((np.min, facts.lo), (np.max, facts.hi)))
        if (drop > 0).any():
            self.exact(node, max(abs(lo), abs(hi)), ROUNDED - 1)
            half_even = Rounding(node.attrs["rounding"]) is Rounding.HALF_EVEN
            value = f"{'round_half_even' if half_even else 'round_floor'}({value})"
        low, high = node.type.limits(Overflow(node.attrs["overflow"]))
        if low <= lo and hi <= high:
            return value
        if node.name not in self.counted:
            self.counted.append(node.name)
        counter = self.counted.index(node.name)
        self.missed.append(counter)
        return f"saturate({value}, {float(low)!r}, {float(high)!r}, miss{counter})"

    def _table(self, node: Node, index):
        (code,), (facts,) = node.inputs, self.facts(node)
        entries = self.graph.constants[node.attrs["entries"]]
        rank = len(node.shape)
        code_shape = (1,) * (rank - len(facts.shape)) + facts.shape
        elem = (1,) * (rank - entries.ndim + 1) + entries.shape[1:]
        # the axis of the codes stands behind the axes that the codes have: one look-up is one row of the others
        lead = next((k for k in range(rank, 0, -1) if code_shape[k - 1] != 1), 0)
        rows = np.moveaxis(entries.reshape(entries.shape[:1] + elem), 0, lead)
        stride = int(np.prod(elem[lead:]))
        narrow = max(abs(int(entries.min())), abs(int(entries.max()))) <= 1 << 24
        at = self.keep(rows, "t" if narrow else "c")
        there = _lifted(index, elem)
        position = _flat([*there[:lead], "0", *there[lead:]], rows.shape)
        base = at - facts.type.lo * stride
        return f"look_up({'t' if narrow else 'c'}, {base} + {position}, {self.operand(code, index)}, {stride})"

    # the whole text --------------------------------------------------------------------------------------------

    def finish(self) -> NativeCode:
        graph, traced = self.graph, traced_tensors(self.graph)
        step, self.lines = self.lines, []
        states = {state for state, _ in graph.states}
        source_states = {self.place[s][0] for s in states}
        late = []  # next values that are themselves states: read before any state is written
        for state, following in graph.states:
            buffer, first = self.place[following]
            if buffer in source_states:
                copy = self.buffer(f"{following} for {state}", graph.numel(state))
                self.line(f"copy(w.{copy}, w.{buffer} + {first}, {graph.numel(state)});")
                buffer, first = copy, 0
            late.append(f"advance(w.{self.place[state][0]}, w.{buffer} + {first}, {graph.numel(state)}, w.valid, all);")
        for text in late:
            self.line(text)
        advance, self.lines = self.lines, []
        self.depth = 3
        for k, (_, node) in enumerate(traced):
            buffer, first = self.place[node]
            kind, size = C_INTEGER[graph[node].type.dtype], graph.numel(node)
            self.line(f"put(static_cast<{kind}*>(traces[{k}]), w.{buffer} + {first}, {size}, g, count, length, t);")
        trace, self.lines = self.lines, []
        self.depth = 2
        for k, (state, _) in enumerate(graph.states):
            buffer, _ = self.place[state]
            self.line(f"put(states[{k}], w.{buffer}, {graph.numel(state)}, g, count, 1, 0);")
        final, self.lines = self.lines, []
        (node,) = graph.inputs
        parts = {
            "BUFFERS": "\n".join(f"    V {name}[{max(size, 1)}];" for name, size in self.buffers),
            "COUNTERS": str(max(len(self.counted), 1)),
            "STEP": "\n".join(step),
            "ADVANCE": "\n".join(advance),
            "TRACE": "\n".join(trace),
            "FINAL": "\n".join(final),
            "INPUT": f"w.{self.place[node.name][0]}",
            "INPUT_SIZE": str(graph.numel(node.name)),
            "RESET": "\n".join(
                f"        for (V& v : w.{self.place[s][0]}) v = V{{}};" for s, _ in graph.states
            ),
        }
        source = resources.files("venom_hw.datapath").joinpath("native_frame.cpp").read_text(encoding="utf-8")
        for name, text in parts.items():
            source = source.replace(f"@{name}@", text)
        join = lambda arrays, dtype: np.concatenate([*arrays, np.zeros(1)]).astype(dtype)  # noqa: E731
        return NativeCode(
            source, join(self.constants, np.float64), join(self.tables, np.float32), tuple(self.counted), traced
        )


