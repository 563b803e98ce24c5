"""Sums of constant multiples as shared graphs of two-input adders: the plan of one, its cost, and the solver.

A plan computes every row of an integer matrix applied to signals. Plans come from `tree_plan` (every row alone, its
coefficients as canonical signed digits, the narrowest adder first) and from `solver_plan` (the common
subexpressions of the whole matrix, found by alkaid); `best_plan` takes the one with the fewest adder bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from alkaid.cmvm import CombLogic, cmvm_solve

from venom_hw.codegen.errors import CodegenError
from venom_hw.codegen.rtl.forms import bit_width, power_of_two

SOLVER_BITS = 24
"""The solver's coefficients are float32: exact up to 24 bits."""
SOLVER_OPTIONS = tuple({"method0": method, "hard_dc": depth} for method in ("wmc", "mc") for depth in (-1, 0, 1, 2))
"""Searches tried: what the common pair is chosen by, and how much deeper than the shallowest tree it may get."""


@dataclass(frozen=True)
class Term:
    """+-(node << shift)."""

    node: int
    shift: int
    negate: bool


@dataclass(frozen=True)
class Plan:
    """Adders over `inputs` numbered first, then one node an adder; every row is one term (None: zero).

    Attributes:
        bounds: (lo, hi) of each input.
        adders: two terms each, of nodes before it.
        rows: the outputs.
    """

    bounds: tuple[tuple[int, int], ...]
    adders: tuple[tuple[Term, Term], ...]
    rows: tuple[Term | None, ...]

    @cached_property
    def node_bounds(self) -> list[tuple[int, int]]:
        out = list(self.bounds)
        for a, b in self.adders:
            (alo, ahi), (blo, bhi) = scaled(out[a.node], a), scaled(out[b.node], b)
            out.append((alo + blo, ahi + bhi))
        return out

    @cached_property
    def uses(self) -> list[int]:
        """How many adders and rows read each node."""
        out = [0] * (len(self.bounds) + len(self.adders))
        for term in [t for pair in self.adders for t in pair] + [r for r in self.rows if r is not None]:
            out[term.node] += 1
        return out

    @cached_property
    def depth(self) -> int:
        """Adders on the longest path."""
        level = [0] * len(self.bounds)
        for a, b in self.adders:
            level.append(max(level[a.node], level[b.node]) + 1)
        return max(level, default=0)

    @cached_property
    def adder_bits(self) -> int:
        return sum(
            adder_bits(self.node_bounds[len(self.bounds) + k], [(t.shift, t.negate) for t in pair], 0)
            for k, pair in enumerate(self.adders)
        )


def scaled(bounds: tuple[int, int], term: Term) -> tuple[int, int]:
    lo, hi = bounds[0] << term.shift, bounds[1] << term.shift
    return (-hi, -lo) if term.negate else (lo, hi)


def adder_bits(result: tuple[int, int], terms: Sequence[tuple[int, bool]], constant: int) -> int:
    """Bits that have to be added: those of the result above the low bits that one operand passes through alone.

    Args:
        result: bounds of the sum.
        terms: (shift, negate) of its one or two operands.
        constant: added as well.
    """
    if len(terms) == 1:
        terms = [*terms, (64, False)]
    low, high = sorted(terms)
    if low[1] and not high[1] and low[0] == high[0]:
        low, high = high, low
    passed = high[0] if not low[1] else low[0]
    if constant:
        passed = min(passed, (constant & -constant).bit_length() - 1)
    return max(0, bit_width(*result) - passed)


def signed_digits(value: int) -> list[tuple[int, bool]]:
    """Canonical signed digits of an integer: (shift, negative)."""
    out, shift, negative = [], 0, value < 0
    value = abs(value)
    while value:
        if value & 1:
            digit = 2 - (value & 3)
            out.append((shift, (digit < 0) != negative))
            value -= digit
        value >>= 1
        shift += 1
    return out


