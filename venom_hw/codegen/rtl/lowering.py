"""Each operation of a graph in linear forms and cells: generators that yield what they need as signals."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from venom_hw.codegen.rtl.circuit import Signal
from venom_hw.codegen.rtl.forms import Form, Label, power_of_two, product_bounds, total
from venom_hw.codegen.rtl.operands import reads
from venom_hw.codegen.rtl.sums import Request
from venom_hw.datapath.evaluate import round_only, round_shift
from venom_hw.datapath.fixed import Overflow, Rounding
from venom_hw.datapath.graph import Node
from venom_hw.datapath.ops import alignment, full_frac

if TYPE_CHECKING:
    from venom_hw.codegen.rtl.elaborate import Elaboration, Needs


def _given(e: Elaboration, node: Node) -> Needs:
    """An input or a state."""
    out = e.empty(node)
    for flat in range(len(out)):
        label = e.label(node, flat)
        out[flat] = Form({e.cells.new("input", label, *e.bounds(node, flat)): 1})
    return out
    yield


def _constant(e: Elaboration, node: Node) -> Needs:
    out = e.empty(node)
    for flat, value in enumerate(e.graph.constants[node.attrs["key"]].reshape(-1)):
        out[flat] = Form({}, int(value))
    return out
    yield


def _aligned(e: Elaboration, node: Node) -> list[np.ndarray]:
    """Flat forms of the operands, at the result's binary point and of its shape."""
    _, shifts = alignment(*(e.graph.facts[i] for i in node.inputs))
    factors = [1 << np.broadcast_to(np.asarray(s), node.shape).reshape(-1).astype(object) for s in shifts]
    forms = [e.operand(i, node.shape) for i in node.inputs]
    out = [e.empty(node), e.empty(node)]
    for at, (operand, factor) in enumerate(zip(forms, factors, strict=True)):
        for flat, (form, k) in enumerate(zip(operand, factor, strict=True)):
            out[at][flat] = form.times(k)
    return out


def _add(e: Elaboration, node: Node, sign: int = 1) -> Needs:
    a, b = _aligned(e, node)
    out = e.empty(node)
    for flat in range(len(out)):
        out[flat] = a[flat].plus(b[flat].times(sign))
    return out
    yield


def _accumulate(e: Elaboration, node: Node) -> Needs:
    """A signal of its own: that it stays within max_steps terms cannot be told from its form."""
    state, term = (e.operand(i) for i in node.inputs)
    names = yield from _plain_signals(e, {f: e.request(node, f, state[f].plus(term[f])) for f, _ in e.alive(node)})
    out = e.empty(node)
    for flat, name in names.items():
        out[flat] = Form({name: 1})
    return out


def _signals(e: Elaboration, forms: dict) -> Needs:
    """Forms as (signal << shift) where they are one, as new signals otherwise: {key: (form, label)} -> {key: Form}."""
    wanted = {key: Request(f, label) for key, (f, label) in forms.items() if f.terms and f.shifted is None}
    yield list(wanted.values())
    return {key: Form({e.sums.get(wanted[key].form): 1}) if key in wanted else f for key, (f, _) in forms.items()}


def _plain_signals(e: Elaboration, requests: dict) -> Needs:
    """Forms as signals: {key: Request} -> {key: name}."""
    yield list(requests.values())
    return {key: e.sums.get(request.form) for key, request in requests.items()}


def _product(e: Elaboration, a: Form, b: Form, label: Label) -> Form:
    """The product of two shifted signals."""
    (x, kx), (y, ky) = a.shifted, b.shifted
    first, second = sorted((x, y))
    lo, hi = product_bounds(e.cells[x], e.cells[y])
    part = label if not kx + ky else label.part("product")
    name = e.cells.new("mul", part, lo, hi, (first, second), {}, e.strategies.products)
    return Form({name: 1 << (kx + ky)})


def _mul(e: Elaboration, node: Node) -> Needs:
    pairs = {
        flat: (*(e.operand(i, node.shape)[flat] for i in node.inputs), label) for flat, label in e.alive(node)
    }
    wanted = {}
    for flat, (a, b, label) in pairs.items():
        if a.terms and b.terms:
            wanted[flat, 0], wanted[flat, 1] = (a, label.part("a")), (b, label.part("b"))
        elif len((a if a.terms else b).terms) > 1 and power_of_two((b if a.terms else a).constant) is None:
            wanted[flat, 0 if a.terms else 1] = (a if a.terms else b, label.part("factor"))
    ready = yield from _signals(e, wanted)
    out = e.empty(node)
    for flat, (a, b, label) in pairs.items():
        a, b = ready.get((flat, 0), a), ready.get((flat, 1), b)
        if a.terms and b.terms:
            out[flat] = _product(e, a, b, label)
        else:
            out[flat] = a.times(b.constant) if a.terms else b.times(a.constant)
    return out


