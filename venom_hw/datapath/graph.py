"""The typed fixed-point graph: plain immutable tuples of nodes in order of execution, built by `GraphBuilder`.

A recurrent network is its **step graph**: `state` nodes hold what the paired node computed one step before (zero at
a window's start), and a window is a run of at most `max_steps` steps. Types of exact operations are never written by
hand: the interval rules of `bounds` derive them as the graph grows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from venom_hw.datapath.bounds import accumulator_type, infer
from venom_hw.datapath.fixed import FixedType, Overflow, Rounding
from venom_hw.datapath.ops import Call, DatapathError, Facts


@dataclass(frozen=True)
class Node:
    """One operation and the tensor it makes; both carry `name`. `shape` is that of one element of the batch."""

    name: str
    op: str
    inputs: tuple[str, ...]
    attrs: Mapping[str, object]
    shape: tuple[int, ...]
    type: FixedType
    stage: str = ""  # the part of the network it belongs to; renderings make a function of each


@dataclass(frozen=True)
class Graph:
    """A step (or feed-forward) graph.

    Attributes:
        nodes: in order of execution.
        outputs: (output name, node name) pairs.
        states: (state node, node of its next value) pairs.
        max_steps: longest window, for which the accumulators are proven wide enough; 1 without states.
        constants: int64 arrays by key, the key being the hash of the array.
    """

    name: str
    nodes: tuple[Node, ...]
    outputs: tuple[tuple[str, str], ...]
    states: tuple[tuple[str, str], ...]
    max_steps: int
    constants: Mapping[str, np.ndarray] = field(repr=False)

    @cached_property
    def by_name(self) -> dict[str, Node]:
        return {node.name: node for node in self.nodes}

    def __getitem__(self, name: str) -> Node:
        try:
            return self.by_name[name]
        except KeyError:
            raise DatapathError(f"graph {self.name!r} has no node {name!r}") from None

    @property
    def inputs(self) -> tuple[Node, ...]:
        return tuple(node for node in self.nodes if node.op == "input")

    @property
    def state_nodes(self) -> tuple[Node, ...]:
        """The state nodes, in the order of `states` (the order of a channel's state words)."""
        return tuple(self[name] for name, _ in self.states)

    @property
    def stages(self) -> tuple[str, ...]:
        """Stage names in order of first appearance."""
        return tuple(dict.fromkeys(node.stage for node in self.nodes if node.stage))

    def users(self, name: str) -> tuple[Node, ...]:
        return tuple(node for node in self.nodes if name in node.inputs)

    def call(self, node: Node, facts: Mapping[str, Facts]) -> Call:
        """The node with what its evaluation and interval rule need."""
        return call_of(node, tuple(facts[i] for i in node.inputs), self.constants, self.max_steps)

    @cached_property
    def facts(self) -> dict[str, Facts]:
        """Bounds and types of every tensor, derived anew from the graph alone; the stored types must agree.

        Raises:
            DatapathError: a stored shape or type differs from what the operands give, or a state does not fit.
        """
        facts: dict[str, Facts] = {}
        for node in self.nodes:
            missing = [i for i in node.inputs if i not in facts]
            if missing:
                raise DatapathError(f"node {node.name!r} ({node.op}) uses {missing[0]!r} before it is computed")
            if node.name in facts:
                raise DatapathError(f"two nodes are called {node.name!r}")
            facts[node.name] = infer(self.call(node, facts))
            derived = facts[node.name]
            if derived.shape != node.shape or derived.type != node.type:
                raise DatapathError(
                    f"node {node.name!r} ({node.op}) is stored as {node.shape} {node.type}, "
                    f"its operands give {derived.shape} {derived.type}"
                )
        check_states(self, facts)
        return facts

    def numel(self, name: str) -> int:
        return int(np.prod(self[name].shape, dtype=np.int64))


GIVEN_TYPE = ("input", "state", "constant", "table", "requantise")
"""Operations whose type is stated; every other type is derived."""


def call_of(node: Node, args: tuple[Facts, ...], constants, max_steps: int) -> Call:
    given = node.op in GIVEN_TYPE
    return Call(
        node.name,
        node.op,
        node.attrs,
        args,
        constants,
        max_steps,
        node.type if given else None,
        node.shape if node.op in ("input", "state", "table") else None,
    )


def check_states(graph: Graph, facts: Mapping[str, Facts]) -> None:
    """Every state is paired once, with a node of its own shape and LSB that stays within its type."""
    paired = [state for state, _ in graph.states]
    unpaired = [n.name for n in graph.nodes if n.op == "state" and n.name not in paired]
    if unpaired or len(set(paired)) != len(paired):
        raise DatapathError(f"graph {graph.name!r}: state {(unpaired or paired)[0]!r} is not paired exactly once")
    for state, following in graph.states:
        if graph[state].op != "state":
            raise DatapathError(f"{state!r} is no state node but {graph[state].op}")
        a, b = facts[state], facts[following]
        fits = a.type.lo <= int(b.lo.min()) and int(b.hi.max()) <= a.type.hi
        same_lsb = np.array_equal(np.broadcast_to(a.type.frac, a.shape), np.broadcast_to(b.type.frac, b.shape))
        if a.shape != b.shape or not same_lsb or not fits:
            raise DatapathError(
                f"state {state!r} {a.shape} {a.type} does not hold its next value {following!r} {b.shape} {b.type}"
            )


def constant_key(array: np.ndarray) -> str:
    """Name of a constant: the hash of its shape and integers."""
    array = np.array(array, np.int64, order="C")
    return "c" + hashlib.sha256(repr(array.shape).encode() + array.tobytes()).hexdigest()[:20]


class GraphBuilder:
    """Grows a Graph; every method adds one node and returns its name, with shape and type derived.

    >>> b = GraphBuilder("square")
    >>> x = b.input("x", (4,), FixedType(True, 8, 4))
    >>> y = b.requantise(b.mul(x, x), FixedType(False, 8, 4), name="y")
    >>> graph = b.build(outputs={"y": y})
    """

    def __init__(self, name: str, *, max_steps: int = 1):
        self.name, self.max_steps, self.stage = name, int(max_steps), ""
        self.nodes: list[Node] = []
        self.facts: dict[str, Facts] = {}
        self.constants: dict[str, np.ndarray] = {}
        self.states: dict[str, str] = {}
        self._count: dict[str, int] = {}

    def _add(self, op, inputs=(), attrs=None, name=None, type_=None, shape=None) -> str:
        name = name or self._fresh(op)
        if name in self.facts:
            raise DatapathError(f"two nodes are called {name!r}")
        missing = [i for i in inputs if i not in self.facts]
        if missing:
            raise DatapathError(f"node {name!r} ({op}) uses {missing[0]!r}, which does not exist")
        attrs = dict(attrs or {})
        args = tuple(self.facts[i] for i in inputs)
        shape = None if shape is None else tuple(int(s) for s in shape)
        facts = infer(Call(name, op, attrs, args, self.constants, self.max_steps, type_, shape))
        self.nodes.append(Node(name, op, tuple(inputs), attrs, facts.shape, facts.type, self.stage))
        self.facts[name] = facts
        return name

    def _fresh(self, op: str) -> str:
        self._count[op] = self._count.get(op, 0) + 1
        name = f"{op}_{self._count[op]}"
        return name if name not in self.facts else self._fresh(op)

    def keep(self, array) -> str:
        """Adds a constant array; its key."""
        array = np.asarray(array)
        if not np.issubdtype(array.dtype, np.integer):
            raise DatapathError(f"constants are integers, not {array.dtype}")
        array = np.array(array, np.int64, order="C")  # a copy; a scalar stays one
        array.flags.writeable = False
        key = constant_key(array)
        self.constants[key] = array
        return key

    def input(self, name: str, shape: Sequence[int], type_: FixedType) -> str:
        return self._add("input", name=name, type_=type_, shape=shape)

    def state(self, name: str, shape: Sequence[int], type_: FixedType) -> str:
        """A state; pair it with its next value by `next_state` before `build`."""
        return self._add("state", name=name, type_=type_, shape=shape)

    def accumulator(self, name: str, term: str, *, out: str | None = None) -> tuple[str, str]:
        """A state that sums `term` over the window, as wide as max_steps terms need: (state, its next value)."""
        facts = self.facts[term]
        state = self.state(name, facts.shape, accumulator_type(facts, self.max_steps))
        following = self._add("accumulate", (state, term), name=out)
        self.next_state(state, following)
        return state, following

    def next_state(self, state: str, following: str) -> None:
        self.states[state] = following

    def constant(self, integers, type_: FixedType, *, name: str | None = None) -> str:
        return self._add("constant", attrs={"key": self.keep(integers)}, name=name, type_=type_)

    def constmatmul(self, x: str, weights, weights_type: FixedType, *, name: str | None = None) -> str:
        """x (..., K) times weights (R, K), integers of `weights_type` (frac an int or one a row (R,))."""
        attrs = {"weights": self.keep(weights), "weights_type": weights_type.to_dict()}
        return self._add("constmatmul", (x,), attrs, name)

    def matmul(self, a: str, b: str, *, name: str | None = None) -> str:
        return self._add("matmul", (a, b), name=name)

    def add(self, a: str, b: str, *, name: str | None = None) -> str:
        return self._add("add", (a, b), name=name)

    def sub(self, a: str, b: str, *, name: str | None = None) -> str:
        return self._add("sub", (a, b), name=name)

    def mul(self, a: str, b: str, *, name: str | None = None) -> str:
        return self._add("mul", (a, b), {"square": True} if a == b else {}, name)

    def maximum(self, a: str, b: str, *, name: str | None = None) -> str:
        return self._add("maximum", (a, b), name=name)

    def table(self, code: str, entries, type_: FixedType, *, name: str | None = None) -> str:
        """One entry for each code from the smallest on: (E,), or (E, *elem) with elem broadcasting to the code."""
        entries = np.asarray(entries)
        shape = np.broadcast_shapes(self.facts[code].shape, entries.shape[1:])
        return self._add("table", (code,), {"entries": self.keep(entries)}, name, type_, shape)

    def requantise(
        self,
        x: str,
        type_: FixedType,
        rounding: Rounding = Rounding.HALF_EVEN,
        overflow: Overflow = Overflow.SATURATE,
        *,
        name: str | None = None,
    ) -> str:
        return self._add("requantise", (x,), {"rounding": rounding.value, "overflow": overflow.value}, name, type_)

    def reduce(self, x: str, axis: int, kind: str = "sum", *, keepdims: bool = False, name: str | None = None) -> str:
        if kind not in ("sum", "max"):
            raise DatapathError(f"reduce kind {kind!r}; sum or max expected")
        axis = axis % len(self.facts[x].shape)
        return self._add("reduce", (x,), {"kind": kind, "axis": axis, "keepdims": keepdims}, name)

    def normalise(self, x: str, *, name: str | None = None) -> str:
        return self._add("normalise", (x,), name=name)

    def shift(self, x: str, s: str, *, offset: int = 0, limit: int | None = None, name: str | None = None) -> str:
        attrs: dict[str, object] = {"offset": int(offset)}
        source = next(n for n in self.nodes if n.name == s)
        if source.op == "normalise" and source.inputs == (x,):
            attrs["normalised"] = True
        if limit is not None:
            attrs["limit"] = int(limit)
        return self._add("shift", (x, s), attrs, name)

    def slice(self, x: str, axis: int, start: int, stop: int, *, name: str | None = None) -> str:
        axis = axis % len(self.facts[x].shape)
        return self._add("slice", (x,), {"axis": axis, "start": int(start), "stop": int(stop)}, name)

    def concat(self, xs: Iterable[str], axis: int, *, name: str | None = None) -> str:
        xs = tuple(xs)
        return self._add("concat", xs, {"axis": axis % len(self.facts[xs[0]].shape)}, name)

    def reshape(self, x: str, shape: Sequence[int], *, name: str | None = None) -> str:
        return self._add("reshape", (x,), {"shape": [int(s) for s in shape]}, name)

    def readd(self, node: Node) -> str:
        """A node of another graph, its derived type derived anew from this graph's operands."""
        call = call_of(node, tuple(self.facts[i] for i in node.inputs), self.constants, self.max_steps)
        self.stage = node.stage
        return self._add(node.op, node.inputs, node.attrs, node.name, call.type, call.shape)

    def build(self, outputs: Mapping[str, str]) -> Graph:
        """The finished graph, checked (`Graph.facts`).

        Raises:
            DatapathError: an output or state pair that does not exist or does not fit.
        """
        unknown = [node for node in [*outputs.values(), *self.states.values()] if node not in self.facts]
        if unknown:
            raise DatapathError(f"graph {self.name!r}: output or next state {unknown[0]!r} does not exist")
        graph = Graph(
            self.name,
            tuple(self.nodes),
            tuple(outputs.items()),
            tuple(self.states.items()),
            self.max_steps,
            dict(self.constants),
        )
        graph.facts  # noqa: B018 - raises when the graph is not sound
        return graph