class PlanBuilder:
    """Grows a plan; equal adders are made once."""

    def __init__(self, bounds: Sequence[tuple[int, int]]):
        self.inputs = len(bounds)
        self.bounds = list(bounds)
        self.adders: list[tuple[Term, Term]] = []
        self._made: dict[tuple, int] = {}

    def merge(self, a: Term, b: Term) -> Term:
        """The sum of two terms, as a term: common shifts and a common minus sign are taken out."""
        shift = min(a.shift, b.shift)
        negate = a.negate and b.negate
        a = Term(a.node, a.shift - shift, a.negate and not negate)
        b = Term(b.node, b.shift - shift, b.negate and not negate)
        pair = tuple(sorted((a, b), key=lambda t: (t.negate, t.node, t.shift)))
        if pair not in self._made:
            (alo, ahi), (blo, bhi) = (scaled(self.bounds[t.node], t) for t in pair)
            self.bounds.append((alo + blo, ahi + bhi))
            self.adders.append(pair)
            self._made[pair] = len(self.bounds) - 1
        return Term(self._made[pair], shift, negate)

    def cost(self, a: Term, b: Term) -> int:
        (alo, ahi), (blo, bhi) = scaled(self.bounds[a.node], a), scaled(self.bounds[b.node], b)
        shift = min(a.shift, b.shift)
        both = a.negate and b.negate
        lo, hi = (-ahi - bhi, -alo - blo) if both else (alo + blo, ahi + bhi)
        terms = [(t.shift - shift, t.negate and not both) for t in (a, b)]
        return adder_bits((lo >> shift, hi >> shift), terms, 0)

    def tree(self, terms: Sequence[Term], levels: Sequence[int]) -> Term:
        """One sum of all terms: of those that are ready first, the pair with the narrowest adder."""
        pool = list(zip(levels, terms, strict=True))
        while len(pool) > 1:
            pool.sort(key=lambda item: (item[0], item[1].shift))
            ready = [k for k, item in enumerate(pool) if item[0] <= pool[1][0]]
            pairs = [(i, j) for n, i in enumerate(ready) for j in ready[n + 1 :]]
            i, j = min(pairs, key=lambda p: (self.cost(pool[p[0]][1], pool[p[1]][1]), p))
            level = max(pool[i][0], pool[j][0]) + 1
            merged = (level, self.merge(pool[i][1], pool[j][1]))
            pool = [item for k, item in enumerate(pool) if k not in (i, j)] + [merged]
        return pool[0][1]

    def build(self, rows: Sequence[Term | None]) -> Plan:
        return Plan(tuple(self.bounds[: self.inputs]), tuple(self.adders), tuple(rows))


def tree_plan(matrix: np.ndarray, bounds: Sequence[tuple[int, int]], levels: Sequence[int]) -> Plan:
    """Every row alone.

    Args:
        matrix: (rows, inputs) Python integers (dtype object).
        bounds: of each input.
        levels: clocks when each input is there.
    """
    builder = PlanBuilder(bounds)
    rows = []
    for coefficients in matrix:
        digits = [(k, d) for k, c in enumerate(coefficients) for d in signed_digits(int(c))]
        terms = [Term(k, shift, negative) for k, (shift, negative) in digits]
        rows.append(builder.tree(terms, [levels[k] for k, _ in digits]) if terms else None)
    return builder.build(rows)


def solver_plan(matrix: np.ndarray, bounds: Sequence[tuple[int, int]], **options) -> Plan | None:
    """The adder graph that alkaid finds; None where a coefficient does not fit its float32.

    Args:
        matrix: (rows, inputs) Python integers.
        bounds: of each input.
        options: of `cmvm_solve`.
    """
    if max(abs(int(c)) >> trailing_zeros(int(c)) for c in matrix.flat).bit_length() > SOLVER_BITS:
        return None
    stages = cmvm_solve(
        np.ascontiguousarray(matrix.T.astype(np.float32)),
        qintervals=[(float(lo), float(hi), 1.0) for lo, hi in bounds],
        latencies=[0.0] * len(bounds),
        **options,
    )
    builder = PlanBuilder(bounds)
    values: list[Value] = [(Term(k, 0, False), 0) for k in range(len(bounds))]
    for logic in stages:
        values = _follow(builder, logic, values)
    return builder.build([None if t is None else Term(t.node, t.shift + e, t.negate) for t, e in values])


