"""Where every signal is needed and when: chains of delays, and what crosses from module to module.

A signal has one chain. The part that its own module needs lies there; the part behind the last reader that shares it
lies with that reader; what is between lies in the top module, so that the top shows what waits across stages.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

from venom_hw.codegen.rtl.schedule import Schedule

TOP = ""
"""The top module's place among the stages."""


@dataclass
class Routes:
    """Of signals (by name) and clocks.

    Attributes:
        segments: (place, signal, from clock, to clock): a delay.
        exports, imports: (stage, signal, clock): a port of the stage.
    """

    segments: list[tuple[str, str, int, int]] = field(default_factory=list)
    exports: list[tuple[str, str, int]] = field(default_factory=list)
    imports: list[tuple[str, str, int]] = field(default_factory=list)


def places(plan: Schedule) -> dict[str, str]:
    """The module that makes each signal: its stage; TOP for inputs, and for all if there is only one stage."""
    cells = [c for c in plan.circuit.cells if c.kind not in ("input", "const")]
    single = len({c.output.stage for c in cells}) <= 1
    place = {c.output.name: TOP for c in plan.circuit.cells}
    if not single:
        place |= {c.output.name: c.output.stage or "main" for c in cells}
    return place


def routes(plan: Schedule, place: dict[str, str]) -> Routes:
    """How every signal reaches its readers."""
    uses: dict[str, set[tuple[int, str]]] = defaultdict(set)
    for cell in plan.circuit.cells:
        for name in cell.inputs:
            if name in plan.ready:
                uses[name].add((plan.start[cell.output.name], place[cell.output.name]))
    for bus in plan.circuit.outputs:
        for name in bus.elements:
            if name in plan.ready:
                uses[name].add((plan.outputs[bus.name], TOP))
    result = Routes()
    for cell in plan.circuit.cells:
        name = cell.output.name
        if name in uses:
            _route(result, name, plan.ready[name], place[name], uses[name])
    result.segments.sort(key=lambda s: s[2:])
    return result


def _route(result: Routes, name: str, ready: int, home: str, uses: set[tuple[int, str]]) -> None:
    at_home = max([clock for clock, where in uses if where == home], default=ready)
    abroad = sorted((clock, where) for clock, where in uses if where != home)
    early = {clock for clock, _ in abroad if clock <= at_home}
    later = [use for use in abroad if use[0] > at_home]
    tail: list[int] = []  # clocks at which only the last reader's module needs it
    last = later[-1][1] if later else TOP
    while last != TOP and later and later[-1][1] == last:
        tail.insert(0, later.pop()[0])
    between = {clock for clock, _ in later} | set(tail[:1])
    _chain(result, home, name, ready, early | {clock for clock, where in uses if where == home})
    _chain(result, TOP, name, at_home, between)
    if tail:
        _chain(result, last, name, tail[0], set(tail[1:]))
    if home != TOP:
        exported = early | ({at_home} if between else set())
        result.exports += [(home, name, clock) for clock in sorted(exported)]
    result.imports += [(where, name, clock) for clock, where in abroad
                       if where != TOP and not (where == last and clock in tail[1:])]  # fmt: skip


def _chain(result: Routes, place: str, name: str, start: int, taps: set[int]) -> None:
    """Delays one after the other, from a tap to the next."""
    for clock in sorted(taps):
        if clock > start:
            result.segments.append((place, name, start, clock))
            start = clock
