"""Values of tensor elements while a graph is elaborated: integer linear forms over signals, and the cells made so far.

Sums, differences, products with constants and reshapes only build forms; cells are made where an operation that is
not linear needs the integer itself. So a bias, a rounding's half LSB and a residual end in one sum with the products.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from venom_hw.codegen.errors import CodegenError
from venom_hw.codegen.names import Names
from venom_hw.codegen.rtl.circuit import Cell, Signal


@dataclass(frozen=True, eq=False)
class Form:
    """sum of coefficient * signal + constant; no coefficient is zero."""

    terms: Mapping[str, int]
    constant: int = 0

    @property
    def key(self) -> tuple:
        return (tuple(sorted(self.terms.items())), self.constant)

    @property
    def signal(self) -> str | None:
        """The signal that it is, if it is just one."""
        if self.constant or len(self.terms) != 1:
            return None
        ((name, coefficient),) = self.terms.items()
        return name if coefficient == 1 else None

    @property
    def shifted(self) -> tuple[str, int] | None:
        """(signal, k) if it is signal << k."""
        if self.constant or len(self.terms) != 1:
            return None
        ((name, coefficient),) = self.terms.items()
        k = power_of_two(coefficient)
        return None if k is None or coefficient < 0 else (name, k)

    def plus(self, other: Form) -> Form:
        terms = dict(self.terms)
        for name, coefficient in other.terms.items():
            terms[name] = terms.get(name, 0) + coefficient
        return Form({n: c for n, c in terms.items() if c}, self.constant + other.constant)

    def times(self, factor: int) -> Form:
        factor = int(factor)
        return Form({n: c * factor for n, c in self.terms.items()} if factor else {}, self.constant * factor)

    def trailing_zeros(self) -> int:
        """Low bits that are always zero; 64 for zero itself."""
        union = abs(self.constant)
        for coefficient in self.terms.values():
            union |= abs(coefficient)
        return (union & -union).bit_length() - 1 if union else 64

    def halved(self, bits: int) -> Form:
        """The form / 2**bits; `bits` must not exceed `trailing_zeros`."""
        return Form({n: c >> bits for n, c in self.terms.items()}, self.constant >> bits)


ZERO = Form({})


def power_of_two(value: int) -> int | None:
    """k for +-2**k."""
    magnitude = abs(value)
    return magnitude.bit_length() - 1 if magnitude and magnitude & (magnitude - 1) == 0 else None


def bit_width(lo: int, hi: int) -> int:
    """Bits of the narrowest two's complement (or, lo >= 0, unsigned) integer for lo..hi."""
    return max(1, max(hi, ~lo if lo < 0 else 0).bit_length() + int(lo < 0))


def meet(a: tuple[int, int], b: tuple[int, int]) -> tuple[int, int]:
    """The bounds that both give."""
    return max(a[0], b[0]), min(a[1], b[1])


def product_bounds(a: Signal, b: Signal) -> tuple[int, int]:
    if a.name == b.name:
        ends = (a.lo * a.lo, a.hi * a.hi)
        return (0 if a.lo <= 0 <= a.hi else min(ends)), max(ends)
    ends = [x * y for x in (a.lo, a.hi) for y in (b.lo, b.hi)]
    return min(ends), max(ends)


@dataclass(frozen=True)
class Label:
    """Where a new signal belongs: name to give, tensor element, stage, a note."""

    name: str
    tensor: str = ""
    index: int = 0
    stage: str = ""
    whole: bool = False
    note: str = ""

    def part(self, suffix: str, note: str = "") -> Label:
        """A label for an intermediate value of the same element."""
        return Label(f"{self.name}_{suffix}", self.tensor, self.index, self.stage, False, note)


RESERVED = {"clk", "phase", "rst_n", "clock", "reset"}


