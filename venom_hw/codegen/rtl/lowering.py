"""Each operation of a graph in linear forms and cells: generators that yield what they need as signals."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from venom_hw.codegen.rtl.forms import Form, Label, meet, total
from venom_hw.codegen.rtl.needs import Needs, plain_signals, shifted_signals
from venom_hw.codegen.rtl.operands import reads
from venom_hw.codegen.rtl.products import matmul, mul
from venom_hw.codegen.rtl.requantise import requantise
from venom_hw.codegen.rtl.sums import Request
from venom_hw.datapath.graph import Node
from venom_hw.datapath.ops import alignment, full_frac

if TYPE_CHECKING:
    from venom_hw.codegen.rtl.elaborate import Elaboration


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
    names = yield from plain_signals(e, {f: e.request(node, f, state[f].plus(term[f])) for f, _ in e.alive(node)})
    out = e.empty(node)
    for flat, name in names.items():
        out[flat] = Form({name: 1})
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
    ready = yield from shifted_signals(e, wanted)
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
    names = yield from plain_signals(e, constants)
    ready = yield from shifted_signals(e, {key: value for key, value in forms.items() if key not in constants})
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
    names = yield from plain_signals(e, {f: Request(codes[f], alive[f].part("address")) for f in alive})
    entries = e.graph.constants[node.attrs["entries"]]
    columns = np.broadcast_to(
        entries.reshape(entries.shape[0], *(1,) * (len(node.shape) + 1 - entries.ndim), *entries.shape[1:]),
        (entries.shape[0], *node.shape),
    ).reshape(entries.shape[0], -1)
    out = e.empty(node)
    by_address: dict[str, list[int]] = {}
    for flat, name in names.items():
        by_address.setdefault(name, []).append(flat)
    wanted, reach = {}, {}
    for name, flats in by_address.items():
        column = [columns[:, f].tobytes() for f in flats]
        wanted[name] = (column, tuple(dict.fromkeys(column)))  # elements that look the same column up are one
        ends = e.cells[name].lo, e.cells[name].hi
        lo, hi = reach.get(wanted[name][1], ends)
        reach[wanted[name][1]] = (min(lo, ends[0]), max(hi, ends[1]))
    for name, flats in by_address.items():
        column, contents = wanted[name]
        first = [flats[column.index(content)] for content in contents]
        labels = [alive[f] for f in first]
        forms = e.tables.lookup(node.name, name, reach[contents], type_.lo, columns[:, first], labels)
        for flat, content in zip(flats, column, strict=True):
            out[flat] = forms[contents.index(content)]
    return out


def _normalise(e: Elaboration, node: Node) -> Needs:
    (source,) = node.inputs
    width = e.graph[source].type.width
    alive = dict(e.alive(node))
    forms = e.operand(source)
    names = yield from plain_signals(e, {f: Request(forms[f], alive[f].part("operand")) for f in alive})
    out = e.empty(node)
    for flat, label in alive.items():
        x = e.cells[names[flat]]
        lo, hi = (width - max(end.bit_length(), 1) for end in (x.hi, max(x.lo, 0)))
        known = meet((lo, hi), e.bounds(node, flat))
        out[flat] = Form({e.cells.new("leading", label, *known, (x.name,), {"width": width}): 1})
    return out


def _shift(e: Elaboration, node: Node) -> Needs:
    alive = dict(e.alive(node))
    operands = [e.operand(i, node.shape) for i in node.inputs]
    requests = {}
    for flat, label in alive.items():
        requests[flat, 0] = Request(operands[0][flat], label.part("value"))
        requests[flat, 1] = Request(operands[1][flat], label.part("amount"))
    names = yield from plain_signals(e, requests)
    out = e.empty(node)
    for flat, label in alive.items():
        inputs = (names[flat, 0], names[flat, 1])
        x, s = (e.cells[name] for name in inputs)
        reach = (min(x.lo << s.hi, x.lo << s.lo), max(x.hi << s.hi, x.hi << s.lo))
        out[flat] = Form({e.cells.new("shift_left", label, *meet(reach, e.bounds(node, flat)), inputs): 1})
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
    "matmul": matmul,
    "add": _add,
    "sub": partial(_add, sign=-1),
    "mul": mul,
    "maximum": _maximum,
    "accumulate": _accumulate,
    "table": _table,
    "requantise": requantise,
    "reduce": _reduce,
    "normalise": _normalise,
    "shift": _shift,
    "slice": _view,
    "concat": _view,
    "reshape": _view,
}
