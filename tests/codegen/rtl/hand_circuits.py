"""Small circuits written by hand, with every kind of cell in several widths, signs and shifts."""

from __future__ import annotations

import numpy as np

from venom_hw.codegen.rtl.circuit import Bus, Cell, Circuit, Signal, evaluate


class Sketch:
    """Grows a circuit; bounds follow from interval arithmetic."""

    def __init__(self, name: str = "hand"):
        self.name, self.cells, self.roms = name, [], {}
        self.bounds: dict[str, tuple[int, int]] = {}
        self.inputs: list[Bus] = []
        self.stage = "one"

    def _cell(
        self, kind, lo, hi, inputs=(), style="", name=None, tensor="", index=0, whole=False, **attrs
    ) -> str:
        name = name or f"{kind}_{len(self.cells)}"
        signal = Signal(name, int(lo), int(hi), tensor, index, whole, self.stage)
        self.cells.append(Cell(kind, signal, tuple(inputs), attrs, style))
        self.bounds[name] = (int(lo), int(hi))
        return name

    def input(self, name, count, width, signed, lo=None, hi=None) -> list[str]:
        lo = (-(1 << width - 1) if signed else 0) if lo is None else lo
        hi = (1 << width - signed) - 1 if hi is None else hi
        made = [
            self._cell("input", lo, hi, name=f"{name}_{k}", tensor=name, index=k, whole=True)
            for k in range(count)
        ]
        self.inputs.append(Bus(name, (count,), tuple(made), width, signed))
        return made

    def const(self, value) -> str:
        return self._cell("const", value, value, value=value)

    def add(self, terms, constant=0, **where) -> str:
        """terms: (signal, shift, negate)."""
        lo = hi = constant
        for name, shift, negate in terms:
            a, b = (v << shift for v in self.bounds[name])
            lo, hi = (lo - b, hi - a) if negate else (lo + a, hi + b)
        names, shifts, negate = zip(*terms, strict=True)
        return self._cell("add", lo, hi, names, shifts=shifts, negate=negate, constant=constant, **where)

    def mul(self, a, b, style="dsp", **where) -> str:
        ends = [x * y for x in self.bounds[a] for y in self.bounds[b]]
        lo = 0 if a == b else min(ends)
        return self._cell("mul", lo, max(ends), (a, b), style, **where)

    def round(self, a, drop, **where) -> str:
        lo, hi = self.bounds[a]
        return self._cell("round", (lo >> drop) & -2, hi >> drop, (a,), drop=drop, **where)

    def clamp(self, a, low, high, style="", **where) -> str:
        lo, hi = self.bounds[a]
        return self._cell(
            "clamp",
            min(max(lo, low), high),
            max(min(hi, high), low),
            (a,),
            style,
            low=low,
            high=high,
            **where,
        )

    def shift_right(self, a, amount) -> str:
        lo, hi = self.bounds[a]
        return self._cell("shift_right", lo >> amount, hi >> amount, (a,), amount=amount)

    def maximum(self, a, b, shifts=(0, 0)) -> str:
        (al, ah), (bl, bh) = self.bounds[a], self.bounds[b]
        lo, hi = max(al << shifts[0], bl << shifts[1]), max(ah << shifts[0], bh << shifts[1])
        return self._cell("maximum", lo, hi, (a, b), shifts=shifts)

    def leading(self, a) -> str:
        width = self.bounds[a][1].bit_length()
        return self._cell("leading", 0, width - 1, (a,), width=width)

    def shift_left(self, a, b) -> str:
        lo, hi = self.bounds[a]
        most = self.bounds[b][1]
        return self._cell("shift_left", min(lo, lo << most), hi << most, (a, b))

    def rom(self, key, entries) -> None:
        self.roms[key] = np.asarray(entries, np.int64)

    def lookup(self, a, rom, column=0, style="bram", **where) -> str:
        base, (lo, hi) = self.bounds[a][0], self.bounds[a]
        values = self.roms[rom][lo - base : hi - base + 1, column]
        return self._cell(
            "lookup", values.min(), values.max(), (a,), style, rom=rom, column=column, base=base, **where
        )

    def build(self, outputs: dict[str, list[str]]) -> Circuit:
        buses = []
        for name, elements in outputs.items():
            lo, hi = min(self.bounds[e][0] for e in elements), max(self.bounds[e][1] for e in elements)
            wide = Signal("", lo, hi)
            buses.append(Bus(name, (len(elements),), tuple(elements), wide.width + 1, wide.signed))
        return Circuit(self.name, tuple(self.cells), tuple(self.inputs), tuple(buses), self.roms)


