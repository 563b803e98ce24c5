"""FixedType, and rounding held to exact rational arithmetic."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from venom_hw.datapath.evaluate import round_shift
from venom_hw.datapath.fixed import (
    FixedPointError,
    FixedType,
    Overflow,
    Rounding,
    rounding_from_qonnx,
    smallest_type,
)


@given(st.integers(-(2**40), 2**40), st.integers(-6, 12), st.sampled_from(list(Rounding)))
def test_round_shift_is_exact_rational_rounding(x, drop, rounding):
    exact = Fraction(x) / Fraction(2) ** drop
    expected = round(exact) if rounding is Rounding.HALF_EVEN else exact.__floor__()
    assert int(round_shift(np.array([x]), drop, rounding)[0]) == expected


def test_round_shift_takes_a_shift_per_element():
    x = np.array([[5, 6, -6, 7]])
    assert round_shift(x, np.array([1, 2, 2, -1]), Rounding.HALF_EVEN).tolist() == [[2, 2, -2, 14]]


@given(st.integers(-(2**61), 2**61 - 1), st.integers(-(2**61), 2**61 - 1))
def test_smallest_type_covers_and_is_tight(a, b):
    lo, hi = min(a, b), max(a, b)
    t = smallest_type(lo, hi, 0)
    assert t.lo <= lo and hi <= t.hi
    if t.width > 1:
        narrower = FixedType(t.signed, t.width - 1, 0)
        assert narrower.lo > lo or narrower.hi < hi


@given(st.integers(1, 30), st.booleans(), st.integers(-20, 20))
def test_values_round_trip(width, signed, frac):
    t = FixedType(signed, width, frac)
    integers = np.unique(np.linspace(t.lo, t.hi, 17).astype(np.int64))
    assert np.array_equal(t.from_value(t.to_value(integers)), integers)
    assert FixedType.from_dict(t.to_dict()) == t


def test_per_element_fracs():
    t = FixedType(True, 8, np.array([2, 4]))
    assert t.to_value(np.array([[4, 4]])).tolist() == [[1.0, 0.25]]
    assert not t.is_uniform and t.max_frac == 4
    assert t == FixedType.from_dict(t.to_dict()) and hash(t) == hash(FixedType(True, 8, np.array([2, 4])))


def test_limits():
    assert FixedType(True, 4, 0).limits(Overflow.SATURATE) == (-8, 7)
    assert FixedType(True, 4, 0).limits(Overflow.SATURATE_SYMMETRIC) == (-7, 7)
    assert FixedType(False, 4, 0).limits(Overflow.SATURATE_SYMMETRIC) == (0, 15)


@pytest.mark.parametrize("width", [0, 63, -1])
def test_width_is_bounded(width):
    with pytest.raises(FixedPointError, match=str(width)):
        FixedType(True, width, 0)


def test_values_off_the_grid_or_out_of_range_are_refused():
    t = FixedType(True, 4, 1)
    with pytest.raises(FixedPointError, match="bias: value 0.3 is not on the grid"):
        t.from_value(np.array([0.5, 0.3]), what="bias")
    with pytest.raises(FixedPointError, match="outside the range"):
        t.from_value(np.array([4.0]))


def test_rounding_names():
    assert rounding_from_qonnx("ROUND") is Rounding.HALF_EVEN and rounding_from_qonnx("floor") is Rounding.FLOOR
    with pytest.raises(FixedPointError, match="ROUND_TO_ZERO.*supported: ROUND, FLOOR"):
        rounding_from_qonnx("ROUND_TO_ZERO")
