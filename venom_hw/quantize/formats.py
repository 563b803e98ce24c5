"""Number formats of the quantised network: value = integer * 2^-frac.

A :class:`TensorFormat` says how one tensor is rounded.  ``frac`` is an integer, or an integer array that
broadcasts to the tensor (one binary point for each row of a weight matrix, or for each (d, n) of the
recurrent state).  Scales are powers of two only, so every product and sum between two quantisers is exact in
float64.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

ROUNDINGS = ("half_even", "floor")


class FormatError(ValueError):
    """A number format is impossible (bits, binary point, rounding) or missing; the message names the tensor."""


@dataclass(frozen=True, eq=False)
class TensorFormat:
    """Fixed-point format of one tensor: round (``half_even`` or ``floor``) to 2^-frac, then saturate to
    ``bits``.

    ``minimum``: smallest code that the network lets the quantiser see (decay g: 1, so that no pole becomes an
    integrator and 1 - g keeps its upper bits constant); None where there is none.
    """

    bits: int
    frac: int | np.ndarray
    signed: bool = True
    rounding: str = "half_even"
    minimum: int | None = None

    def __post_init__(self) -> None:
        if not (isinstance(self.bits, (int, np.integer)) and 1 + int(self.signed) <= self.bits <= 24):
            raise FormatError(f"bits = {self.bits!r}: expected an integer of {1 + int(self.signed)} to 24")
        if self.rounding not in ROUNDINGS:
            raise FormatError(f"rounding = {self.rounding!r}: expected one of {', '.join(ROUNDINGS)}")
        if self.minimum is not None and not self.code_range[0] <= self.minimum <= self.code_range[1]:
            raise FormatError(f"minimum = {self.minimum}: expected a code of {self.code_range}")
        frac = np.asarray(self.frac)
        if frac.dtype.kind not in "iu" or frac.size == 0 or np.abs(frac).max() > 60:
            raise FormatError(f"frac = {self.frac!r}: expected integers between -60 and 60")
        object.__setattr__(self, "frac", int(frac) if frac.ndim == 0 else frac.astype(np.int64))
        object.__setattr__(self, "bits", int(self.bits))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TensorFormat) and self.to_dict() == other.to_dict()

    __hash__ = None  # type: ignore[assignment]

    @property
    def lsb(self) -> float | np.ndarray:
        """Value of one unit, float64 (scalar, or the shape of ``frac``)."""
        return np.ldexp(1.0, -np.asarray(self.frac))[()]

    @property
    def code_range(self) -> tuple[int, int]:
        """Smallest and largest integer."""
        return (
            (-(1 << (self.bits - 1)), (1 << (self.bits - 1)) - 1)
            if self.signed
            else (0, (1 << self.bits) - 1)
        )

    def to_dict(self) -> dict[str, Any]:
        """JSON form; an array ``frac`` becomes nested lists."""
        frac = self.frac if isinstance(self.frac, int) else self.frac.tolist()
        entry = {"bits": self.bits, "frac": frac, "signed": bool(self.signed), "rounding": self.rounding}
        return entry if self.minimum is None else entry | {"minimum": self.minimum}

    @classmethod
    def from_dict(cls, entry: dict[str, Any]) -> TensorFormat:
        """Inverse of :meth:`to_dict`."""
        frac = entry["frac"]
        return cls(
            entry["bits"],
            frac if isinstance(frac, int) else np.asarray(frac),
            entry["signed"],
            entry["rounding"],
            entry.get("minimum"),
        )


def frac_for(limit: float | np.ndarray, bits: int, signed: bool, guard: int = 0) -> int | np.ndarray:
    """Largest ``frac`` whose range holds ``limit`` (largest magnitude, elementwise) with ``guard`` bits to
    spare.

    The largest code (2^(bits-signed) - 1) must reach ``limit`` after rounding.  A tensor that is always zero
    gets the binary point of a full scale of 1.
    """
    limits = np.atleast_1d(np.abs(np.asarray(limit, dtype=np.float64)))
    if not np.isfinite(limits).all():
        raise FormatError(f"range {limit!r} is not finite")
    top = (1 << (bits - int(signed))) - 1
    fracs = np.empty(limits.shape, dtype=np.int64)
    for index, value in np.ndenumerate(limits):
        frac = bits - int(signed)
        if value > 0:
            frac = math.floor(math.log2(top / value)) + 1
            while np.rint(math.ldexp(value, frac)) > top:
                frac -= 1
        fracs[index] = frac - guard
    fracs = np.clip(fracs, -40, 40)
    return fracs if np.ndim(limit) else int(fracs[0])


def quantise(values: np.ndarray, fmt: TensorFormat) -> np.ndarray:
    """NumPy reference of a quantiser: float64 values -> integer codes (int64), first rounded, then saturated."""
    scaled = np.asarray(values, dtype=np.float64) / fmt.lsb
    rounded = np.rint(scaled) if fmt.rounding == "half_even" else np.floor(scaled)
    return np.clip(rounded, *fmt.code_range).astype(np.int64)
