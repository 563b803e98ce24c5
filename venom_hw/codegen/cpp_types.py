"""C++ names for number formats: `ap_fixed` where one binary point serves the tensor, raw integers elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from venom_hw.datapath.fixed import OVERFLOW_NAMES, ROUNDING_NAMES, FixedType, Overflow, Rounding
from venom_hw.datapath.graph import Node
from venom_hw.datapath.ops import collapse


def integer_type(signed: bool, width: int) -> str:
    return f"ap_{'' if signed else 'u'}int<{width}>"


def native_type(lo: int, hi: int) -> str:
    """The C integer that holds lo..hi; ROMs are native arrays (the tool trims them to the bits in use)."""
    for width in (8, 16, 32, 64):
        if lo >= 0 and hi < 1 << width:
            return f"uint{width}_t"
        if -(1 << width - 1) <= lo and hi < 1 << width - 1:
            return f"int{width}_t"
    raise OverflowError(f"{lo}..{hi} fits no C integer")


def dims(shape: Sequence[int]) -> str:
    return "".join(f"[{size}]" for size in shape)


@dataclass(frozen=True)
class Tensor:
    """A tensor as C++ sees it.

    Attributes:
        ident: its identifier; the typedef is `ident` + ``_t``.
        shape, type: of the node.
        uniform: whether the typedef is an ap_fixed (one frac) and not a raw integer.
    """

    ident: str
    shape: tuple[int, ...]
    type: FixedType
    rounding: Rounding | None = None
    overflow: Overflow | None = None

    @classmethod
    def of(cls, node: Node, ident: str) -> Tensor:
        if node.op != "requantise":
            return cls(ident, node.shape, node.type)
        modes = Rounding(node.attrs["rounding"]), Overflow(node.attrs["overflow"])
        return cls(ident, node.shape, node.type, *modes)

    @property
    def uniform(self) -> bool:
        return isinstance(collapse(self.type.frac), int)

    @property
    def typedef(self) -> str:
        return f"{self.ident}_t"

    @property
    def raw(self) -> str:
        """The integer type of its words."""
        return integer_type(self.type.signed, self.type.width)

    @property
    def cpp_type(self) -> str:
        if not self.uniform:
            return self.raw
        words = [str(self.type.width), str(self.type.width - collapse(self.type.frac))]
        if self.rounding is not None:
            words += [ROUNDING_NAMES[self.rounding].ap_fixed, OVERFLOW_NAMES[self.overflow].ap_fixed]
        return f"ap_{'' if self.type.signed else 'u'}fixed<{', '.join(words)}>"

    @property
    def comment(self) -> str:
        """Shape and format."""
        shape = " x ".join(map(str, self.shape)) or "scalar"
        if self.uniform:
            return f"{shape}, LSB 2^{-collapse(self.type.frac)}"
        frac = np.asarray(self.type.frac)
        return f"{shape}, raw integers, LSB 2^{-frac.max()} to 2^{-frac.min()} by element"

    def declare(self, name: str | None = None) -> str:
        """``x_t x[16]``"""
        return f"{self.typedef} {name or self.ident}{dims(self.shape)}"

    def parameter(self, *, written: bool) -> str:
        """As a function parameter."""
        const = "" if written else "const "
        if self.shape:
            return const + self.declare()
        return f"{const}{self.typedef} &{self.ident}"


@dataclass(frozen=True)
class Rom:
    """A constant array of raw integers."""

    ident: str
    values: np.ndarray
    comment: str

    @property
    def native(self) -> str:
        return native_type(int(self.values.min()), int(self.values.max()))

    @property
    def shape(self) -> tuple[int, ...]:
        return self.values.shape

    @property
    def declaration(self) -> str:
        return f"static const {self.native} {self.ident}{dims(self.shape)}"

    @property
    def initialiser(self) -> str:
        """Nested braces, rows of at most 100 characters."""
        return _braces(self.values, "")


def _literal(value: int) -> str:
    if value == -(1 << 63):
        return "(-9223372036854775807LL - 1)"
    return f"{value}LL" if abs(value) > 0x7FFFFFFF else str(value)


def _braces(values: np.ndarray, indent: str) -> str:
    if values.ndim > 1:
        inner = ",\n".join(_braces(v, indent + "  ") for v in values)
        return f"{indent}{{\n{inner}\n{indent}}}"
    words = [_literal(v) for v in values.tolist()]
    one_line = f"{indent}{{{', '.join(words)}}}"
    if len(one_line) <= 100:
        return one_line
    lines, line = [], ""
    for word in words:
        if len(line) + len(word) + 2 > 96:
            lines.append(line.rstrip())
            line = ""
        line += word + ", "
    lines.append(line.rstrip(", "))
    body = "\n".join(f"{indent}  {text}" for text in lines)
    return f"{indent}{{\n{body}\n{indent}}}"