def trailing_zeros(value: int) -> int:
    return (value & -value).bit_length() - 1 if value else 0


Value = tuple[Term | None, int]
"""A term (None: zero) and a binary exponent, which may be negative on the way."""


def _follow(builder: PlanBuilder, logic: CombLogic, values: Sequence[Value]) -> list[Value]:
    """Makes the adders of one stage of a solution; its outputs."""
    buffer: list[Value] = []
    for op in logic.ops:
        if op.opcode == -1:
            term, exponent = values[op.data[0]]
            buffer.append((term, exponent + logic.inp_shifts[op.data[0]]))
        elif op.opcode in (0, 1):
            term, exponent = buffer[op.addr[1]]
            buffer.append(_sum(builder, buffer[op.addr[0]], (_signed(term, op.opcode == 1), exponent + op.data[0])))
        elif op.opcode == -2:
            term, exponent = buffer[op.addr[0]]
            buffer.append((_signed(term, True), exponent))
        else:
            raise CodegenError(f"alkaid's solver gave operation {op.opcode}; additions (0, 1) and -2, -1 expected")
    outputs = zip(logic.out_idxs, logic.out_shifts, logic.out_negs, strict=True)
    picked = [(*(buffer[k] if k >= 0 else (None, 0)), shift, bool(negate)) for k, shift, negate in outputs]
    return [(_signed(term, negate), exponent + shift) for term, exponent, shift, negate in picked]


def _signed(term: Term | None, negate: bool) -> Term | None:
    return term if term is None or not negate else Term(term.node, term.shift, not term.negate)


def _sum(builder: PlanBuilder, a: Value, b: Value) -> Value:
    (ta, ea), (tb, eb) = a, b
    if ta is None or tb is None:
        return b if ta is None else a
    base = min(ea + ta.shift, eb + tb.shift)
    terms = [Term(t.node, t.shift + e - base, t.negate) for t, e in ((ta, ea), (tb, eb))]
    return builder.merge(*terms), base


def coefficients(plan: Plan) -> np.ndarray:
    """The matrix that a plan computes, (rows, inputs) Python integers."""
    width = len(plan.bounds)
    nodes = [np.array([int(i == k) for i in range(width)], object) for k in range(width)]
    value = lambda t: nodes[t.node] * ((-1 if t.negate else 1) << t.shift)  # noqa: E731
    for a, b in plan.adders:
        nodes.append(value(a) + value(b))
    zero = np.zeros(width, object)
    return np.array([zero if row is None else value(row) for row in plan.rows], object).reshape(-1, width)


def best_plan(
    matrix: np.ndarray, bounds: Sequence[tuple[int, int]], levels: Sequence[int], *, share: bool = True
) -> Plan:
    """The plan with the fewest adder bits; the shallower of equals.

    Args:
        matrix: (rows, inputs) Python integers.
        bounds: of each input.
        levels: clocks when each input is there.
        share: whether to look for common subexpressions at all.

    Raises:
        CodegenError: a plan does not compute the matrix.
    """
    plans = [tree_plan(matrix, bounds, levels)]
    if share and _may_share(matrix):
        plans += [plan for o in SOLVER_OPTIONS if (plan := solver_plan(matrix, bounds, **o)) is not None]
    best = min(plans, key=lambda plan: (plan.adder_bits, plan.depth))
    if not np.array_equal(coefficients(best), matrix):
        raise CodegenError(f"the adder graph of a {matrix.shape} matrix does not compute it")
    return best


def _may_share(matrix: np.ndarray) -> bool:
    """Whether two rows read two common inputs, or a coefficient has more than one digit."""
    if any(power_of_two(int(c)) is None for c in matrix.flat if c):
        return True
    used = (matrix != 0).astype(np.int64)
    together = used @ used.T
    return bool((together - np.diag(np.diag(together)) > 1).any())
