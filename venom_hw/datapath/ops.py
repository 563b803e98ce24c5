"""The primitive operations, and what is known of a tensor. `evaluate` computes them, `bounds` derives their types.

A new rendering has to learn exactly this table. Every operation is exact on integers, except `requantise`, the only
place where bits are dropped, and `table`, whose entries were computed once, elsewhere.

============== =========================== =======================================================================
op             inputs                      meaning (values; integers are aligned to a common LSB first)
============== =========================== =======================================================================
input          -                           a sample from outside; `type` given
constant       -                           attrs key
state          -                           the value that the paired node had one step before, 0 at a window's start
constmatmul    x (..., K)                  x @ W.T, attrs weights (R, K) and weights_type -> (..., R)
matmul         a (M, K), b (K, N)          product of two variables -> (M, N)
add sub mul    a, b                        elementwise, broadcasting
maximum        a, b                        elementwise
accumulate     state, term                 state + term; width proven from max_steps
table          code                        entries[code - lo(code type)], one entry for each code, maybe per element
requantise     x                           to `type`: round (attrs rounding), then saturate (attrs overflow)
reduce         x                           attrs kind sum | max, axis, keepdims
normalise      x (unsigned)                left shift that brings the leading one to the top bit (x = 0: width - 1)
shift          x, s                        x * 2**(s - attrs offset): integers x << s, frac + offset
slice          x                           attrs axis, start, stop
concat         x, y, ...                   attrs axis
reshape        x                           attrs shape (row-major)
============== =========================== =======================================================================

Axes count the axes of one element of a batch: values carry one more axis in front, the batch of windows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from venom_hw.datapath.fixed import FixedType, smallest_type


class DatapathError(ValueError):
    """A graph that is not well formed, or an operation used with operands it cannot take."""


@dataclass(frozen=True)
class Facts:
    """What is known of a tensor before anything runs: shape of one element of the batch, type, integer bounds."""

    shape: tuple[int, ...]
    type: FixedType
    lo: np.ndarray
    hi: np.ndarray

    @classmethod
    def of_type(cls, shape: Sequence[int], type_: FixedType) -> Facts:
        """Nothing known but the format: the bounds are the format's range."""
        shape = tuple(int(s) for s in shape)
        return cls(shape, type_, np.full(shape, type_.lo, np.int64), np.full(shape, type_.hi, np.int64))

    @classmethod
    def of_bounds(cls, lo: np.ndarray, hi: np.ndarray, frac: int | np.ndarray) -> Facts:
        """The narrowest type for these bounds (Python integers or int64)."""
        lo, hi = np.asarray(lo, object), np.asarray(hi, object)
        type_ = smallest_type(lo.min(), hi.max(), collapse(frac))
        return cls(lo.shape, type_, lo.astype(np.int64), hi.astype(np.int64))


def collapse(frac: int | np.ndarray) -> int | np.ndarray:
    """An int when every element agrees."""
    arr = np.asarray(frac)
    return int(arr.flat[0]) if arr.size and arr.min() == arr.max() else arr.astype(np.int64)


def full_frac(facts: Facts) -> np.ndarray:
    return np.broadcast_to(np.asarray(facts.type.frac, np.int64), facts.shape)


def alignment(*facts: Facts) -> tuple[int | np.ndarray, list[int | np.ndarray]]:
    """Common `frac` of operands that are added or compared, and each operand's constant left shift to reach it."""
    fracs = [np.asarray(f.type.frac, np.int64) for f in facts]
    common = fracs[0]
    for frac in fracs[1:]:
        common = np.maximum(common, frac)
    return collapse(common), [collapse(common - frac) for frac in fracs]


def shift_left(x: np.ndarray, amount: int | np.ndarray) -> np.ndarray:
    """x * 2**amount for amount >= 0, on int64 or on Python integers (object arrays)."""
    if isinstance(amount, int) and amount == 0:
        return x
    return x * (np.asarray(1, x.dtype) << np.asarray(amount, x.dtype))


@dataclass(frozen=True)
class Call:
    """One node, with everything an evaluation or an interval rule needs."""

    name: str
    op: str
    attrs: Mapping[str, object]
    args: tuple[Facts, ...]
    constants: Mapping[str, np.ndarray]
    max_steps: int
    type: FixedType | None = None  # of table, requantise, input, state: given, not derived
    shape: tuple[int, ...] | None = None

    def fail(self, message: str) -> DatapathError:
        return DatapathError(f"node {self.name!r} ({self.op}): {message}")