class CellList:
    """Cells made so far. A cell that exists already is not made twice: its signal is given again."""

    def __init__(self, latency: Callable[[Cell], int]) -> None:
        self.latency = latency
        self.cells: list[Cell] = []
        self.levels: dict[str, int] = {}  # clocks from the inputs, on the longest path
        self.signals: dict[str, Signal] = {}
        self._names = Names()
        self._taken: set[str] = set()
        self._made: dict[tuple, str] = {}

    def identifier(self, tensor: str) -> str:
        """A SystemVerilog identifier for a tensor."""
        name = self._names(tensor)
        return name + "_q" if name.lower() in RESERVED else name

    def new(
        self,
        kind: str,
        label: Label,
        lo: int,
        hi: int,
        inputs: Sequence[str] = (),
        attrs: Mapping[str, object] | None = None,
        style: str = "",
    ) -> str:
        """The signal of a cell with these inputs; bounds are the caller's proof.

        Raises:
            CodegenError: bounds that are empty.
        """
        attrs = dict(attrs or {})
        key = (kind, tuple(inputs), tuple(sorted(attrs.items())), style)
        if kind != "input" and key in self._made:
            return self._made[key]
        if lo > hi:
            raise CodegenError(f"{label.name} ({kind}): the bounds {lo}..{hi} are empty")
        signal = Signal(
            self._unique(label.name), int(lo), int(hi), label.tensor, label.index, label.whole, label.stage, label.note
        )
        cell = Cell(kind, signal, tuple(inputs), attrs, style)
        self.cells.append(cell)
        self.levels[signal.name] = max((self.levels[i] for i in inputs), default=0) + self.latency(cell)
        self.signals[signal.name] = signal
        self._made[key] = signal.name
        return signal.name

    def _unique(self, name: str) -> str:
        candidate, count = name, 1
        while candidate.lower() in self._taken:
            count += 1
            candidate = f"{name}_n{count}"
        self._taken.add(candidate.lower())
        return candidate

    def __getitem__(self, name: str) -> Signal:
        return self.signals[name]

    # ------------------------------------------------------------------ bounds and cells of linear forms

    def bounds(self, form: Form) -> tuple[int, int]:
        lo = hi = form.constant
        for name, c in form.terms.items():
            s = self.signals[name]
            lo += c * (s.lo if c > 0 else s.hi)
            hi += c * (s.hi if c > 0 else s.lo)
        return lo, hi

    def constant(self, value: int, label: Label) -> str:
        return self.new("const", label, value, value, (), {"value": int(value)})

    def add(
        self,
        terms: Sequence[tuple[str, int, bool]],
        constant: int,
        label: Label,
        known: tuple[int, int] | None = None,
    ) -> str:
        """The signal of sum of +-(x << shift) + constant over one or two (x, shift, negate), within `known`."""
        form = Form({}, constant)
        for name, shift, negate in terms:
            form = form.plus(Form({name: (-1 if negate else 1) << shift}))
        lo, hi = self.bounds(form)
        lo, hi = (lo, hi) if known is None else (max(lo, known[0]), min(hi, known[1]))
        attrs = {
            "shifts": tuple(int(s) for _, s, _ in terms),
            "negate": tuple(bool(n) for _, _, n in terms),
            "constant": int(constant),
        }
        if len(terms) == 1 and self._concatenates(*terms[0], constant):
            attrs["wires"] = True
        return self.new("add", label, lo, hi, [t[0] for t in terms], attrs)

    def _concatenates(self, name: str, shift: int, negate: bool, constant: int) -> bool:
        signal = self.signals[name]
        low = constant & ((1 << shift) - 1)
        above = constant >> (shift + signal.width)
        middle = constant - low - (above << (shift + signal.width))
        return not negate and middle == 0 and (above == 0 or not signal.signed)

    def settled(self, form: Form) -> Form:
        """The form with signals that can take one value only (a saturated result) as constants."""
        fixed = [name for name in form.terms if self.signals[name].lo == self.signals[name].hi]
        if not fixed:
            return form
        constant = form.constant + sum(form.terms[name] * self.signals[name].lo for name in fixed)
        return Form({name: c for name, c in form.terms.items() if name not in fixed}, constant)

    def wires(self, form: Form) -> tuple[str, int, bool] | None:
        """The one term of a form that is only a concatenation of a signal with constant bits."""
        if len(form.terms) != 1:
            return None
        ((name, coefficient),) = form.terms.items()
        k = power_of_two(coefficient)
        if k is None or not self._concatenates(name, k, coefficient < 0, form.constant):
            return None
        return name, k, False


def total(forms: Iterable[Form]) -> Form:
    """The sum of forms."""
    out = ZERO
    for form in forms:
        out = out.plus(form)
    return out
