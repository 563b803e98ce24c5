"""Fixed-point number formats: one type, and one table of rounding and overflow modes for every rendering.

A tensor of type ``FixedType(signed, width, frac)`` holds integers k; its value is ``k * 2**-frac``. Renderings hold
the raw integers and shift by constants, so `frac` may differ from element to element (an integer array that
broadcasts to the tensor: per-pole states, per-row weights) at no cost in hardware.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np

MAX_WIDTH = 62
"""Widest integer the NumPy executors carry (int64 with a guard bit)."""


class FixedPointError(ValueError):
    """A number format, or a value that does not fit one."""


class Rounding(Enum):
    """How a `requantise` drops fraction bits. Half-up is written as add half an LSB, then FLOOR."""

    HALF_EVEN = "half_even"
    FLOOR = "floor"


class Overflow(Enum):
    """What a `requantise` does, after rounding, with an integer outside the range."""

    SATURATE = "saturate"
    SATURATE_SYMMETRIC = "saturate_symmetric"


@dataclass(frozen=True)
class ModeNames:
    """What one mode is called in each rendering (QONNX attribute, Brevitas, Vitis `ap_fixed`, SystemVerilog)."""

    qonnx: str | int
    brevitas: str
    ap_fixed: str
    systemverilog: str


ROUNDING_NAMES: dict[Rounding, ModeNames] = {
    Rounding.HALF_EVEN: ModeNames("ROUND", "ROUND", "AP_RND_CONV", "round_half_even"),
    Rounding.FLOOR: ModeNames("FLOOR", "FLOOR", "AP_TRN", "round_floor"),
}
OVERFLOW_NAMES: dict[Overflow, ModeNames] = {  # the QONNX name is the value of Quant's attribute `narrow`
    Overflow.SATURATE: ModeNames(0, "narrow_range=False", "AP_SAT", "saturate"),
    Overflow.SATURATE_SYMMETRIC: ModeNames(1, "narrow_range=True", "AP_SAT_SYM", "saturate_symmetric"),
}


def rounding_from_qonnx(name: str) -> Rounding:
    """The Rounding of a QONNX `rounding_mode` attribute.

    Raises:
        FixedPointError: the mode is not one of the two that survive Brevitas and QONNX.
    """
    for mode, names in ROUNDING_NAMES.items():
        if name.upper() in (names.qonnx, mode.name):
            return mode
    known = ", ".join(str(n.qonnx) for n in ROUNDING_NAMES.values())
    raise FixedPointError(f"rounding mode {name!r} is not supported; supported: {known}")


@dataclass(frozen=True, eq=False)
class FixedType:
    """``value = integer * 2**-frac``; integers of `width` bits, two's complement when `signed`.

    Args:
        signed: whether the integers have a sign bit.
        width: bits of an integer, sign included, 1 to 62.
        frac: fraction bits, any sign; an int, or an int array that broadcasts to the tensor.
    """

    signed: bool
    width: int
    frac: int | np.ndarray

    def __post_init__(self) -> None:
        if not 1 <= self.width <= MAX_WIDTH:
            raise FixedPointError(f"width {self.width} is outside 1..{MAX_WIDTH}")
        frac = np.asarray(self.frac)
        if not np.issubdtype(frac.dtype, np.integer):
            raise FixedPointError(f"frac must be an integer or an integer array, not {self.frac!r}")
        if frac.size == 0:
            raise FixedPointError("frac is an empty array")
        if frac.min() == frac.max() and frac.ndim == 0:
            object.__setattr__(self, "frac", int(frac))
        else:
            frac = frac.astype(np.int64)
            frac.flags.writeable = False
            object.__setattr__(self, "frac", frac)

    @property
    def is_uniform(self) -> bool:
        """Whether one `frac` serves the whole tensor."""
        return isinstance(self.frac, int)

    @property
    def lo(self) -> int:
        """Smallest integer of the format."""
        return -(1 << (self.width - 1)) if self.signed else 0

    @property
    def hi(self) -> int:
        """Largest integer of the format."""
        return (1 << (self.width - int(self.signed))) - 1

    def limits(self, overflow: Overflow) -> tuple[int, int]:
        """(smallest, largest) integer that a requantise with this overflow mode lets through."""
        narrow = int(overflow is Overflow.SATURATE_SYMMETRIC and self.signed)
        return self.lo + narrow, self.hi

    @property
    def dtype(self) -> np.dtype:
        """The narrowest of int16, int32 and int64 that holds the integers."""
        bits = self.width + int(not self.signed)
        return np.dtype(np.int16 if bits <= 16 else np.int32 if bits <= 32 else np.int64)

    @property
    def max_frac(self) -> int:
        return self.frac if isinstance(self.frac, int) else int(self.frac.max())

    def to_value(self, integers: np.ndarray) -> np.ndarray:
        """float64 values of raw integers (exact up to 53 bits)."""
        return np.ldexp(np.asarray(integers, np.float64), -np.asarray(self.frac, np.int64).astype(np.int32))

    def from_value(self, values: np.ndarray, *, what: str = "tensor") -> np.ndarray:
        """Raw integers of values that lie on the grid.

        Raises:
            FixedPointError: a value is off the grid or out of range; nothing is rounded silently.
        """
        scaled = np.ldexp(np.asarray(values, np.float64), np.asarray(self.frac, np.int64).astype(np.int32))
        integers = np.rint(scaled)
        if not np.array_equal(integers, scaled):
            bad = np.asarray(values)[integers != scaled].flat[0]
            raise FixedPointError(f"{what}: value {float(bad)!r} is not on the grid of {self}")
        if integers.size and (integers.min() < self.lo or integers.max() > self.hi):
            bad = np.asarray(values)[(integers < self.lo) | (integers > self.hi)].flat[0]
            raise FixedPointError(f"{what}: value {float(bad)!r} is outside the range of {self}")
        return integers.astype(np.int64)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, FixedType):
            return NotImplemented
        return (
            self.signed == other.signed and self.width == other.width and np.array_equal(self.frac, other.frac)
        )

    def __hash__(self) -> int:
        return hash((self.signed, self.width, np.asarray(self.frac).tobytes()))

    def __str__(self) -> str:
        sign = "s" if self.signed else "u"
        frac = self.frac if isinstance(self.frac, int) else f"[{self.frac.min()}..{self.frac.max()}]"
        return f"{sign}{self.width}.{frac}"

    def to_dict(self) -> dict:
        frac = self.frac if isinstance(self.frac, int) else np.asarray(self.frac).tolist()
        return {"signed": self.signed, "width": self.width, "frac": frac}

    @classmethod
    def from_dict(cls, data: dict) -> FixedType:
        frac = data["frac"]
        return cls(bool(data["signed"]), int(data["width"]), frac if isinstance(frac, int) else np.asarray(frac))


def smallest_type(lo: int, hi: int, frac: int | np.ndarray) -> FixedType:
    """The narrowest FixedType whose integers cover [lo, hi].

    Raises:
        FixedPointError: more than 62 bits would be needed.
    """
    lo, hi = int(lo), int(hi)
    signed = lo < 0
    magnitude = max(hi, ~lo if signed else 0)
    width = max(1, magnitude.bit_length() + int(signed))
    if width > MAX_WIDTH:
        raise FixedPointError(f"integers {lo}..{hi} need {width} bits; the limit is {MAX_WIDTH}")
    return FixedType(signed, width, frac)
