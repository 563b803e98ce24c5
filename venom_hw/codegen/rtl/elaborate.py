"""A graph, element by element, as a circuit of integer cells: `elaborate`.

Every operation is a generator that yields the forms it needs as signals and returns the forms of its result. Nodes
run as far as they can; what all of them then wait for is made at once (`Sums.make`), so that products of one vector
with several matrices share their adders.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from venom_hw.codegen.errors import CodegenError
from venom_hw.codegen.rtl import lowering
from venom_hw.codegen.rtl.circuit import Bus, Cell, Circuit
from venom_hw.codegen.rtl.forms import ZERO, CellList, Form, Label
from venom_hw.codegen.rtl.needs import Needs
from venom_hw.codegen.rtl.operands import VIEWS, demands
from venom_hw.codegen.rtl.strategies import Strategies
from venom_hw.codegen.rtl.sums import Request, Sums
from venom_hw.codegen.rtl.tables import Tables
from venom_hw.datapath.graph import Graph, Node
from venom_hw.datapath.ops import full_frac


def elaborate(graph: Graph, strategies: Strategies | None = None) -> Circuit:
    """The circuit of a graph: same integers, element by element.

    Args:
        graph: a step or head graph; run `factor_decay` before, if it should be used.
        strategies: how products, sums and tables are lowered (default: `Strategies()`).

    Returns:
        Circuit with a bus for each graph input and state, and for each output and next state (named after the state).

    Raises:
        CodegenError: an operation that has no lowering.
    """
    return Elaboration(graph, strategies or Strategies()).run()


class Elaboration:
    """One run of `elaborate`: forms of every node so far, and the cells."""

    def __init__(self, graph: Graph, strategies: Strategies):
        self.graph, self.strategies = graph, strategies
        self.cells = CellList(strategies.latency)
        self.sums = Sums(self.cells, strategies)
        self.tables = Tables(self.cells, strategies)
        self.demand = demands(graph)
        self.forms: dict[str, np.ndarray] = {}

    # ------------------------------------------------------------------ what operations use

    def label(self, node: Node, flat: int) -> Label:
        """The label of an element of a node's tensor (row-major index)."""
        index = "_".join(str(i) for i in np.unravel_index(flat, node.shape)) if node.shape else ""
        name = self.cells.identifier(node.name) + (f"_{index}" if index else "")
        return Label(name, node.name, flat, node.stage or self.graph.name, True, self.note(node, flat))

    def note(self, node: Node, flat: int) -> str:
        frac = int(np.asarray(full_frac(self.graph.facts[node.name])).reshape(-1)[flat])
        return f"{'s' if node.type.signed else 'u'}{node.type.width}.{frac}"

    def alive(self, node: Node) -> Iterator[tuple[int, Label]]:
        """Flat index and label of the elements that something reads."""
        for flat in np.flatnonzero(self.demand[node.name]):
            yield int(flat), self.label(node, int(flat))

    def empty(self, node: Node) -> np.ndarray:
        """Flat forms of a node, all zero."""
        out = np.empty(int(np.prod(node.shape, dtype=np.int64)), object)
        out.fill(ZERO)
        return out

    def operand(self, name: str, shape: tuple[int, ...] | None = None) -> np.ndarray:
        """Flat forms of a node's tensor, broadcast to a shape."""
        forms = self.forms[name]
        return np.broadcast_to(forms, forms.shape if shape is None else shape).reshape(-1)

    def bounds(self, node: Node, flat: int) -> tuple[int, int]:
        facts = self.graph.facts[node.name]
        return int(facts.lo.reshape(-1)[flat]), int(facts.hi.reshape(-1)[flat])

    def request(self, node: Node, flat: int, form: Form) -> Request:
        """The form of an element of a node's tensor, wanted as a signal."""
        return Request(form, self.label(node, flat), self.bounds(node, flat))

    # ------------------------------------------------------------------ running

    def run(self) -> Circuit:
        pending = list(self.graph.nodes)
        waiting: list[tuple[Node, Needs, list[Request]]] = []
        while pending or waiting:
            rest = []
            for node in pending:
                if all(name in self.forms for name in node.inputs):
                    self._advance(node, self._lower(node), waiting)
                else:
                    rest.append(node)
            progressed = len(rest) < len(pending) and any(
                all(name in self.forms for name in node.inputs) for node in rest
            )
            pending = rest
            if progressed:
                continue
            self.sums.make([request for _, _, requests in waiting for request in requests])
            resumed, waiting = waiting, []
            for node, needs, _ in resumed:
                self._advance(node, needs, waiting)
        return self._circuit()

    def _advance(self, node: Node, needs: Needs, waiting: list) -> None:
        """Runs a node up to something it has to wait for, or to its end."""
        try:
            while True:
                requests = [r for r in next(needs) if self.sums.get(r.form) is None]
                if requests:
                    waiting.append((node, needs, requests))
                    return
        except StopIteration as stop:
            forms = stop.value
            for flat, form in enumerate(forms):
                forms[flat] = self.cells.settled(form)
            self.forms[node.name] = forms.reshape(node.shape)

    def _lower(self, node: Node) -> Needs:
        rule = lowering.RULES.get(node.op)
        if rule is None:
            raise CodegenError(
                f"node {node.name!r}: no lowering for {node.op!r}; known: {', '.join(sorted(lowering.RULES))}"
            )
        forms = yield from rule(self, node)
        if node.op in VIEWS:
            return forms
        shared = {
            flat: self.request(node, flat, forms[flat])
            for flat, _ in self.alive(node)
            if self.demand[node.name][flat] > 1 and self._worth_a_signal(forms[flat])
        }
        yield list(shared.values())
        for flat, request in shared.items():
            forms[flat] = Form({self.sums.get(request.form): 1})
        return forms

    def _worth_a_signal(self, form: Form) -> bool:
        """Whether several readers of a form should share one cell: not where it is wires anyway."""
        return bool(form.terms) and self.cells.wires(form) is None

    # ------------------------------------------------------------------ borders

    def _circuit(self) -> Circuit:
        graph = self.graph
        ends = [(name, node, graph[node].type) for name, node in graph.outputs]
        ends += [(state, node, graph[state].type) for state, node in graph.states]
        for _, name, _ in ends:
            node = graph[name]
            self.sums.make([self.request(node, k, f) for k, f in enumerate(self.forms[name].reshape(-1))])
        outputs = []
        for name, source, type_ in ends:
            elements = tuple(self.sums.get(f) for f in self.forms[source].reshape(-1))
            outputs.append(Bus(name, graph[source].shape, elements, type_.width, type_.signed, str(type_)))
        inputs = []
        for node in (*graph.inputs, *graph.state_nodes):
            elements = tuple(f.signal for f in self.forms[node.name].reshape(-1))
            inputs.append(Bus(node.name, node.shape, elements, node.type.width, node.type.signed, str(node.type)))
        cells = _reachable(self.cells.cells, [e for bus in outputs for e in bus.elements])
        used = {cell.attrs["rom"] for cell in cells if cell.kind == "lookup"}
        roms = {key: rom for key, rom in self.tables.roms.items() if key in used}
        return Circuit(graph.name, cells, tuple(inputs), tuple(outputs), roms)


def _reachable(cells: list[Cell], ends: list[str]) -> tuple[Cell, ...]:
    """The inputs, and the cells that an output depends on."""
    needed = set(ends)
    kept = []
    for cell in reversed(cells):
        if cell.output.name in needed or cell.kind == "input":
            needed |= set(cell.inputs)
            kept.append(cell)
    return tuple(reversed(kept))
