"""The synthesised netlist of generated RTL as a device under test: the same ports, no view of the states."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

from sim.rtl_device import RtlDevice, rtl_device
from venom_hw.codegen.rtl.project import RtlProject


@dataclass(frozen=True)
class NetlistDevice(RtlDevice):
    """Cells of Yosys (`venom_hw.synthesis.netlist`): outputs and counters are compared, states cannot be read."""

    @property
    def sources(self) -> list[Path]:
        return [*map(Path, self.files)]

    @property
    def build_args(self) -> list[str]:
        return ["-Wno-fatal", "-Wno-lint", "-Wno-style", "-CFLAGS", self.optimise]

    @property
    def plusargs(self) -> list[str]:
        return []


def netlist_device(project: RtlProject, files: Sequence[Path], *, optimise: str = "-O1") -> NetlistDevice:
    """The netlist of a rendered project.

    Args:
        files: Verilog of the netlist and of its cells.
    """
    device = rtl_device(project, Path(), optimise=optimise)
    given = {f.name: getattr(device, f.name) for f in fields(RtlDevice)}
    return replace(NetlistDevice(**given), files=tuple(map(str, files)), tables=(), trace="")
