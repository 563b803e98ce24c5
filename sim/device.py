"""Devices under test: everything the bench has to know of what it drives.

All devices have the ports of the contracts and offer the counters of `COUNTERS` at their top level (as ports or as
signals), so a new one is a subclass of `Device` that says where its sources are and how its states are read.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from sim.case import StateTensor
from sim.errors import BenchError
from sim.state_trace import StateTrace

SIM_FOLDER = Path(__file__).resolve().parent
COUNTERS = ("abandoned_count", "ignored_count", "overlong_count", "dropped_count", "revisit_error")


@dataclass(frozen=True)
class Device:
    """A device under test.

    Attributes:
        channels, revisit, max_steps: N, D and L of the design.
        states: (name, shape) of each state tensor of a channel, in order.
        fifo_depth: results that wait in the device while the consumer takes none.
        latency: clocks from a window's last beat to its result, at most.
        trace: file that the device writes its state trace to; empty where states cannot be read (netlists).
        interval: clocks a sample; the input's TREADY is high one clock in as many.
    """

    channels: int
    revisit: int
    max_steps: int
    states: Sequence[tuple[str, Sequence[int]]]
    fifo_depth: int = 16
    latency: int = 24
    trace: str = ""
    interval: int = 1

    @property
    def name(self) -> str:
        return type(self).__name__

    @property
    def toplevel(self) -> str:
        """Name of the top module."""
        raise NotImplementedError

    @property
    def sources(self) -> list[Path]:
        """Verilog sources, top last."""
        raise NotImplementedError

    @property
    def build_args(self) -> list[str]:
        """Further arguments for Verilator."""
        return []

    @property
    def parameters(self) -> Mapping[str, int]:
        """Parameters of the top module."""
        return {}

    @property
    def plusargs(self) -> list[str]:
        """Arguments of the simulation."""
        return []

    @property
    def ports_only(self) -> bool:
        """Whether all that the bench looks at are ports: inner signals stay hidden, and the simulator is faster."""
        return False

    @property
    def data_files(self) -> list[Path]:
        """Files that the sources read by bare name; they are copied into the simulation's directory."""
        return []

    @property
    def counters(self) -> tuple[str, ...]:
        """The counters that the bench can read; all of them, except in netlists and Vitis exports."""
        return COUNTERS

    @property
    def tensors(self) -> list[StateTensor]:
        return [StateTensor(name, tuple(int(n) for n in shape)) for name, shape in self.states]

    @property
    def words(self) -> int:
        return sum(tensor.words for tensor in self.tensors)

    def state_trace(self, dut) -> StateTrace | None:
        """Where the states after each used beat are read; called once a test, with the simulator's handle."""
        return StateTrace(Path(self.trace), self.words) if self.trace else None

    def to_dict(self) -> dict:
        """What the simulator process needs to make the device again (`device_from_dict`); fits JSON."""
        return {"class": f"{type(self).__module__}:{type(self).__qualname__}", "fields": asdict(self)}


def device_from_dict(description: Mapping) -> Device:
    """The device that `Device.to_dict` described.

    Raises:
        BenchError: the class is no Device.
    """
    module, _, name = description["class"].partition(":")
    cls = getattr(importlib.import_module(module), name, None)
    if not (isinstance(cls, type) and issubclass(cls, Device)):
        raise BenchError(f"{description['class']!r} is no sim.device.Device")
    return cls(**description["fields"])


@dataclass(frozen=True)
class DpiShell(Device):
    """The generated HLS C++ behind DPI-C (sim/dpi_shell.sv).

    Attributes:
        library: shared library of the project's C++ (`sim.build.compile_library`).
    """

    library: str = ""

    @property
    def toplevel(self) -> str:
        return "dpi_shell"

    @property
    def sources(self) -> list[Path]:
        return [SIM_FOLDER / "dpi_shell.sv"]

    @property
    def build_args(self) -> list[str]:
        sources = [str(SIM_FOLDER / name) for name in ("dpi_bridge.cpp", "state_trace.cpp")]
        return ["-Wall", *sources, "-CFLAGS", "-std=c++17 -O0", "-LDFLAGS", "-ldl"]

    @property
    def parameters(self) -> Mapping[str, int]:
        return {
            "CHANNELS": self.channels,
            "FIFO_DEPTH": self.fifo_depth,
            "LATENCY": self.latency,
        }

    @property
    def plusargs(self) -> list[str]:
        return [f"+venom_library={self.library}", f"+venom_trace={self.trace}", f"+venom_words={self.words}"]
