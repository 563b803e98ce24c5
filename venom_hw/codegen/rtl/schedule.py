"""When each cell of a circuit works: clocks counted from a sample's entry, delays balanced by construction.

A cell reads its operands at its `start` and its result is in a register at `ready = start + latency`; an operand that
is ready earlier waits in a chain of registers, one chain a signal, shared by all who read it. The schedule is the one
with the shortest loop through any state first, then the lowest latency, then the fewest bits in those chains (a linear
program whose matrix is totally unimodular: differences of clocks, so that its corners are integers).

**Units** are what moves together: the elements of a bus; the cells that read one word of a table; whole elements of one
tensor, so that a tensor has one clock and a reader can follow it. Cells that share a multiplier or the port of a memory
over an interval of several clocks are a unit too, and their results come a clock apart.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from venom_hw.codegen.errors import CodegenError
from venom_hw.codegen.rtl.circuit import Cell, Circuit
from venom_hw.codegen.rtl.difference_program import DifferenceProgram


@dataclass(frozen=True)
class Read:
    """Lookups of one table at one address: one word of the memory, a column each."""

    cells: tuple[Cell, ...]

    @property
    def address(self) -> str:
        return self.cells[0].inputs[0]

    @property
    def memory(self) -> tuple:
        """What has to agree for two reads to be two ports, or two turns, of one memory."""
        first = self.cells[0]
        columns = tuple((c.attrs["column"], c.output.width) for c in self.cells)
        return (first.output.stage, first.style, first.attrs["rom"], first.attrs["base"], columns)


@dataclass(frozen=True)
class Fold:
    """Operations that take turns on one multiplier, or on one port of a memory: slot j works at clock start + j."""

    slots: tuple[tuple[Cell, ...], ...]


@dataclass(frozen=True)
class Schedule:
    """Clocks of a circuit without its dead cells.

    Attributes:
        interval: clocks between two samples (II).
        latency: from the first input to the last output.
        start, ready: by signal; a constant has none.
        inputs, outputs: clock of each bus.
        reads: the lookups, by word.
        folds: operations that share hardware; empty when interval = 1.
        loops: clocks from each state's read to its write.
        latencies: clocks of each cell, by signal.
    """

    circuit: Circuit
    interval: int
    latency: int
    start: Mapping[str, int] = field(repr=False)
    ready: Mapping[str, int] = field(repr=False)
    inputs: Mapping[str, int]
    outputs: Mapping[str, int]
    reads: tuple[Read, ...] = field(repr=False)
    folds: tuple[Fold, ...] = field(repr=False)
    loops: Mapping[str, int]
    latencies: Mapping[str, int] = field(repr=False)


def schedule(
    circuit: Circuit,
    latency: Callable[[Cell], int],
    *,
    interval: int = 1,
    states: Mapping[str, str] | None = None,
    late: Collection[str] = (),
) -> Schedule:
    """Clocks for every cell.

    Args:
        latency: clocks of a cell (`Strategies.latency`); 0 is wires, or logic without a register.
        interval: clocks between two samples; operands then hold still for as many.
        states: output bus of the next state by input bus of the state: the loops that are kept short.
        late: further input buses that are read just in time; all others enter at clock 0.

    Raises:
        CodegenError: an unknown kind, or a cell that reads a signal not yet defined.
    """
    states = dict(states or {})
    circuit = _alive(circuit)
    units = _Units(circuit, latency, interval)
    asap, longest = units.asap(states), {}
    if states:
        longest = {s: units.asap({}, source=s) for s in states}
    bound = _shortest_loop(states, longest, units)
    asap = units.asap(states, bound)
    clocks = units.settle(asap, states, bound, {*states, *late})
    ready = {n: int(clocks[u] + off) for n, (u, off) in units.ready.items()}
    start = {n: int(clocks[u] + off) for n, (u, off) in units.start.items()}
    inputs = {b.name: int(clocks[units.buses["in", b.name]]) for b in circuit.inputs}
    outputs = {b.name: int(clocks[units.buses["out", b.name]]) for b in circuit.outputs}
    loops = {s: outputs[following] - inputs[s] for s, following in states.items()}
    last = max(outputs.values(), default=0)
    return Schedule(circuit, interval, last, start, ready, inputs, outputs, units.reads, units.folds, loops,
                    units.latency)  # fmt: skip


def _alive(circuit: Circuit) -> Circuit:
    """The circuit without cells that nothing reads; inputs stay."""
    needed = {e for bus in circuit.outputs for e in bus.elements}
    kept = []
    for cell in reversed(circuit.cells):
        if cell.kind == "input" or cell.output.name in needed:
            kept.append(cell)
            needed.update(cell.inputs)
    return Circuit(circuit.name, tuple(reversed(kept)), circuit.inputs, circuit.outputs, circuit.roms)


def reads_of(circuit: Circuit) -> tuple[Read, ...]:
    """The lookups of a circuit, gathered by the word that they read."""
    words: dict[tuple, list[Cell]] = defaultdict(list)
    for cell in circuit.cells:
        if cell.kind == "lookup":
            words[
                cell.output.stage, cell.style, cell.attrs["rom"], cell.attrs["base"], cell.inputs[0]
            ].append(cell)
    return tuple(Read(tuple(sorted(cells, key=lambda c: c.attrs["column"]))) for cells in words.values())


def _folds(circuit: Circuit, reads: tuple[Read, ...], interval: int) -> tuple[Fold, ...]:
    """Products of one tensor, and reads of one memory, `interval` at a time."""
    if interval == 1:
        return ()
    together: dict[tuple, list[tuple[Cell, ...]]] = defaultdict(list)
    for cell in circuit.cells:
        if cell.kind == "mul":
            together["mul", cell.style, cell.output.stage, cell.output.tensor].append((cell,))
    for read in reads:
        together["lookup", *read.memory].append(read.cells)
    return tuple(
        Fold(tuple(group[at : at + interval]))
        for group in together.values()
        if len(group) > 1
        for at in range(0, len(group), interval)
    )


class _Units:
    """What moves together: a variable each; every cell starts, and is ready, at a constant distance from its unit."""

    def __init__(self, circuit: Circuit, latency: Callable[[Cell], int], interval: int):
        self.circuit = circuit
        self.latency = {cell.output.name: latency(cell) for cell in circuit.cells}
        self.reads = reads_of(circuit)
        self.folds = _folds(circuit, self.reads, interval)
        self.constants = {c.output.name for c in circuit.cells if c.kind == "const"}
        loose: set[str] = set()  # tensors whose elements depend on each other: they have no common clock
        while True:
            self._assign(loose)
            cyclic = self._cyclic()
            if not cyclic:
                break
            loose |= cyclic
        self._order()

    def _assign(self, loose: set[str]) -> None:
        self.start: dict[str, tuple[int, int]] = {}
        self.ready: dict[str, tuple[int, int]] = {}
        self.buses: dict[tuple[str, str], int] = {}
        self.tensors: dict[int, set[str]] = defaultdict(set)
        self.count = 0
        for side, buses in (("in", self.circuit.inputs), ("out", self.circuit.outputs)):
            for bus in buses:
                unit = self.buses[side, bus.name] = self._new()
                if side == "in":
                    self.ready |= {e: (unit, 0) for e in bus.elements}
        for fold in self.folds:
            unit = self._new()
            for turn, cells in enumerate(fold.slots):
                for cell in cells:
                    name = cell.output.name
                    self.start[name], self.ready[name] = (unit, 0), (unit, self.latency[name] + 1 + turn)
        of_key: dict[tuple, int] = {}
        word = {c.output.name: i for i, read in enumerate(self.reads) for c in read.cells}
        for cell in self.circuit.cells:
            s = cell.output
            if s.name in self.ready or cell.kind == "const":
                continue
            key = ("signal", s.name)
            if s.whole and s.tensor not in loose:
                key = ("tensor", s.tensor)
            elif s.name in word:
                key = ("word", word[s.name])
            if key not in of_key:
                of_key[key] = self._new()
            unit = of_key[key]
            if key[0] == "tensor":
                self.tensors[unit].add(s.tensor)
            self.start[s.name], self.ready[s.name] = (unit, -self.latency[s.name]), (unit, 0)

    def _new(self) -> int:
        self.count += 1
        return self.count - 1

    def _dependences(self):
        """(signal, unit that reads it, at which distance from the unit's clock), constants left out."""
        for cell in self.circuit.cells:
            for name in cell.inputs:
                if name in self.constants:
                    continue
                if name not in self.ready:
                    raise CodegenError(f"{cell.output.name} reads {name}, which no cell before it makes")
                yield (name, *self.start[cell.output.name])
        for bus in self.circuit.outputs:
            for name in bus.elements:
                if name not in self.constants:
                    yield (name, self.buses["out", bus.name], 0)

    def _cyclic(self) -> set[str]:
        """Tensors that cannot have one clock: their elements read each other, by whatever way."""
        edges = {(self.ready[name][0], unit) for name, unit, _ in self._dependences()}
        if not edges:
            return set()
        rows, cols = zip(*edges, strict=True)
        graph = coo_array((np.ones(len(rows)), (rows, cols)), shape=(self.count, self.count)).tocsr()
        _, label = connected_components(graph, connection="strong")
        sizes = np.bincount(label)
        guilty = {u for u in range(self.count) if sizes[label[u]] > 1} | {a for a, b in edges if a == b}
        return {t for u in guilty for t in self.tensors.get(u, ())}

    def _order(self) -> None:
        """Edges from unit to unit with the least distance between them, in order of evaluation."""
        self.edges: dict[tuple[int, int], int] = {}
        for name, unit, offset in self._dependences():
            source, made = self.ready[name]
            key = (source, unit)
            self.edges[key] = max(self.edges.get(key, made - offset), made - offset)
        self.after: dict[int, list[tuple[int, int]]] = defaultdict(list)
        waiting = np.zeros(self.count, int)
        for (a, b), distance in self.edges.items():
            self.after[a].append((b, distance))
            waiting[b] += 1
        self.order = [u for u in range(self.count) if not waiting[u]]
        for unit in self.order:
            for b, _ in self.after[unit]:
                waiting[b] -= 1
                if not waiting[b]:
                    self.order.append(b)
        # A unit's first start is not before clock 0.
        self.least = np.zeros(self.count)
        for unit, offset in self.start.values():
            self.least[unit] = max(self.least[unit], -offset)

    def asap(self, states: Mapping[str, str], bound: int = 0, source: str | None = None) -> np.ndarray:
        """Earliest clock of each unit; with `source`, counted from that input bus, -inf where it does not reach.

        With a `bound`, a state is not read earlier than `bound` clocks before its next value is written.
        """
        if source is None:
            clocks = self.least.copy()
        else:
            clocks = np.full(self.count, -np.inf)
            clocks[self.buses["in", source]] = 0
        while True:
            for unit in self.order:
                for b, distance in self.after[unit]:
                    clocks[b] = max(clocks[b], clocks[unit] + distance)
            moved = False
            for state, following in states.items() if bound else ():
                lowest = clocks[self.buses["out", following]] - bound
                if clocks[self.buses["in", state]] < lowest:
                    clocks[self.buses["in", state]] = lowest
                    moved = True
            if not moved:
                return clocks

    def settle(
        self, asap: np.ndarray, states: Mapping[str, str], bound: int, late: Collection[str]
    ) -> np.ndarray:
        """The clocks with the fewest delay bits, within the earliest possible latency."""
        out = [self.buses["out", b.name] for b in self.circuit.outputs]
        latest = max(asap[out], default=0)
        readers: dict[str, set[tuple[int, int]]] = defaultdict(set)
        for name, unit, offset in self._dependences():
            readers[name].add((unit, offset))
        program = DifferenceProgram(self.count)
        for (a, b), distance in self.edges.items():
            program.at_least(b, a, distance)
        for state, following in states.items():
            program.at_least(self.buses["in", state], self.buses["out", following], -bound)
        signals = {cell.output.name: cell.output for cell in self.circuit.cells}
        for name, uses in readers.items():
            unit, width = self.ready[name][0], signals[name].width
            if len(uses) == 1:
                ((end, offset),) = uses
            else:
                end, offset = program.variable(), 0
                for reader, at in uses:
                    program.at_least(end, reader, at)
            program.cost(end, width)
            program.cost(unit, -width)
        fixed = {self.buses["in", b.name] for b in self.circuit.inputs if b.name not in late}
        upper = np.full(self.count, latest + max(self.latency.values(), default=0))
        upper[out] = latest
        upper[list(fixed)] = 0
        return program.solve(asap, upper, self.circuit.name)


def _shortest_loop(states: Mapping[str, str], longest: Mapping[str, np.ndarray], units: _Units) -> int:
    """The least number of clocks from read to write that all states can keep at once, at least 1."""
    if not states:
        return 1
    names = list(states)
    path = np.array([[longest[a][units.buses["out", states[b]]] for b in names] for a in names])
    bound = max(1, int(path.diagonal().max())) if np.isfinite(path.diagonal().max()) else 1
    while True:
        reach = path - bound
        for k in range(len(names)):
            reach = np.maximum(reach, reach[:, [k]] + reach[[k], :])
        if reach.diagonal().max() <= 0:
            return bound
        bound += 1
