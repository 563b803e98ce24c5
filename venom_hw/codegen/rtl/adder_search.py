"""The search for the cheapest adder graph of a constant matrix: alkaid's solver, restarted, and narrower sums."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from alkaid.cmvm import CombLogic, cmvm_solve

from venom_hw.codegen.errors import CodegenError
from venom_hw.codegen.rtl.adder_graph import Plan, PlanBuilder, Term, coefficients, tree_plan
from venom_hw.codegen.rtl.forms import power_of_two

SOLVER_BITS = 24
"""The solver's coefficients are float32: exact up to 24 bits."""
SOLVER_OPTIONS = ({"method0": "wmc"}, {"method0": "mc"}, {"method0": "wmc", "hard_dc": 2})
"""First searches: what a common pair is chosen by, and how much deeper than the shallowest tree it may get."""

LARGE = 100
"""Coefficients from which on trees are not tried beside the solver: they never win."""


def best_plan(
    matrix: np.ndarray, bounds: Sequence[tuple[int, int]], levels: Sequence[int], *, search: int
) -> Plan:
    """The plan with the fewest adder bits found; the shallower of equals.

    Args:
        matrix: (rows, inputs) Python integers.
        bounds: of each input.
        levels: clocks when each input is there.
        search: runs of the solver; 0 shares nothing between rows.

    Raises:
        CodegenError: a plan does not compute the matrix.
    """
    rows = tuple(tuple(int(c) for c in row) for row in matrix)
    ends = tuple((int(lo), int(hi)) for lo, hi in bounds)
    return _best(rows, ends, tuple(level - min(levels) for level in levels), search)


@lru_cache(maxsize=256)
def _best(rows: tuple, bounds: tuple, levels: tuple, search: int) -> Plan:
    matrix = np.array(rows, object)
    plans: list[Plan] = []
    if search and _may_share(matrix):
        found = [plan for plan in _solutions(matrix, bounds, search) if plan is not None]
        found = sorted(found, key=lambda plan: plan.adder_bits)[:3]
        plans += found + [narrowed(plan, levels) for plan in found]
    if not plans or matrix.size < LARGE:
        plans.append(tree_plan(matrix, bounds, levels))
    best = min(plans, key=lambda plan: (plan.adder_bits, plan.depth))
    if not np.array_equal(coefficients(best), matrix):
        raise CodegenError(f"the adder graph of a {matrix.shape} matrix does not compute it")
    return best


def _solutions(matrix: np.ndarray, bounds: Sequence[tuple[int, int]], search: int):
    """Plans of the solver: of the matrix as it is, then of its rows and columns in random orders (ties fall
    differently)."""
    for options in SOLVER_OPTIONS[:search]:
        yield solver_plan(matrix, bounds, **options)
    rng = np.random.default_rng(0)
    for _ in range(search - len(SOLVER_OPTIONS) if matrix.size > 4 else 0):
        rows, columns = (rng.permutation(n) for n in matrix.shape)
        plan = solver_plan(matrix[rows][:, columns], [bounds[k] for k in columns])
        yield None if plan is None else _reordered(plan, rows, columns, bounds)


def _reordered(plan: Plan, rows: np.ndarray, columns: np.ndarray, bounds: Sequence[tuple[int, int]]) -> Plan:
    """A plan of matrix[rows][:, columns] as one of the matrix."""
    first = len(bounds)
    node = lambda t: Term(int(columns[t.node]) if t.node < first else t.node, t.shift, t.negate)  # noqa: E731
    out: list[Term | None] = [None] * len(rows)
    for at, row in zip(rows, plan.rows, strict=True):
        out[at] = None if row is None else node(row)
    return Plan(tuple(bounds), tuple((node(a), node(b)) for a, b in plan.adders), tuple(out))


def narrowed(plan: Plan, levels: Sequence[int]) -> Plan:
    """The plan with the sums that nothing else reads added up in another order, narrow ones first."""
    first = len(plan.bounds)
    builder = PlanBuilder(plan.bounds)
    made = {k: (Term(k, 0, False), levels[k]) for k in range(first)}

    def leaves(node: int, shift: int, negate: bool) -> list[Term]:
        out = []
        for term in plan.adders[node - first]:
            term = Term(term.node, term.shift + shift, term.negate != negate)
            alone = term.node >= first and plan.uses[term.node] == 1
            out += leaves(term.node, term.shift, term.negate) if alone else [term]
        return out

    roots = [k for k in range(first, first + len(plan.adders)) if plan.uses[k] != 1]
    roots += [row.node for row in plan.rows if row is not None and row.node >= first]
    for node in sorted(set(roots)):
        terms = leaves(node, 0, False)
        moved = [_within(made[t.node][0], t) for t in terms]
        made[node] = builder.narrowest(moved, [made[t.node][1] for t in terms])
    return builder.build([None if row is None else _within(made[row.node][0], row) for row in plan.rows])


def _within(inner: Term, outer: Term) -> Term:
    """A term of a term."""
    return Term(inner.node, inner.shift + outer.shift, inner.negate != outer.negate)


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


def _may_share(matrix: np.ndarray) -> bool:
    """Whether two rows read two common inputs, or a coefficient has more than one digit."""
    if any(power_of_two(int(c)) is None for c in matrix.flat if c):
        return True
    used = (matrix != 0).astype(np.int64)
    together = used @ used.T
    return bool((together - np.diag(np.diag(together)) > 1).any())
