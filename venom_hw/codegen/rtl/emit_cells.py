"""What each kind of cell is in SystemVerilog: an expression of exactly the output's width."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from venom_hw.codegen.errors import CodegenError
from venom_hw.codegen.rtl.circuit import Cell, Signal
from venom_hw.codegen.rtl.emit_module import Module, Value, literal


def expression(cell: Cell, x: Sequence[Value], module: Module) -> str:
    """The right-hand side of a cell that needs no memory and no multiplier.

    Raises:
        CodegenError: a kind that has no expression.
    """
    if cell.kind not in EXPRESSIONS:
        raise CodegenError(f"{cell.output.name}: no expression for a cell of kind {cell.kind!r}")
    return EXPRESSIONS[cell.kind](cell, x, module)


def _zeros(value: int) -> int:
    """Trailing zero bits."""
    return (value & -value).bit_length() - 1


def _add(cell: Cell, x: Sequence[Value], module: Module) -> str:
    constant = cell.attrs["constant"]
    terms = list(zip(x, cell.attrs["shifts"], cell.attrs["negate"], strict=True))
    width = cell.output.width
    if cell.attrs.get("wires"):
        ((value, shift, _),) = terms
        place = f"({value.fit(width)} << {shift})" if shift else value.fit(width)
        return f"{place} | {literal(constant, width, False)}" if constant else place
    lowest = [s for _, s, _ in terms] + ([_zeros(constant)] if constant else [])
    zeros = min(min(lowest), width - 1)
    terms = [(v, s - zeros, negate) for v, s, negate in terms]
    constant >>= zeros
    body = _sum(terms, constant, width - zeros)
    return f"{{{body}, {zeros}'d0}}" if zeros else body


def _sum(terms: list[tuple[Value, int, bool]], constant: int, width: int) -> str:
    """+-(x << shift) ... + constant in `width` bits; low bits that meet nothing pass by the adder."""
    for at, (value, shift, negate) in enumerate(terms):
        rest = [t for i, t in enumerate(terms) if i != at]
        above = [s for _, s, _ in rest] + ([_zeros(constant)] if constant else [])
        if shift == 0 and not negate and above and 0 < min(above) < width:
            low = min(above)
            rest = [(v, s - low, n) for v, s, n in rest]
            high = _plain([(value, -low, False), *rest], constant >> low, width - low)
            return f"{{{high}, {value.bits(low - 1, 0)}}}"
    return _plain(terms, constant, width)


def _plain(terms: list[tuple[Value, int, bool]], constant: int, width: int) -> str:
    """The sum in full; a negative shift drops low bits."""
    plus, minus = [], []
    for value, shift, negate in terms:
        if shift >= width:
            continue  # nothing of it in these bits
        if not negate and 0 < constant < 1 << max(0, shift):  # the constant fills zeros: no adder
            text = f"{{{value.bits(width - 1 - shift, 0)}, {shift}'d{constant}}}"
            constant = 0
        elif shift < 0:
            text = value.bits(width - 1 - shift, -shift)
        else:
            text = f"({value.fit(width)} << {shift})" if shift else value.fit(width)
        (minus if negate else plus).append(text)
    if constant and plus + minus:
        (minus if constant < 0 else plus).append(literal(abs(constant), width, False))
    elif constant:
        return literal(constant, width, False)
    if not plus:
        return f"-({' + '.join(minus)})" if minus else literal(0, width, False)
    return " ".join([" + ".join(plus), *(f"- {m}" for m in minus)])


def _round(cell: Cell, x: Sequence[Value], module: Module) -> str:
    drop, width = cell.attrs["drop"], cell.output.width
    dropped = " | ".join([f"(|{x[0].bits(drop - 1, 0)})", *(v.bits(0, 0) for v in x[1:])])
    dropped = f"({dropped})" if len(x) > 1 else dropped
    last = f"{x[0].bits(drop, drop)} & {dropped}"
    return f"{{{x[0].bits(width - 1 + drop, drop + 1)}, {last}}}" if width > 1 else last


def _any(cell: Cell, x: Sequence[Value], module: Module) -> str:
    return f"|{x[0].bits(cell.attrs['bits'] - 1, 0)}"


def _shift_right(cell: Cell, x: Sequence[Value], module: Module) -> str:
    amount = cell.attrs["amount"]
    return x[0].bits(cell.output.width - 1 + amount, amount)


def _clamp(cell: Cell, x: Sequence[Value], module: Module) -> str:
    """By the bits above the result where the limits are powers of two (no comparators)."""
    (value,), low, high, width = x, cell.attrs["low"], cell.attrs["high"], cell.output.width
    top = value.width - 1
    bits = high.bit_length()
    if value.of is not None and high == (1 << bits) - 1 and 0 < bits <= top:
        sign = value.bits(top, top)
        if value.signed and low == 0 and width == bits:
            within = f"{value.bits(bits - 1, 0)}"
            if bits == top:
                return f"{sign} ? {literal(0, width, False)} : {within}"
            over = f"(|{value.bits(top - 1, bits)})"
            return f"{within} & {_repeat('~' + sign, width)} | {_repeat(f'({over} & ~{sign})', width)}"
        if value.signed and low <= -high - 1 and width == bits + 1:
            inside = f"(&{value.bits(top, bits)} | ~(|{value.bits(top, bits)}))"
            rest = _repeat("~" + sign, bits)
            return f"{inside} ? {value.bits(bits, 0)} : {{{sign}, {rest}}}"
        if not value.signed and low <= 0 and width == bits:
            return f"{value.bits(bits - 1, 0)} | {_repeat(f'(|{value.bits(top, bits)})', width)}"
    return _compared(value, cell)


def passable(cell: Cell, operand: Signal) -> Cell:
    """The clamp without a limit that its operand's bounds keep: the end of what its bits can hold instead."""
    lowest = -1 << operand.width - 1 if operand.signed else 0
    highest = lowest + (1 << operand.width) - 1
    low, high = cell.attrs["low"], cell.attrs["high"]
    return replace(
        cell,
        attrs={"low": low if operand.lo < low else lowest, "high": high if operand.hi > high else highest},
    )


