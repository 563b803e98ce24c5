"""Datapaths after an edit: every derived type derived anew, what nothing needs any more left out.

Shrinking edits nodes freely (other operands, constants, widths, fewer elements); here the result becomes sound graphs
again, or a `DatapathError` says that it cannot.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from venom_hw.datapath.bounds import accumulator_type
from venom_hw.datapath.fixed import FixedType
from venom_hw.datapath.graph import Graph, GraphBuilder, Node, constant_key
from venom_hw.datapath.model import Datapath
from venom_hw.datapath.ops import DatapathError, full_frac

CONSTANT_ATTRS = ("key", "weights", "entries")


@dataclass(frozen=True)
class Draft:
    """A graph under edit.

    Attributes:
        nodes: by name, in order of execution.
        pairs: (state, its next value).
        constants: arrays by key, those of the graph and new ones (`Draft.keep`).
    """

    name: str
    nodes: dict[str, Node]
    outputs: tuple[tuple[str, str], ...]
    pairs: tuple[tuple[str, str], ...]
    max_steps: int
    constants: dict[str, np.ndarray] = field(default_factory=dict)

    @classmethod
    def of(cls, graph: Graph) -> Draft:
        return cls(
            graph.name, dict(graph.by_name), graph.outputs, graph.states, graph.max_steps, dict(graph.constants)
        )

    def keep(self, array) -> str:
        """A constant array; its key."""
        array = np.array(array, np.int64, order="C")
        self.constants[constant_key(array)] = array
        return constant_key(array)

    def put(self, node: Node, **changes) -> None:
        """Replace a node by one of the same name."""
        self.nodes[node.name] = replace(node, **changes)

    def make_constant(self, name: str, value) -> None:
        """The node becomes a constant of its own type."""
        node = self.nodes[name]
        value = np.broadcast_to(np.asarray(value, np.int64), node.shape)
        self.put(node, op="constant", inputs=(), attrs={"key": self.keep(value)})
        if node.op == "state":
            self.drop_state(name)

    def drop_state(self, name: str) -> None:
        object.__setattr__(self, "pairs", tuple(pair for pair in self.pairs if pair[0] != name))

    def redirect(self, old: str, new: str) -> None:
        """Whoever reads `old` reads `new`."""
        swap = lambda name: new if name == old else name  # noqa: E731
        for node in list(self.nodes.values()):
            if old in node.inputs:
                self.put(node, inputs=tuple(map(swap, node.inputs)))
        object.__setattr__(self, "pairs", tuple((state, swap(following)) for state, following in self.pairs))
        object.__setattr__(self, "outputs", tuple((name, swap(node)) for name, node in self.outputs))

    def needed(self) -> list[Node]:
        """The nodes that outputs and states depend on, and the inputs, in order."""
        wanted = {name for pair in self.pairs for name in pair} | {node for _, node in self.outputs}
        for node in reversed(list(self.nodes.values())):
            if node.name in wanted:
                wanted.update(node.inputs)
        return [n for n in self.nodes.values() if n.name in wanted or (n.op == "input" and self.name == "step")]

    def build(self, given: Mapping[str, Node] | None = None) -> Graph:
        """The sound graph.

        Args:
            given: the step's states, for a head: its inputs take their shapes and types from there; an input that
                the step no longer has becomes zeros.

        Raises:
            DatapathError: operands that no longer fit.
        """
        builder = GraphBuilder(self.name, max_steps=self.max_steps)
        builder.constants = dict(self.constants)
        nodes, following = self.needed(), dict(self.pairs)
        readers = {n.name: [m for m in nodes if n.name in m.inputs] for n in nodes}
        late = []
        for node in nodes:
            if node.op == "state" and not readers[node.name]:
                late.append(node.name)
                continue
            if node.op == "state" and all(_sums(r, node.name) for r in readers[node.name]):
                continue  # made with its accumulate, once the term is known
            if node.op == "accumulate" and node.inputs[0] not in builder.facts:
                term = builder.facts[node.inputs[1]]
                builder.state(node.inputs[0], term.shape, accumulator_type(term, self.max_steps))
            builder.readd(self._refreshed(node, builder, given))
        for name in late:
            facts = builder.facts[following[name]]
            builder.state(name, facts.shape, facts.type)
        builder.states = {state: following[state] for state, _ in self.pairs}
        for name, node in self.outputs:
            if node not in builder.facts:
                raise DatapathError(f"output {name!r} is gone")
        graph = builder.build(dict(self.outputs))
        used = {node.attrs[key] for node in graph.nodes for key in CONSTANT_ATTRS if key in node.attrs}
        return replace(graph, constants={key: graph.constants[key] for key in sorted(used)})

    def _refreshed(self, node: Node, builder: GraphBuilder, given: Mapping[str, Node] | None) -> Node:
        """The node with what follows from its operands: shape of a table, marks of a square and of a normalise."""
        attrs = dict(node.attrs)
        if node.op == "input" and given is not None:
            if node.name in given:
                return replace(node, shape=given[node.name].shape, type=given[node.name].type)
            return replace(node, op="constant", attrs={"key": self._zeros(node, builder)})
        if node.op == "mul":
            attrs = {"square": True} if node.inputs[0] == node.inputs[1] else {}
        if node.op == "shift":
            source = self.nodes[node.inputs[1]]
            attrs.pop("normalised", None)
            if source.op == "normalise" and source.inputs == (node.inputs[0],):
                attrs["normalised"] = True
        if node.op == "table":
            code = builder.facts[node.inputs[0]]
            entries = builder.constants[attrs["entries"]][: code.type.hi - code.type.lo + 1]  # of a narrower code
            attrs["entries"] = builder.keep(entries)
            return replace(node, attrs=attrs, shape=tuple(np.broadcast_shapes(code.shape, entries.shape[1:])))
        return replace(node, attrs=attrs)

    @staticmethod
    def _zeros(node: Node, builder: GraphBuilder) -> str:
        return builder.keep(np.zeros(node.shape, np.int64))


def datapath_of(step: Draft, head: Draft, meta: Mapping[str, object]) -> Datapath:
    """Both graphs, the head's inputs following the step's states.

    Raises:
        DatapathError: one of them is no longer sound, or the step has no state left.
    """
    built = step.build()
    if not built.states:
        raise DatapathError("no state is left")
    given = {node.name: node for node in built.state_nodes}
    given |= {name: built[node] for name, node in built.outputs if name not in given}
    made = head.build(given)
    if not made.inputs:
        made = least_head(built)
    return Datapath(built, made, {**meta, "max_steps": built.max_steps})


def least_head(step: Graph, state: str | None = None) -> Graph:
    """A head that passes on the first word of a state."""
    node = step[state or step.states[0][0]]
    builder = GraphBuilder("head")
    x = builder.input(node.name, node.shape, node.type)
    flat = builder.reshape(x, (builder.facts[x].lo.size,))
    first = builder.slice(flat, 0, 0, 1)
    frac = int(full_frac(builder.facts[first])[0])
    ends = {"energy": FixedType(False, 16, frac), "log_variance": FixedType(True, 16, frac)}
    return builder.build({n: builder.requantise(first, type_, name=n) for n, type_ in ends.items()})


def without_states(draft: Draft, names: Sequence[str]) -> Draft:
    """The draft without some states: whoever reads one finds the zeros of a window's start."""
    for name in names:
        for node in [n for n in draft.nodes.values() if _sums(n, name)]:
            draft.redirect(node.name, node.inputs[1])
            del draft.nodes[node.name]
        if any(name in node.inputs for node in draft.nodes.values()):
            draft.make_constant(name, 0)
        else:
            draft.drop_state(name)
            del draft.nodes[name]
    return draft


def _sums(node: Node, state: str) -> bool:
    return node.op == "accumulate" and node.inputs[0] == state
