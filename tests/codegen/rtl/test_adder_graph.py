"""Adder graphs: every plan computes its matrix, its cost is what the adders take, shared sums are found."""

import numpy as np
import pytest

from venom_hw.codegen.errors import CodegenError
from venom_hw.codegen.rtl import adder_search
from venom_hw.codegen.rtl.adder_graph import (
    Plan,
    PlanBuilder,
    Term,
    adder_bits,
    coefficients,
    signed_digits,
    tree_plan,
)
from venom_hw.codegen.rtl.adder_search import best_plan, narrowed, solver_plan
from venom_hw.codegen.rtl.forms import bit_width


def random_matrix(rng: np.random.Generator, rows: int, columns: int, bits: int) -> np.ndarray:
    """Coefficients of up to `bits` bits, some zero, rows and columns with common powers of two."""
    matrix = rng.integers(-(1 << bits), 1 << bits, (rows, columns)) * (rng.random((rows, columns)) < 0.8)
    scale = (1 << rng.integers(0, 6, (rows, 1))) * (1 << rng.integers(0, 6, (1, columns)))
    return (matrix * scale).astype(object)


def random_bounds(rng: np.random.Generator, count: int) -> list[tuple[int, int]]:
    ends = np.sort(rng.integers(-3000, 3000, (count, 2)), axis=1)
    return [(int(lo), int(hi) + 1) for lo, hi in ends]


@pytest.mark.parametrize("seed", range(12))
def test_plans_compute_their_matrix(seed):
    rng = np.random.default_rng(seed)
    shape = tuple(int(n) for n in rng.integers(1, 9, 2))
    matrix, bounds = random_matrix(rng, *shape, int(rng.integers(1, 10))), random_bounds(rng, shape[1])
    levels = [int(v) for v in rng.integers(0, 5, shape[1])]
    plans = [tree_plan(matrix, bounds, levels), best_plan(matrix, bounds, levels, search=5)]
    if matrix.any():
        plans += [plan for depth in (-1, 0, 2) if (plan := solver_plan(matrix, bounds, hard_dc=depth))]
    plans += [narrowed(plan, levels) for plan in plans]
    for plan in plans:
        np.testing.assert_array_equal(coefficients(plan), matrix)
        assert plan.adder_bits >= plans[1].adder_bits or plan not in plans[:2]
    assert plans[1].adder_bits <= plans[0].adder_bits


def test_bounds_of_nodes_hold_and_are_reached():
    rng = np.random.default_rng(5)
    matrix, bounds = random_matrix(rng, 4, 3, 5), [(-3, 2), (0, 3), (-1, 4)]
    plan = best_plan(matrix, bounds, [0, 0, 0], search=3)
    grid = np.stack(np.meshgrid(*(np.arange(lo, hi + 1) for lo, hi in bounds)), -1).reshape(-1, 3).astype(object)
    products = grid @ matrix.T
    for row, (low, high) in zip(plan.rows, zip(products.min(0), products.max(0), strict=True), strict=True):
        lo, hi = ((c << row.shift) * (-1 if row.negate else 1) for c in plan.node_bounds[row.node])
        assert (min(lo, hi), max(lo, hi)) == (low, high)


@pytest.mark.parametrize("negate", [(False, False), (False, True), (True, False)])
@pytest.mark.parametrize("shift", [0, 1, 3])
def test_bits_that_pass_an_adder_are_those_of_one_operand(negate, shift):
    """Over all operands: the low bits that are not counted equal an operand's bits, and one more would not."""
    a, b = np.meshgrid(np.arange(-8, 8), np.arange(-4, 4))
    total = (-a if negate[0] else a) + ((-b if negate[1] else b) << shift)
    result = (int(total.min()), int(total.max()))
    passed = bit_width(*result) - adder_bits(result, [(0, negate[0]), (shift, negate[1])], 0)
    same = [k for k in range(4) if np.array_equal(total >> k & 1, a >> k & 1)]
    if negate[0]:
        assert passed == 0  # -a passes its lowest bit only, which is not counted
    else:
        assert passed == shift and set(range(shift)) <= set(same) and shift not in same


def test_signed_digits_have_no_neighbours():
    for value in range(-600, 600):
        digits = signed_digits(value)
        assert sum((-1 if negative else 1) << shift for shift, negative in digits) == value
        assert all(b - a > 1 for (a, _), (b, _) in zip(digits, digits[1:], strict=False))


def test_sharing_pays():
    rng = np.random.default_rng(7)
    matrix = rng.integers(-127, 128, (12, 12)).astype(object)
    bounds = [(-512, 511)] * 12
    tree, few, many = (best_plan(matrix, bounds, [0] * 12, search=n).adder_bits for n in (0, 1, 8))
    assert many <= few < 0.8 * tree


def test_coefficients_too_fine_for_the_solver_fall_back_to_trees():
    matrix = np.array([[(1 << 25) + 1, 3], [5, 1 << 40]], object)
    assert solver_plan(matrix, [(-4, 3)] * 2) is None
    np.testing.assert_array_equal(coefficients(best_plan(matrix, [(-4, 3)] * 2, [0, 0], search=3)), matrix)


def test_a_wrong_plan_is_refused(monkeypatch):
    def wrong(matrix, bounds, **options):
        builder = PlanBuilder(bounds)
        return builder.build([builder.merge(Term(0, 0, False), Term(1, 0, False))] * len(matrix))

    monkeypatch.setattr(adder_search, "solver_plan", wrong)
    with pytest.raises(CodegenError, match="does not compute"):
        best_plan(np.array([[3, 5], [7, 9]], object), [(-9, 8), (-9, 7)], [0, 0], search=1)


def test_depth_counts_adders_in_a_row():
    plan = Plan(((0, 1),) * 3, ((Term(0, 0, False), Term(1, 0, False)), (Term(3, 1, False), Term(2, 0, True))), ())
    assert plan.depth == 2
    assert plan.node_bounds[4] == (-1, 4)
