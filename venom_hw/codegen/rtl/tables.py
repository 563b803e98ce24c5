"""Tables as ROMs: addressed by the code's own bits, without the bits that never change, equal ones kept once."""

from __future__ import annotations

import numpy as np

from venom_hw.codegen.names import Names
from venom_hw.codegen.rtl.forms import CellList, Form, Label, bit_width
from venom_hw.codegen.rtl.strategies import Strategies


class Tables:
    """Makes lookups; `roms` are the contents by key."""

    def __init__(self, cells: CellList, strategies: Strategies):
        self.cells, self.strategies = cells, strategies
        self.roms: dict[str, np.ndarray] = {}
        self._key: dict[bytes, str] = {}
        self._names = Names()

    def lookup(
        self, name: str, code: str, reach: tuple[int, int], first: int, columns: np.ndarray, labels: list[Label]
    ) -> list[Form]:
        """Forms of some tables of one address.

        Args:
            name: what to call the ROM.
            code: the address signal.
            reach: codes that this or another address of the same contents takes; these can then share a memory.
            first: code of the first entry.
            columns: (entries, tables) integers.
            labels: of each table's result.
        """
        rows, base, reached = _addressed(columns, first, *reach)
        packed = [_varying(rows[:, k], reached) for k in range(rows.shape[1])]
        stored = [k for k, (_, _, _, width) in enumerate(packed) if width]
        forms = [Form({}, constant) for _, constant, _, _ in packed]
        if not stored:
            return forms
        rom = np.stack([packed[k][0] for k in stored], -1)
        key = self._rom(name, rom)
        style = self.strategies.table_style(bit_width(*reach))
        for at, k in enumerate(stored):
            values, constant, shift, width = packed[k]
            whole = constant == 0 and shift == 0
            label = labels[k] if whole else labels[k].part("bits", f"bits {shift} to {shift + width - 1}")
            attrs = {"rom": key, "column": at, "base": base}
            lo, hi = int(values[reached].min()), int(values[reached].max())
            lookup = self.cells.new("lookup", label, lo, hi, (code,), attrs, style)
            forms[k] = Form({lookup: 1 << shift}, constant)
        return forms

    def _rom(self, name: str, rom: np.ndarray) -> str:
        content = repr(rom.shape).encode() + rom.tobytes()
        if content not in self._key:
            key = self._key[content] = self._names(f"{name}#{len(self.roms)}" if name in self.roms else name)
            self.roms[key] = rom
        return self._key[content]


def _addressed(columns: np.ndarray, first: int, lo: int, hi: int) -> tuple[np.ndarray, int, slice]:
    """Entries for every pattern of the address bits (unreachable ones repeat the nearest), code of the first row,
    and the rows of the codes lo..hi."""
    width = bit_width(lo, hi)
    base = -(1 << (width - 1)) if lo < 0 else 0
    codes = np.arange(base, base + (1 << width))
    return columns[np.clip(codes, lo, hi) - first], base, slice(lo - base, hi - base + 1)


def _varying(entries: np.ndarray, reached: slice) -> tuple[np.ndarray, int, int, int]:
    """(values, constant, shift, width) with entries = constant + (values << shift): the bits that vary.

    Bits above and below them are the same in all reachable entries: wires. Width 0: all bits are.
    """
    seen = entries[reached]
    width = bit_width(int(seen.min()), int(seen.max()))
    changing = int(np.bitwise_or.reduce(seen ^ seen[0]))
    if not changing:
        return entries * 0, int(seen[0]), 0, 0
    shift = (changing & -changing).bit_length() - 1
    top = changing.bit_length()  # bits from here on are constant; a sign that varies varies in all of them
    signed = changing < 0 or top > width
    if signed:
        values, constant = entries >> shift, int(seen[0]) & ((1 << shift) - 1)
        return values, constant, shift, bit_width(int(values[reached].min()), int(values[reached].max()))
    mask = (1 << top) - (1 << shift)
    constant = int(seen[0]) & ~mask
    return (entries & mask) >> shift, constant, shift, top - shift
