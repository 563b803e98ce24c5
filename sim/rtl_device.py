"""Generated RTL as a device under test: Verilator compiles the project's own files, nothing stands in between."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sim.device import SIM_FOLDER, Device

if TYPE_CHECKING:  # the simulator's process needs none of the generator
    from venom_hw.codegen.rtl.project import RtlProject


@dataclass(frozen=True)
class RtlDevice(Device):
    """The top module of an `RtlProject` (`rtl_device`).

    Attributes:
        files: sources, top last; `tables` are the .mem files that they read.
        optimise: of the C++ that Verilator writes; -O0 compiles fastest.
    """

    files: tuple[str, ...] = ()
    tables: tuple[str, ...] = ()
    optimise: str = "-O1"

    @property
    def toplevel(self) -> str:
        return "venom"

    @property
    def sources(self) -> list[Path]:
        return [SIM_FOLDER / "state_trace.sv", *map(Path, self.files)]

    @property
    def ports_only(self) -> bool:
        return True

    @property
    def data_files(self) -> list[Path]:
        return [Path(name) for name in self.tables]

    @property
    def build_args(self) -> list[str]:
        return ["-Wall", str(SIM_FOLDER / "state_trace.cpp"), "-CFLAGS", f"-std=c++17 {self.optimise}"]

    @property
    def plusargs(self) -> list[str]:
        return [f"+venom_trace={self.trace}"]


def rtl_device(project: RtlProject, trace: Path, *, optimise: str = "-O1") -> RtlDevice:
    """A rendered project as a device.

    Args:
        trace: file of the state trace.
    """
    manifest = project.manifest
    return RtlDevice(
        channels=project.channels,
        revisit=project.revisit,
        max_steps=project.max_steps,
        states=[(state["name"], state["shape"]) for state in manifest["states"]],
        fifo_depth=project.fifo_depth,
        latency=project.latency + manifest["head_interval"] * project.fifo_depth,
        trace=str(trace),
        interval=manifest["interval"],
        files=tuple(map(str, project.sources)),
        tables=tuple(map(str, project.memory_files)),
        optimise=optimise,
    )
