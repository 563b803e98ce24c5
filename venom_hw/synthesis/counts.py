"""Resources of a mapped netlist, by the kind of site they take."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields

_LUTRAM = {"RAM32M": 4, "RAM32M16": 8, "RAM64M": 4, "RAM64M8": 8, "RAM32X1D": 2, "RAM64X1D": 2, "RAM128X1D": 4}
_SITES = (
    (re.compile(r"LUT[1-6]|LUT6_2|INV"), "lut_logic"),
    (re.compile(r"SRL16E|SRLC16E|SRLC32E"), "lut_srl"),
    (re.compile(r"FD[RSCP]E(_1)?|LD[CP]E"), "ff"),
    (re.compile(r"DSP48E[12]|DSP48"), "dsp"),
    (re.compile(r"RAMB36E[12]"), "ramb36"),
    (re.compile(r"RAMB18E[12]"), "ramb18"),
    (re.compile(r"URAM288"), "uram"),
    (re.compile(r"CARRY4"), "carry4"),
    (re.compile(r"MUXF[789]"), "muxf"),
)
_FREE = re.compile(r"VCC|GND|BUFG|IBUF|OBUF")
SHORT = 6
"""Clocks from which a shift register is worth its LUT."""


@dataclass(frozen=True)
class Counts:
    """Sites of a netlist. Two RAMB18 share a RAMB36; LUT logic, LUT RAM and shift registers are all LUT.

    `srl_short` are those of `lut_srl` that hold fewer than SHORT clocks, `srl_short_ff` the flip-flops that would hold
    the same: chains of plain registers mostly, behind products and beside adders, of which Vivado packs the first into
    the DSP block, and whose least length is an option of it (-shreg_min_size). Yosys makes LUTs of 3 and more.
    """

    lut_logic: int = 0
    lut_srl: int = 0
    lut_ram: int = 0
    ff: int = 0
    dsp: int = 0
    ramb36: int = 0
    ramb18: int = 0
    uram: int = 0
    carry4: int = 0
    muxf: int = 0
    srl_short: int = 0
    srl_short_ff: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    def __mul__(self, times: int) -> Counts:
        return Counts(*(getattr(self, f.name) * times for f in fields(self)))

    def __sub__(self, other: Counts) -> Counts:
        return self + other * -1

    @property
    def lut(self) -> int:
        return self.lut_logic + self.lut_srl + self.lut_ram

    @property
    def bram36(self) -> float:
        """RAMB36, a RAMB18 being half of one."""
        half = 2 * self.ramb36 + self.ramb18
        return half // 2 if half % 2 == 0 else half / 2

    def summary(self) -> dict[str, int | float]:
        """What is held against a board, and the two parts of `lut` that are memory."""
        return {
            "lut": self.lut,
            "lut_srl": self.lut_srl,
            "lut_srl_short": self.srl_short,
            "lut_ram": self.lut_ram,
            "ff": self.ff,
            "dsp": self.dsp,
            "bram36": self.bram36,
            "uram": self.uram,
            "ff_of_srl_short": self.srl_short_ff,
        }


def short_shift_registers(module: Mapping) -> Counts:
    """The short ones among the SRL16E of a netlist's module (JSON), as what they add to its Counts."""
    clocks = []
    for cell in module["cells"].values():
        if cell["type"] == "SRL16E":
            address = [cell["connections"][f"A{i}"][0] for i in range(4)]
            if set(address) <= {"0", "1"}:
                clocks.append(1 + sum(1 << i for i, bit in enumerate(address) if bit == "1"))
    short = [n for n in clocks if n < SHORT]
    return Counts(srl_short=len(short), srl_short_ff=sum(short))


def count_cells(cells: Mapping[str, int]) -> tuple[Counts, dict[str, int]]:
    """Sites of {cell type: how many}, and the cells that are none (instances of modules, or types not known here)."""
    sites = {field.name: 0 for field in fields(Counts)}
    others: dict[str, int] = {}
    for type_, number in cells.items():
        if type_ in _LUTRAM:
            sites["lut_ram"] += _LUTRAM[type_] * number
        elif site := next((name for pattern, name in _SITES if pattern.fullmatch(type_)), None):
            sites[site] += number
        elif not _FREE.fullmatch(type_):
            others[type_] = number
    return Counts(**sites), others