def random_inputs(rng: np.random.Generator, circuit: Circuit, samples: int) -> dict[str, np.ndarray]:
    """Uniform over the bounds, with their ends."""
    signals, values = circuit.signals(), {}
    for bus in circuit.inputs:
        columns = []
        for name in bus.elements:
            lo, hi = signals[name].lo, signals[name].hi
            column = rng.integers(lo, hi + 1, samples)
            column[:2] = (lo, hi)
            small = rng.random(samples) < 0.3
            column[small] = np.clip(rng.integers(-3, 4, int(small.sum())), lo, hi)
            columns.append(rng.permutation(column))
        values[bus.name] = np.stack(columns, -1)
    return values


def every_cell(rng: np.random.Generator) -> Circuit:
    """Each kind, with signed and unsigned operands, shifts, constants, wide and narrow limits; two stages."""
    b = Sketch("every_cell")
    s = b.input("s", 3, 9, True)
    u = b.input("u", 3, 7, False)
    p = b.input("p", 2, 12, True, lo=-70, hi=900)
    every = [*s, *u, *p]
    outs: list[str] = []
    for at in range(24):
        x, y = (every[int(k)] for k in rng.integers(0, len(every), 2))
        shifts = [int(v) for v in rng.integers(0, 12, 2) * (rng.random(2) < 0.7)]
        negate = [bool(v) for v in rng.random(2) < 0.4]
        constant = int(rng.integers(-300, 300)) * (at % 3 == 0) << int(rng.integers(0, 5))
        outs.append(b.add([(x, shifts[0], negate[0]), (y, shifts[1], negate[1])], constant))
    for x in (s[0], u[0], p[0]):
        outs.append(b.add([(x, 3, False)], 5))
        outs.append(b.add([(x, 0, True)], 0))
        outs.append(b.add([(x, 0, False)], 96))
        outs += [
            b.clamp(x, -8, 7),
            b.clamp(x, 0, 31),
            b.clamp(x, -5, 11),
            b.clamp(x, -64, 63),
            b.clamp(x, 3, 4),
        ]
        outs += [b.clamp(x, -7, 7), b.clamp(x, 0, 100)]
        every_limit = (
            (-8, 255),
            (-300, 7),
            (0, 300),
            (-512, 31),
            (-5, 11),
            (-7, 90),
            (-1, 1),
            (5, 9),
            (0, 0),
        )
        outs += [b.clamp(x, low, high, "reset") for low, high in every_limit]
        for drop in (1, 3, 6):
            outs.append(b.round(x, drop))
            outs.append(b.shift_right(x, drop))
    wide = b.add([(s[0], 7, False), (p[1], 0, False)])
    outs += [b.round(wide, 4), b.clamp(b.round(wide, 2), -128, 127), b.clamp(b.round(wide, 2), 0, 255)]
    b.stage = "two"
    outs += [
        b.mul(s[0], s[1]),
        b.mul(s[0], u[1]),
        b.mul(u[0], u[1], "lut"),
        b.mul(p[0], p[0]),
        b.mul(s[2], b.const(5)),
    ]
    outs += [
        b.maximum(s[0], s[1]),
        b.maximum(s[0], u[1], (2, 0)),
        b.maximum(u[0], u[1], (0, 3)),
        b.maximum(p[0], s[1]),
    ]
    outs += [b.leading(u[0]), b.leading(b.clamp(p[0], 0, 511))]
    outs += [b.shift_left(s[0], b.leading(u[1])), b.shift_left(u[0], b.leading(u[2]))]
    b.rom("wave", rng.integers(-300, 300, (512, 3)))
    b.rom("odd", rng.integers(0, 9, (971, 1)))
    outs += [b.lookup(s[0], "wave", k) for k in range(3)] + [b.lookup(s[1], "wave", k) for k in range(3)]
    outs += [
        b.lookup(s[2], "wave", 1),
        b.lookup(s[2], "wave", 2, "lut"),
        b.lookup(p[0], "odd"),
        b.lookup(p[1], "odd"),
    ]
    outs += [b.const(-3), s[1], b.const(6)]
    outs.append(b.add([(outs[0], 0, False), (outs[-6], 1, True)], -7))
    return b.build({"low": outs[::2], "high": outs[1::2], "last": [outs[-1], outs[-2]]})


__all__ = ["Sketch", "evaluate", "every_cell", "random_inputs"]
