"""`requantise`: half an LSB into the sum before it, the rounding, the limits that can be passed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from venom_hw.codegen.rtl.circuit import Signal
from venom_hw.codegen.rtl.forms import Form, Label, meet
from venom_hw.codegen.rtl.needs import Needs
from venom_hw.codegen.rtl.sums import Request
from venom_hw.datapath.evaluate import round_only, round_shift
from venom_hw.datapath.fixed import Overflow, Rounding
from venom_hw.datapath.graph import Node
from venom_hw.datapath.ops import full_frac

if TYPE_CHECKING:
    from venom_hw.codegen.rtl.elaborate import Elaboration


def requantise(e: Elaboration, node: Node) -> Needs:
    (source,) = node.inputs
    x = e.graph.facts[source]
    call = e.graph.call(node, e.graph.facts)
    drops = np.broadcast_to(full_frac(x) - np.asarray(node.type.frac, np.int64), x.shape).reshape(-1)
    ends = [round_only(call, np.broadcast_to(end, x.shape)[None]).reshape(-1) for end in (x.lo, x.hi)]
    half_even = Rounding(node.attrs["rounding"]) is Rounding.HALF_EVEN
    limits = node.type.limits(Overflow(node.attrs["overflow"]))
    forms = e.operand(source)
    exact, rounded = {}, {}
    for flat, label in e.alive(node):
        drop = int(drops[flat])
        exactly = min(forms[flat].trailing_zeros(), max(drop, 0))
        form = forms[flat].times(1 << max(-drop, 0)).halved(exactly)
        rest = max(drop, 0) - exactly
        if not rest:
            exact[flat] = form
        elif not form.terms:
            value = round_shift(np.asarray(form.constant), rest, Rounding(node.attrs["rounding"]))
            exact[flat] = Form({}, int(value))
        else:
            form = form.plus(Form({}, 1 << (rest - 1) if half_even else 0))
            note = f"{source} + half an LSB" if half_even else source
            form, below, sticky = _without_low_bits(e, form, rest, label) if half_even else (form, 0, ())
            rounded[flat] = (Request(form, label.part("sum", note)), rest - below, sticky)
    yield [request for request, _, _ in rounded.values()]
    for flat, (request, rest, sticky) in rounded.items():
        name = e.sums.get(request.form)
        known = meet(_rounded_bounds(e.cells[name], rest, half_even), (int(ends[0][flat]), int(ends[1][flat])))
        fits = limits[0] <= known[0] and known[1] <= limits[1]
        label = e.label(node, flat) if fits else e.label(node, flat).part("rounded")
        if half_even:
            joined = not fits and rest <= JOINED_BITS
            name = e.cells.new("round", label, *known, (name, *sticky), {"drop": rest, "joined": joined})
        else:
            name = e.cells.new("shift_right", label, *known, (name,), {"amount": rest})
        exact[flat] = Form({name: 1})
    out = e.empty(node)
    clamped = {}
    for flat, form in exact.items():
        lo, hi = meet(e.cells.bounds(form), (int(ends[0][flat]), int(ends[1][flat])))
        if limits[0] <= lo and hi <= limits[1]:
            out[flat] = form
        elif not form.terms or lo >= limits[1] or hi <= limits[0]:
            out[flat] = Form({}, min(max(lo, limits[0]), limits[1]))
        else:
            clamped[flat] = (Request(form, e.label(node, flat).part("wide")), (lo, hi))
    yield [request for request, _ in clamped.values()]
    for flat, (request, bounds) in clamped.items():
        out[flat] = Form({_clamp(e, e.sums.get(request.form), bounds, limits, e.label(node, flat)): 1})
    return out


JOINED_BITS = 12
"""Dropped bits up to which a rounding shares the clock of the saturation after it: three LUTs in a row."""
FEWEST_LOW_BITS = 3
"""Low bits from which on it pays to keep only whether one of them is set."""


def _without_low_bits(e: Elaboration, form: Form, drop: int, label: Label) -> tuple[Form, int, tuple[str, ...]]:
    """A sum without the low bits that only one term has: (sum, bits, signals of "one of them is set").

    `drop` bits of the sum, with half an LSB in it, are to be rounded off. Bits that meet nothing matter to that only in
    whether they are zero: one bit waits, not all.
    """
    zeros = {name: (c & -c).bit_length() - 1 for name, c in form.terms.items()}
    lowest = min(zeros, key=zeros.get)
    others = [z for name, z in zeros.items() if name != lowest]
    others += [(form.constant & -form.constant).bit_length() - 1] if form.constant else []
    below = min([*others, drop - 1])
    if form.terms[lowest] != 1 or below < FEWEST_LOW_BITS or e.cells[lowest].width <= below:
        return form, 0, ()
    x = e.cells[lowest]
    part = label.part("high", f"{lowest} without its low {below} bits")
    high = e.cells.new("shift_right", part, x.lo >> below, x.hi >> below, (lowest,), {"amount": below})
    part = label.part("sticky", f"low {below} bits of {lowest}")
    sticky = e.cells.new("any", part, 0, 1, (lowest,), {"bits": below})
    rest = Form({name: c for name, c in form.terms.items() if name != lowest}, form.constant).halved(below)
    return rest.plus(Form({high: 1})), below, (sticky,)


def _clamp(
    e: Elaboration, name: str, known: tuple[int, int], limits: tuple[int, int], label: Label
) -> str:
    """A signal within limits: one cell, or one a limit that it can pass."""
    (lo, hi), (low, high) = known, limits
    ends = [(lo, hi), meet(known, limits)]
    style = "reset" if e.strategies.clamps == "reset" else ""
    if style and lo < low and high < hi:
        ends.insert(1, (lo, high))
    for before, after in zip(ends, ends[1:], strict=False):
        last = after is ends[-1]
        lowest, highest = e.cells[name].representable
        attrs = {
            "low": low if before[0] < after[0] else lowest,
            "high": high if after[1] < before[1] else highest,
        }
        part = label if last else label.part("below")
        name = e.cells.new("clamp", part, *after, (name,), attrs, style)
    return name


def _rounded_bounds(x: Signal, drop: int, half_even: bool) -> tuple[int, int]:
    """Bounds of x >> drop, made even where x is a tie."""
    lo, hi = x.lo >> drop, x.hi >> drop
    return (lo & -2 if half_even and x.lo == lo << drop else lo), hi
