"""Products of two variables as multipliers, alone or two in one DSP slice."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from venom_hw.codegen.rtl.forms import Form, Label, bit_width, power_of_two, product_bounds, total
from venom_hw.codegen.rtl.needs import Needs, shifted_signals
from venom_hw.datapath.graph import Node

if TYPE_CHECKING:
    from venom_hw.codegen.rtl.elaborate import Elaboration


DSP_PORTS = (27, 18)
"""Bits of the two signed operands that one DSP slice multiplies."""


def _product(e: Elaboration, a: Form, b: Form, label: Label) -> Form:
    """The product of two shifted signals."""
    (x, kx), (y, ky) = a.shifted, b.shifted
    first, second = sorted((x, y))
    lo, hi = product_bounds(e.cells[x], e.cells[y])
    part = label if not kx + ky else label.part("product")
    style = "lut" if e.strategies.products == "lut" else "dsp"
    name = e.cells.new("mul", part, lo, hi, (first, second), {}, style)
    return Form({name: 1 << (kx + ky)})


def mul(e: Elaboration, node: Node) -> Needs:
    pairs = {
        flat: (*(e.operand(i, node.shape)[flat] for i in node.inputs), label) for flat, label in e.alive(node)
    }
    wanted = {}
    for flat, (a, b, label) in pairs.items():
        if a.terms and b.terms:
            wanted[flat, 0], wanted[flat, 1] = (a, label.part("a")), (b, label.part("b"))
        elif len((a if a.terms else b).terms) > 1 and power_of_two((b if a.terms else a).constant) is None:
            wanted[flat, 0 if a.terms else 1] = (a if a.terms else b, label.part("factor"))
    ready = yield from shifted_signals(e, wanted)
    out = e.empty(node)
    variable = {}
    for flat, (a, b, label) in pairs.items():
        a, b = ready.get((flat, 0), a), ready.get((flat, 1), b)
        if a.terms and b.terms:
            variable[flat] = (a, b, label)
        else:
            out[flat] = a.times(b.constant) if a.terms else b.times(a.constant)
    if e.strategies.products == "dsp_packed":
        for flat, form in _packed(e, variable).items():
            out[flat] = form
            del variable[flat]
    for flat, (a, b, label) in variable.items():
        out[flat] = _product(e, a, b, label)
    return out


def _packed(e: Elaboration, products: dict[int, tuple[Form, Form, Label]]) -> dict[int, Form]:
    """Products of one common factor two at a time, where the other two factors fit side by side into one operand."""
    sharing: dict[str, list[tuple[int, str]]] = {}
    for flat, (a, b, _) in products.items():
        (x, _), (y, _) = a.shifted, b.shifted
        if x != y:
            sharing.setdefault(x, []).append((flat, y))
            sharing.setdefault(y, []).append((flat, x))
    out: dict[int, Form] = {}
    for common, others in sharing.items():
        free = [(flat, other) for flat, other in others if flat not in out]
        for (low, below), (high, above) in zip(free[::2], free[1::2], strict=False):
            beside = [other for _, other in sharing[below]]  # all that the pair may be multiplied with: it is shared
            shift = _distance(e, beside, below, above)
            if below != above and shift is not None:
                forms = _two_products(e, common, below, above, shift, products[low][2], products[high][2])
                for flat, form in zip((low, high), forms, strict=True):
                    a, b, _ = products[flat]
                    out[flat] = form.times(1 << (a.shifted[1] + b.shifted[1]))
    return out


def _distance(e: Elaboration, common: list[str], below: str, above: str) -> int | None:
    """Bits between two factors side by side, so that the lower product keeps to them; None: too wide for a slice."""
    cells = e.cells
    lo, hi = min(cells[name].lo for name in common), max(cells[name].hi for name in common)
    x = replace(cells[common[0]], name="", lo=lo, hi=hi)
    shift = bit_width(*product_bounds(x, cells[below]))
    pair = cells.bounds(Form({below: 1, above: 1 << shift}))
    wide, narrow = sorted((bit_width(min(lo, -1), hi) for lo, hi in (pair, (lo, hi))), reverse=True)
    return shift if wide <= DSP_PORTS[0] and narrow <= DSP_PORTS[1] else None


def _two_products(
    e: Elaboration, common: str, below: str, above: str, shift: int, low_label: Label, high_label: Label
) -> tuple[Form, Form]:
    """common * below and common * above from one product: the low field, and the rest plus one if that is negative."""
    cells = e.cells
    name = f"{above}_beside_{below}"
    label = Label(name, low_label.tensor, low_label.index, low_label.stage, False, f"{below} + ({above} << {shift})")
    pair = cells.add([(below, 0, False), (above, shift, False)], 0, label)
    both_label = high_label.part(f"with_{below}", f"{common} * {pair}")
    both = cells.new("mul", both_label, *product_bounds(cells[common], cells[pair]), sorted((common, pair)), {}, "dsp")
    lo, hi = product_bounds(cells[common], cells[below])
    low = cells.new("field", low_label, lo, hi, (both,), {"low": 0})
    lo, hi = product_bounds(cells[common], cells[above])
    if cells[low].lo >= 0:
        high = cells.new("shift_right", high_label, lo, hi, (both,), {"amount": shift})
        return Form({low: 1}), Form({high: 1})
    high = cells.new("shift_right", high_label.part("floor"), lo - 1, hi, (both,), {"amount": shift})
    borrow = cells.new("field", high_label.part("borrow", f"{low} < 0"), 0, 1, (both,), {"low": shift - 1})
    return Form({low: 1}), Form({high: 1, borrow: 1})


def matmul(e: Elaboration, node: Node) -> Needs:
    a, b = (e.forms[i] for i in node.inputs)
    rows, inner = a.shape
    wanted = {}
    for flat, label in e.alive(node):
        r, c = divmod(flat, b.shape[1])
        for k in range(inner):
            wanted[flat, k, 0], wanted[flat, k, 1] = (a[r, k], label.part(f"a{k}")), (b[k, c], label.part(f"b{k}"))
    ready = yield from shifted_signals(e, wanted)
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