def limits(value: Value, low: int, high: int) -> list[tuple[str, int]]:
    """(condition, limit) for each limit that the value's bits can pass: for registers that the limit sets or resets."""
    top, found = value.width - 1, []
    lowest = -1 << top if value.signed else 0
    highest = lowest + (1 << value.width) - 1
    if high < highest:
        bits = high.bit_length()
        if high == (1 << bits) - 1:
            above = f"(|{value.bits(top - value.signed, bits)})"
            found.append((f"~{value.bits(top, top)} & {above}" if value.signed else above, high))
        else:
            found.append((f"{value.text} > {literal(max(high, lowest), value.width, value.signed)}", high))
    if low > lowest:
        bits = (-low).bit_length() - 1
        if low == 0:
            found.append((value.bits(top, top), low))
        elif low < 0 and low == -1 << bits:
            found.append((f"{value.bits(top, top)} & ~(&{value.bits(top - 1, bits)})", low))
        elif (
            low < 0 and low == 1 - (1 << bits + 1) and bits + 1 < top
        ):  # symmetric: the lowest one is beyond, too
            beyond = f"~(&{value.bits(top - 1, bits + 1)}) | ~(|{value.bits(bits, 0)})"
            found.append((f"{value.bits(top, top)} & ({beyond})", low))
        else:
            found.append((f"{value.text} < {literal(min(low, highest), value.width, value.signed)}", low))
    return found


def clamp_by_reset(cell: Cell, value: Value, target: str) -> str:
    """A statement for the clock's edge: the limit is the register's set or reset, its other input the value's bits."""
    width, signed = cell.output.width, cell.output.signed
    text = f"{target} <= {value.bits(width - 1, 0)};"
    for condition, limit in limits(value, cell.attrs["low"], cell.attrs["high"]):
        text = f"if ({condition}) {target} <= {literal(limit, width, signed)};\nelse {text}"
    return text


def _repeat(bit: str, count: int) -> str:
    return bit if count == 1 else f"{{{count}{{{bit}}}}}"


def _compared(value: Value, cell: Cell) -> str:
    """Limits of any value; one is left out where it lies outside what the operand can be."""
    width = cell.output.width
    low, high = cell.attrs["low"], cell.attrs["high"]
    text = value.bits(width - 1, 0)
    lowest = -1 << value.width - 1 if value.signed else 0
    highest = lowest + (1 << value.width) - 1
    if high < highest:
        limit = literal(max(high, lowest), value.width, value.signed)
        text = f"({value.text} > {limit}) ? {literal(high, width, False)} : {text}"
    if low > lowest:
        limit = literal(min(low, highest), value.width, value.signed)
        text = f"({value.text} < {limit}) ? {literal(low, width, False)} : {text}"
    return text


def _field(cell: Cell, x: Sequence[Value], module: Module) -> str:
    low = cell.attrs["low"]
    return x[0].bits(cell.output.width - 1 + low, low)


def _maximum(cell: Cell, x: Sequence[Value], module: Module) -> str:
    width = max(v.width + s + (not v.signed) for v, s in zip(x, cell.attrs["shifts"], strict=True))
    sides, results = [], []
    for v, shift in zip(x, cell.attrs["shifts"], strict=True):
        bits = v.bits(width - shift - 1, 0)
        sides.append(f"$signed({{{bits}, {shift}'d0}})" if shift else f"$signed({bits})")
        results.append(_sum([(v, shift, False)], 0, cell.output.width))
    return f"({sides[0]} > {sides[1]}) ? {results[0]} : {results[1]}"


def _leading(cell: Cell, x: Sequence[Value], module: Module) -> str:
    width, out = cell.attrs["width"], cell.output.width
    name = f"leading_{width}_{out}"
    module.functions[name] = [
        f"function automatic logic [{out - 1}:0] {name}(input logic [{width - 1}:0] x);",
        "  // zeros above the top one; width - 1 for 0",
        "  integer at;",
        f"  {name} = {literal(width - 1, out, False)};",
        f"  for (at = 0; at < {width}; at = at + 1) if (x[at]) {name} = {out}'({width - 1} - at);",
        "endfunction",
    ]
    return f"{name}({x[0].bits(width - 1, 0)})"


def _shift_left(cell: Cell, x: Sequence[Value], module: Module) -> str:
    return f"{x[0].fit(cell.output.width)} << {x[1].bits(x[1].width - 1, 0)}"


EXPRESSIONS: dict[str, Callable[[Cell, Sequence[Value], Module], str]] = {
    "add": _add,
    "round": _round,
    "any": _any,
    "shift_right": _shift_right,
    "field": _field,
    "clamp": _clamp,
    "maximum": _maximum,
    "leading": _leading,
    "shift_left": _shift_left,
}
