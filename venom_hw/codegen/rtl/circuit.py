"""A circuit: scalar integer cells in order of evaluation, what a graph becomes before it is scheduled and written.

Every signal is one integer with proven bounds, from which its width and sign follow; cells are exact, so a circuit
has no number formats of its own. `evaluate` is what each cell means; the SystemVerilog of each must say the same.

============ ========================================= ===========================================================
kind         attrs                                     meaning (integers; >> floors)
============ ========================================= ===========================================================
input        -                                         an element of a port
const        value                                     value
add          shifts, negate (a tuple each), constant,  sum of +-(x << shift) over one or two inputs, + constant;
             wires                                     a third input is one bit and enters as the adder's carry
mul          -                                         a * b (both inputs may be the same signal: a square)
lookup       rom, column, base                         roms[rom][a - base, column]
round        drop, joined                              x holds a value + half an LSB (1 << drop - 1): x >> drop, made
                                                       even where the dropped bits of x are all 0 (a tie); a second
                                                       input of one bit: 1 where more bits below those are not 0
any          bits                                      1 if one of the low bits of x is, else 0
clamp        low, high                                 min(max(x, low), high)
shift_right  amount                                    x >> amount (wires)
field        low                                       the output's width of bits of x from `low` on (wires), two's
                                                       complement where the output is signed
maximum      shifts                                    max(a << shifts[0], b << shifts[1])
leading      width                                     zeros above the top one of x in `width` bits; x = 0: width - 1
shift_left   -                                         a << b, b a variable
============ ========================================= ===========================================================

A `joined` cell has no register: it belongs to the clock of its reader (a rounding before a saturation). A clamp of
style "reset" has one limit that its operand can pass.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from venom_hw.codegen.errors import CodegenError


@dataclass(frozen=True)
class Signal:
    """One integer: bounds, and where it comes from.

    Attributes:
        name: identifier in SystemVerilog, unique in the circuit.
        lo, hi: bounds, both inclusive.
        tensor, index: the graph node and the flat (row-major) element that it holds, or is a part of.
        whole: whether it is that element itself, not an intermediate value.
        stage: part of the network, and module, that it belongs to.
        note: what a reader wants to know, the fixed-point type of a whole element ("s16.12").
    """

    name: str
    lo: int
    hi: int
    tensor: str = ""
    index: int = 0
    whole: bool = False
    stage: str = ""
    note: str = ""

    @property
    def signed(self) -> bool:
        return self.lo < 0

    @property
    def representable(self) -> tuple[int, int]:
        """Smallest and largest integer of its width and sign."""
        return (-1 << self.width - 1, (1 << self.width - 1) - 1) if self.signed else (0, (1 << self.width) - 1)

    @property
    def width(self) -> int:
        """Bits; at least 1."""
        magnitude = max(self.hi, ~self.lo if self.lo < 0 else 0)
        return max(1, magnitude.bit_length() + int(self.signed))


@dataclass(frozen=True)
class Cell:
    """One operation; `style` names the strategy that lowers it ("dsp", "lut", "bram"; "" has only one)."""

    kind: str
    output: Signal
    inputs: tuple[str, ...] = ()
    attrs: Mapping[str, object] = field(default_factory=dict)
    style: str = ""

    @property
    def is_wires(self) -> bool:
        """Whether it costs nothing: an input, a constant, a shift by a constant, an `add` marked `wires`.

        Such an add has one input, not negated, and a constant with no bit in common with the shifted input (and none
        above a signed one): a concatenation.
        """
        return self.kind in ("input", "const", "shift_right", "field") or bool(self.attrs.get("wires"))


@dataclass(frozen=True)
class Bus:
    """A tensor at the circuit's border: its elements' signals, row-major.

    Attributes:
        name: of the graph's input, state, output or next state.
        shape: of the tensor.
        elements: signal names; an output may name an input.
        width: bits of one element in the packed port (the FixedType's, not the narrower proven ones).
        signed: of the FixedType.
    """

    name: str
    shape: tuple[int, ...]
    elements: tuple[str, ...]
    width: int
    signed: bool
    note: str = ""


@dataclass(frozen=True)
class Circuit:
    """Cells in order of evaluation, with named buses in and out.

    Attributes:
        inputs: graph inputs and states.
        outputs: graph outputs and next states.
        roms: (entries, columns) int64 contents by key.
    """

    name: str
    cells: tuple[Cell, ...]
    inputs: tuple[Bus, ...]
    outputs: tuple[Bus, ...]
    roms: Mapping[str, np.ndarray] = field(repr=False, default_factory=dict)

    def signals(self) -> dict[str, Signal]:
        return {cell.output.name: cell.output for cell in self.cells}


def evaluate(circuit: Circuit, values: Mapping[str, np.ndarray], *, check: bool = True) -> dict[str, np.ndarray]:
    """Run a circuit on integers: {bus: (batch, *shape)} in, the same for the outputs.

    Python integers inside, so nothing overflows; slow, for tests.

    Raises:
        CodegenError: a signal left its bounds (with `check`).
    """
    at: dict[str, np.ndarray] = {}
    for bus in circuit.inputs:
        flat = np.asarray(values[bus.name]).astype(object)
        flat = flat.reshape(flat.shape[0], -1)
        at |= {name: flat[:, i] for i, name in enumerate(bus.elements)}
    batch = len(next(iter(at.values())))
    for cell in circuit.cells:
        if cell.kind != "input":
            at[cell.output.name] = _evaluate(cell, [at[i] for i in cell.inputs], circuit.roms, batch)
        value, signal = at[cell.output.name], cell.output
        if check and (min(value) < signal.lo or max(value) > signal.hi):
            raise CodegenError(f"{signal.name}: {min(value)}..{max(value)} leaves {signal.lo}..{signal.hi}")
    stack = lambda bus: np.stack([at[e] for e in bus.elements], -1)  # noqa: E731
    return {bus.name: stack(bus).astype(np.int64).reshape(batch, *bus.shape) for bus in circuit.outputs}


def _evaluate(cell: Cell, x: Sequence[np.ndarray], roms: Mapping[str, np.ndarray], batch: int) -> np.ndarray:
    a = cell.attrs
    if cell.kind == "const":
        return np.full(batch, a["value"], object)
    if cell.kind == "add":
        terms = zip(x, a["shifts"], a["negate"], strict=True)
        return sum((-(v << s) if negate else v << s for v, s, negate in terms), start=a["constant"])
    if cell.kind == "mul":
        return x[0] * x[1]
    if cell.kind == "lookup":
        return roms[a["rom"]][(x[0] - a["base"]).astype(np.int64), a["column"]].astype(object)
    if cell.kind == "round":
        tie = (x[0] & ((1 << a["drop"]) - 1)) == 0
        tie = tie & (x[1] == 0) if len(x) > 1 else tie
        return np.where(tie, (x[0] >> a["drop"]) & -2, x[0] >> a["drop"]).astype(object)
    if cell.kind == "clamp":
        return np.minimum(np.maximum(x[0], a["low"]), a["high"])
    if cell.kind == "shift_right":
        return x[0] >> a["amount"]
    if cell.kind == "any":
        return ((x[0] & ((1 << a["bits"]) - 1)) != 0).astype(object) * 1
    if cell.kind == "field":
        width, sign = cell.output.width, cell.output.signed
        bits = (x[0] >> a["low"]) & ((1 << width) - 1)
        return np.where((bits >> (width - 1)) & sign, bits - (1 << width), bits).astype(object)
    if cell.kind == "maximum":
        return np.maximum(x[0] << a["shifts"][0], x[1] << a["shifts"][1])
    if cell.kind == "leading":
        return np.array([min(a["width"] - int(v).bit_length(), a["width"] - 1) for v in x[0]], object)
    if cell.kind == "shift_left":
        return x[0] << x[1]
    raise CodegenError(f"{cell.output.name}: unknown kind of cell {cell.kind!r}")