def _matmul(e: Elaboration, node: Node) -> Needs:
    a, b = (e.forms[i] for i in node.inputs)
    rows, inner = a.shape
    wanted = {}
    for flat, label in e.alive(node):
        r, c = divmod(flat, b.shape[1])
        for k in range(inner):
            wanted[flat, k, 0], wanted[flat, k, 1] = (a[r, k], label.part(f"a{k}")), (b[k, c], label.part(f"b{k}"))
    ready = yield from _signals(e, wanted)
    out = e.empty(node)
    for flat, label in e.alive(node):
        terms = []
        for k in range(inner):
            x, y = ready[flat, k, 0], ready[flat, k, 1]
            if x.terms and y.terms:
                terms.append(_product(e, x, y, label.part(str(k))))
            else:
                terms.append(x.times(y.constant) if x.terms else y.times(x.constant))
        out[flat] = total(terms)
    return out


def _constmatmul(e: Elaboration, node: Node) -> Needs:
    (source,) = node.inputs
    facts = e.graph.facts[source]
    weights = e.graph.constants[node.attrs["weights"]]
    wanted = {
        flat: (form, e.label(e.graph[source], flat))
        for flat, form in enumerate(e.operand(source))
        if e.demand[source][flat] and len(form.terms) > 0
    }
    ready = yield from _signals(e, wanted)
    shift = (facts.type.max_frac - full_frac(facts)).reshape(-1)
    inputs = [ready.get(k, f).times(1 << int(shift[k])) for k, f in enumerate(e.operand(source))]
    out = e.empty(node)
    for flat, _ in e.alive(node):
        before, row = divmod(flat, weights.shape[0])
        x = inputs[before * weights.shape[1] : (before + 1) * weights.shape[1]]
        out[flat] = total(f.times(w) for f, w in zip(x, weights[row], strict=True))
    return out


def _reduce(e: Elaboration, node: Node) -> Needs:
    (source,) = node.inputs
    frac = full_frac(e.graph.facts[source])
    shift = (frac.max(axis=node.attrs["axis"], keepdims=True) - frac).reshape(-1)
    ((elements, readers),) = reads(e.graph, node)
    forms = e.operand(source)
    rows: dict[int, list[Form]] = {}
    for element, reader in zip(elements, readers, strict=True):
        rows.setdefault(int(reader), []).append(forms[element].times(1 << int(shift[element])))
    out = e.empty(node)
    if node.attrs["kind"] == "sum":
        for flat, terms in rows.items():
            out[flat] = total(terms)
        return out
    alive = dict(e.alive(node))
    wanted = {(f, k): (t, alive[f].part(str(k))) for f in alive for k, t in enumerate(rows[f])}
    ready = yield from _maximum_operands(e, wanted)
    for flat, label in alive.items():
        row = [ready[flat, k] for k in range(len(rows[flat]))]
        while len(row) > 1:
            paired = [
                _larger(e, a, b, label if len(row) == 2 else label.part(f"max_{len(row)}_{k}"))
                for k, (a, b) in enumerate(zip(row[::2], row[1::2], strict=False))
            ]
            row = paired + row[2 * len(paired) :]
        out[flat] = row[0]
    return out


def _maximum_operands(e: Elaboration, forms: dict) -> Needs:
    """Forms for comparisons: shifted signals; constants as signals, too."""
    constants = {key: Request(f, label.part("constant")) for key, (f, label) in forms.items() if not f.terms}
    names = yield from _plain_signals(e, constants)
    ready = yield from _signals(e, {key: value for key, value in forms.items() if key not in constants})
    return {**ready, **{key: Form({name: 1}) for key, name in names.items()}}


def _larger(e: Elaboration, a: Form, b: Form, label: Label) -> Form:
    (alo, ahi), (blo, bhi) = e.cells.bounds(a), e.cells.bounds(b)
    if alo >= bhi or blo >= ahi:
        return a if alo >= bhi else b
    (x, kx), (y, ky) = a.shifted, b.shifted
    common = min(kx, ky)
    lo, hi = max(alo, blo) >> common, max(ahi, bhi) >> common
    part = label if not common else label.part("max")
    name = e.cells.new("maximum", part, lo, hi, (x, y), {"shifts": (kx - common, ky - common)})
    return Form({name: 1 << common})


def _maximum(e: Elaboration, node: Node) -> Needs:
    a, b = _aligned(e, node)
    alive = dict(e.alive(node))
    wanted = {(f, k): (x[f], alive[f].part("ab"[k])) for f in alive for k, x in enumerate((a, b))}
    ready = yield from _maximum_operands(e, wanted)
    out = e.empty(node)
    for flat, label in alive.items():
        out[flat] = _larger(e, ready[flat, 0], ready[flat, 1], label)
    return out


