"""Sums of constant multiples as shared graphs of two-input adders: the plan of one, its cost, and the solver.

A plan computes every row of an integer matrix applied to signals. Plans come from `tree_plan` (every row alone, its
coefficients as canonical signed digits, the narrowest adder first) and from `solver_plan` (the common
subexpressions of the whole matrix, found by alkaid, in `adder_search`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from venom_hw.codegen.rtl.forms import bit_width


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
    def vectors(self) -> list[np.ndarray]:
        """The multiples of the inputs that each node is, (inputs,) Python integers."""
        out = list(units(len(self.bounds)))
        for a, b in self.adders:
            out.append(multiple(out[a.node], a) + multiple(out[b.node], b))
        return out

    @cached_property
    def node_bounds(self) -> list[tuple[int, int]]:
        reach = Reach(self.bounds)
        return [reach(vector) for vector in self.vectors]

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


class Reach:
    """Bounds of sums of multiples of independent inputs."""

    def __init__(self, bounds: Sequence[tuple[int, int]]):
        self.twice_middle = np.array([lo + hi for lo, hi in bounds], object)
        self.extent = np.array([hi - lo for lo, hi in bounds], object)

    def __call__(self, vector: np.ndarray) -> tuple[int, int]:
        middle, extent = int((vector * self.twice_middle).sum()), int((abs(vector) * self.extent).sum())
        return (middle - extent) // 2, (middle + extent) // 2


def units(count: int) -> np.ndarray:
    """(count, count) identity of Python integers."""
    return np.array([[int(i == k) for i in range(count)] for k in range(count)], object).reshape(count, count)


def multiple(vector: np.ndarray, term: Term) -> np.ndarray:
    return vector * ((-1 if term.negate else 1) << term.shift)


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
        self.bounds = tuple(bounds)
        self.adders: list[tuple[Term, Term]] = []
        self._reach = Reach(bounds)
        self._vectors = list(units(len(bounds)))
        self._made: dict[tuple, int] = {}
        self._costs: dict[tuple, int] = {}

    @staticmethod
    def _pair(a: Term, b: Term) -> tuple[tuple[Term, Term], int, bool]:
        """Two terms without their common shift and minus sign, in order, and those."""
        shift, negate = min(a.shift, b.shift), a.negate and b.negate
        a, b = (Term(t.node, t.shift - shift, t.negate and not negate) for t in (a, b))
        in_order = (a.negate, a.node, a.shift) <= (b.negate, b.node, b.shift)
        return ((a, b) if in_order else (b, a)), shift, negate

    def merge(self, a: Term, b: Term) -> Term:
        """The sum of two terms, as a term: common shifts and a common minus sign are taken out."""
        pair, shift, negate = self._pair(a, b)
        if pair not in self._made:
            self.adders.append(pair)
            self._vectors.append(sum(multiple(self._vectors[t.node], t) for t in pair))
            self._made[pair] = len(self._vectors) - 1
        return Term(self._made[pair], shift, negate)

    def cost(self, a: Term, b: Term) -> int:
        """Adder bits of the sum of two terms."""
        pair, _, _ = self._pair(a, b)
        if pair not in self._costs:
            result = self._reach(sum(multiple(self._vectors[t.node], t) for t in pair))
            self._costs[pair] = adder_bits(result, [(t.shift, t.negate) for t in pair], 0)
        return self._costs[pair]

    def tree(self, terms: Sequence[Term], levels: Sequence[int]) -> Term:
        """One sum of all terms: of those that are ready first, the pair with the narrowest adder."""
        return self._sum(terms, levels, True)[0]

    def narrowest(self, terms: Sequence[Term], levels: Sequence[int]) -> tuple[Term, int]:
        """One sum of all terms, the narrowest adder first whoever waits: (term, level)."""
        return self._sum(terms, levels, False)

    def _sum(self, terms: Sequence[Term], levels: Sequence[int], shallow: bool) -> tuple[Term, int]:
        pool: dict[int, tuple[int, Term]] = {}
        pairs: list[tuple[int, int, int, int]] = []  # adder bits, level, both operands
        for item in sorted(zip(levels, terms, strict=True), key=lambda item: (item[0], item[1].shift)):
            pairs += self._pairs(pool, len(pool), *item)
            pool[len(pool)] = item
        for made in range(len(pool), 2 * len(pool) - 1):
            lowest = sorted(level for level, _ in pool.values())[1] if shallow else max(p[1] for p in pairs)
            _, level, i, j = min(pair for pair in pairs if pair[1] <= lowest)
            item = (level + 1, self.merge(pool.pop(i)[1], pool.pop(j)[1]))
            pairs = [pair for pair in pairs if pair[2] in pool and pair[3] in pool]
            pairs += self._pairs(pool, made, *item)
            pool[made] = item
        ((level, term),) = pool.values()
        return term, level

    def _pairs(self, pool: dict[int, tuple[int, Term]], key: int, level: int, term: Term) -> list:
        return [(self.cost(other, term), max(level, at), k, key) for k, (at, other) in pool.items()]

    def build(self, rows: Sequence[Term | None]) -> Plan:
        return Plan(self.bounds, tuple(self.adders), tuple(rows))


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


def coefficients(plan: Plan) -> np.ndarray:
    """The matrix that a plan computes, (rows, inputs) Python integers."""
    zero = np.zeros(len(plan.bounds), object)
    rows = [zero if row is None else multiple(plan.vectors[row.node], row) for row in plan.rows]
    return np.array(rows, object).reshape(len(rows), len(plan.bounds))
