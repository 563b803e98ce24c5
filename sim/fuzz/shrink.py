"""Makes a failing case small: every edit that keeps the failure and makes the case smaller stays.

Large steps come first (half of the windows, half of the states), then single nodes, then widths and numbers. An edit
that leaves no sound datapath costs nothing; each of the others costs one rendering.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from sim.fuzz.case import FuzzCase
from sim.fuzz.edits import graph_edits
from sim.fuzz.expected import reference
from sim.fuzz.rebuild import Draft, datapath_of, least_head, without_states
from sim.fuzz.step_vectors import step_vectors
from venom_hw.codegen.errors import CodegenError
from venom_hw.datapath.ops import DatapathError
from venom_hw.datapath.reference import run_step

SINGLY = 3
"""Nodes up to which each is tried alone instead of together with its neighbours."""


def size(case: FuzzCase) -> tuple[int, ...]:
    """Smaller means simpler; the first number counts most."""
    graphs = case.datapath.step, case.datapath.head
    nodes = [node for graph in graphs for node in graph.nodes]
    constants = list(case.datapath.constants.values())
    plain = sum(
        (node.attrs.get("rounding") == "half_even") + (node.attrs.get("overflow") == "saturate_symmetric")
        for node in nodes
    )
    return (
        len(nodes),
        sum(graph.numel(node.name) for graph in graphs for node in graph.nodes),
        len(case.pulses),
        case.samples,
        case.channels + sum(p.channel for p in case.pulses),
        sum(c.size for c in constants),
        sum(node.type.width for node in nodes) + plain,
        sum(int(np.ndim(node.type.frac) > 0) + int(np.abs(node.type.frac).max() > 0) for node in nodes),
        sum(_bits(c) for c in constants),
        sum(_bits(p.samples) for p in case.pulses) + sum(not p.start for p in case.pulses),
    )


def _bits(values: np.ndarray) -> int:
    """Bits of all magnitudes; 0 if all are 0."""
    return sum(int(v).bit_length() for v in np.abs(np.asarray(values)).flat)


@dataclass
class Shrinker:
    """Shrinks one case.

    Attributes:
        fails: whether a case still shows the failure.
        seconds: no further trial begins after them.
        trials, accepted: counted.
        progress: called after each trial with the smallest case so far.
    """

    fails: Callable[[FuzzCase], bool]
    seconds: float = 300.0
    progress: Callable[[Shrinker], None] = lambda shrinker: None
    trials: int = 0
    accepted: int = 0
    best: FuzzCase | None = None
    _seen: set = field(default_factory=set)
    _end: float = 0.0

    def run(self, case: FuzzCase, first: str = "") -> FuzzCase:
        """The smallest case found.

        Args:
            first: state that differs; everything else is dropped at once if that keeps the failure.
        """
        self.best, self._end = case, time.monotonic() + self.seconds
        self._only(first)
        before = None
        while before != size(self.best) and not self.out_of_time:
            before = size(self.best)
            for edit in (self._states, self._head, self._pulses, self._stretches, self._nodes, self._samples):
                edit()
        return self.best

    @property
    def out_of_time(self) -> bool:
        return time.monotonic() >= self._end

    def attempt(self, make: Callable[[], FuzzCase]) -> bool:
        """Keep what `make` returns if it is smaller than the best so far and still fails."""
        if self.out_of_time:
            return False
        try:
            case = make()
            if not case.pulses or size(case) >= size(self.best):
                return False
        except (DatapathError, CodegenError, ValueError, KeyError):  # no sound datapath
            return False
        key = (case.datapath.hash, case.channels, repr([(p.channel, p.start, p.last, p.samples) for p in case.pulses]))
        if key in self._seen:
            return False
        self._seen.add(key)
        self.trials += 1
        failing = self.fails(case)
        if failing:
            self.best, self.accepted = case, self.accepted + 1
        self.progress(self)
        return failing

    # ------------------------------------------------------------------------------------------------- large steps

    def _fewer(self, items: Sequence, make: Callable[[list], FuzzCase]) -> None:
        """Leave out as many of the items as possible, halves first (ddmin)."""
        items, chunk = list(items), max(1, len(items) // 2)
        while chunk and not self.out_of_time:
            at = 0
            while at < len(items):
                rest = items[:at] + items[at + chunk :]
                if rest and self.attempt(lambda rest=rest: make(rest)):
                    items = rest
                else:
                    at += chunk
            chunk //= 2

    def _drafts(self) -> tuple[Draft, Draft]:
        return Draft.of(self.best.datapath.step), Draft.of(self.best.datapath.head)

    def _made(self, step: Draft, head: Draft) -> FuzzCase:
        return replace(self.best, datapath=datapath_of(step, head, self.best.datapath.meta))

    def _with_states(self, kept: Iterable[str], state_head: str | None = None) -> FuzzCase:
        step, head = self._drafts()
        kept = set(kept)
        without_states(step, [name for name, _ in step.pairs if name not in kept])
        case = self._made(step, head)
        if state_head:
            case = case.with_datapath(case.datapath.step, least_head(case.datapath.step, state_head))
        return case

    def _only(self, state: str) -> None:
        if state in dict(self.best.datapath.step.states):
            self.attempt(lambda: self._with_states([state], state))
            self.attempt(self._least_head)

    def _states(self) -> None:
        self._fewer([name for name, _ in self.best.datapath.step.states], self._with_states)

    def _least_head(self) -> FuzzCase:
        step = self.best.datapath.step
        return self.best.with_datapath(step, least_head(step))

    def _head(self) -> None:
        self.attempt(self._least_head)

    def _pulses(self) -> None:
        self._fewer(self.best.pulses, lambda pulses: replace(self.best, pulses=tuple(pulses)))
        self.attempt(lambda: self._one_channel())
        for at in range(len(self.best.pulses)):
            for take in (slice(0, 1), slice(-1, None)):
                self._pulse(at, lambda p, take=take: replace(p, samples=p.samples[take]))
            chunk = len(self.best.pulses[at].samples) // 2
            while chunk:
                for take in (slice(chunk, None), slice(0, -chunk)):
                    while self._pulse(at, lambda p, take=take: replace(p, samples=p.samples[take])):
                        pass
                chunk //= 2
            self._pulse(at, lambda p: replace(p, start=True))
        needed = max(1, *(len(p.samples) for p in self.best.pulses))
        self.attempt(lambda: self._windows_of(needed))

    def _windows_of(self, max_steps: int) -> FuzzCase:
        step, head = self._drafts()
        return self._made(replace(step, max_steps=min(max_steps, step.max_steps)), head)

    def _one_channel(self) -> FuzzCase:
        return replace(self.best, channels=1, pulses=tuple(replace(p, channel=0) for p in self.best.pulses))

    def _stretches(self) -> None:
        """Many neighbouring nodes at once become constants, of the values that they have in the last sample."""
        count = len(self.best.datapath.step.nodes)
        chunk = count // 2
        while chunk > SINGLY and not self.out_of_time:
            at = 0
            while at < len(self.best.datapath.step.nodes):
                if not self.attempt(lambda at=at, chunk=chunk: self._frozen(at, chunk)):
                    at += chunk
            chunk //= 2

    def _frozen(self, at: int, count: int) -> FuzzCase:
        graph, (step, head) = self.best.datapath.step, self._drafts()
        stimulus = self.best.stimulus(1)
        vectors = step_vectors(graph, stimulus, reference(self.best.datapath, stimulus))
        values = run_step(graph, vectors.inputs, vectors.inputs).tensors
        for node in graph.nodes[at : at + count]:
            if node.op not in ("input", "state", "constant"):
                step.make_constant(node.name, values[node.name][-1])
        return self._made(step, head)

    def _pulse(self, at: int, change) -> bool:
        def make() -> FuzzCase:
            pulses = list(self.best.pulses)
            pulses[at] = change(pulses[at])
            if not len(pulses[at].samples):
                raise ValueError("an empty pulse")
            return replace(self.best, pulses=tuple(pulses))

        return self.attempt(make)

    # ------------------------------------------------------------------------------------------------- small steps

    def _nodes(self) -> None:
        """Every edit of every node, the last ones first: what they need falls with them."""
        for which in (1, 0):
            graph = (self.best.datapath.step, self.best.datapath.head)[which]
            for name in [node.name for node in reversed(graph.nodes)]:
                for change in graph_edits(graph, name):
                    if self.out_of_time:
                        return
                    self.attempt(lambda change=change, which=which: self._edited(which, change))

    def _edited(self, which: int, change: Callable[[Draft], None]) -> FuzzCase:
        drafts = self._drafts()
        change(drafts[which])
        return self._made(*drafts)

    def _samples(self) -> None:
        for at in range(len(self.best.pulses)):
            for simpler in (lambda s: s * 0, np.sign, lambda s: s // 16, lambda s: s // 2):
                self._pulse(at, lambda p, f=simpler: replace(p, samples=f(np.asarray(p.samples))))
            for row in range(len(self.best.pulses[at].samples)):
                for column in (0, 1):
                    self._pulse(at, lambda p, r=row, c=column: replace(p, samples=_zeroed(p.samples, r, c)))


def _zeroed(samples: np.ndarray, row: int, column: int) -> np.ndarray:
    samples = np.array(samples)
    samples[row, column] = 0
    return samples