def _table(e: Elaboration, node: Node) -> Needs:
    (source,) = node.inputs
    type_ = e.graph[source].type
    codes = e.operand(source, node.shape)
    alive = dict(e.alive(node))
    names = yield from _plain_signals(e, {f: Request(codes[f], alive[f].part("address")) for f in alive})
    entries = e.graph.constants[node.attrs["entries"]]
    columns = np.broadcast_to(
        entries.reshape(entries.shape[0], *(1,) * (len(node.shape) + 1 - entries.ndim), *entries.shape[1:]),
        (entries.shape[0], *node.shape),
    ).reshape(entries.shape[0], -1)
    out = e.empty(node)
    by_address: dict[str, list[int]] = {}
    for flat, name in names.items():
        by_address.setdefault(name, []).append(flat)
    for name, flats in by_address.items():
        found: dict[bytes, int] = {}  # elements that look the same column up are one
        column = [found.setdefault(columns[:, f].tobytes(), f) for f in flats]
        first = list(dict.fromkeys(column))
        forms = e.tables.lookup(node.name, name, type_.lo, columns[:, first], [alive[f] for f in first])
        by_flat = dict(zip(first, forms, strict=True))
        for flat, shared in zip(flats, column, strict=True):
            out[flat] = by_flat[shared]
    return out


def _requantise(e: Elaboration, node: Node) -> Needs:
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
            half = Form({}, 1 << (rest - 1) if half_even else 0)
            note = f"{source} + half an LSB" if half_even else source
            rounded[flat] = (Request(form.plus(half), label.part("sum", note)), rest)
    yield [request for request, _ in rounded.values()]
    for flat, (request, rest) in rounded.items():
        name = e.sums.get(request.form)
        known = _meet(_rounded_bounds(e.cells[name], rest, half_even), (int(ends[0][flat]), int(ends[1][flat])))
        fits = limits[0] <= known[0] and known[1] <= limits[1]
        label = e.label(node, flat) if fits else e.label(node, flat).part("rounded")
        if half_even:
            name = e.cells.new("round", label, *known, (name,), {"drop": rest, "joined": not fits})
        else:
            name = e.cells.new("shift_right", label, *known, (name,), {"amount": rest})
        exact[flat] = Form({name: 1})
    out = e.empty(node)
    clamped = {}
    for flat, form in exact.items():
        lo, hi = _meet(e.cells.bounds(form), (int(ends[0][flat]), int(ends[1][flat])))
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


def _clamp(
    e: Elaboration, name: str, known: tuple[int, int], limits: tuple[int, int], label: Label
) -> str:
    """A signal within limits: one cell, or one a limit that it can pass."""
    (lo, hi), (low, high) = known, limits
    ends = [(lo, hi), _meet(known, limits)]
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


def _meet(a: tuple[int, int], b: tuple[int, int]) -> tuple[int, int]:
    return max(a[0], b[0]), min(a[1], b[1])


def _rounded_bounds(x: Signal, drop: int, half_even: bool) -> tuple[int, int]:
    """Bounds of x >> drop, made even where x is a tie."""
    lo, hi = x.lo >> drop, x.hi >> drop
    return (lo & -2 if half_even and x.lo == lo << drop else lo), hi


def _normalise(e: Elaboration, node: Node) -> Needs:
    (source,) = node.inputs
    width = e.graph[source].type.width
    alive = dict(e.alive(node))
    forms = e.operand(source)
    names = yield from _plain_signals(e, {f: Request(forms[f], alive[f].part("operand")) for f in alive})
    out = e.empty(node)
    for flat, label in alive.items():
        x = e.cells[names[flat]]
        lo, hi = (width - max(end.bit_length(), 1) for end in (x.hi, max(x.lo, 0)))
        out[flat] = Form({e.cells.new("leading", label, lo, hi, (x.name,), {"width": width}): 1})
    return out


def _shift(e: Elaboration, node: Node) -> Needs:
    alive = dict(e.alive(node))
    operands = [e.operand(i, node.shape) for i in node.inputs]
    requests = {}
    for flat, label in alive.items():
        requests[flat, 0] = Request(operands[0][flat], label.part("value"))
        requests[flat, 1] = Request(operands[1][flat], label.part("amount"))
    names = yield from _plain_signals(e, requests)
    out = e.empty(node)
    for flat, label in alive.items():
        inputs = (names[flat, 0], names[flat, 1])
        x, s = (e.cells[name] for name in inputs)
        reach = (min(x.lo << s.hi, x.lo << s.lo), max(x.hi << s.hi, x.hi << s.lo))
        out[flat] = Form({e.cells.new("shift_left", label, *_meet(reach, e.bounds(node, flat)), inputs): 1})
    return out


def _view(e: Elaboration, node: Node) -> Needs:
    forms = [e.forms[i] for i in node.inputs]
    if node.op == "concat":
        return np.concatenate(forms, node.attrs["axis"]).reshape(-1).copy()
    if node.op == "slice":
        take = [slice(None)] * forms[0].ndim
        take[node.attrs["axis"]] = slice(node.attrs["start"], node.attrs["stop"])
        return forms[0][tuple(take)].reshape(-1).copy()
    return forms[0].reshape(-1).copy()
    yield


RULES = {
    "input": _given,
    "state": _given,
    "constant": _constant,
    "constmatmul": _constmatmul,
    "matmul": _matmul,
    "add": _add,
    "sub": partial(_add, sign=-1),
    "mul": _mul,
    "maximum": _maximum,
    "accumulate": _accumulate,
    "table": _table,
    "requantise": _requantise,
    "reduce": _reduce,
    "normalise": _normalise,
    "shift": _shift,
    "slice": _view,
    "concat": _view,
    "reshape": _view,
}
