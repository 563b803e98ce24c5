"""The toy network of toy.cpp and toy.sv: its Python twin, and its RTL as a device under test."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sim.device import SIM_FOLDER, Device

HERE = Path(__file__).resolve().parent
FACTS = {
    "channels": 4,
    "revisit": 3,
    "max_steps": 12,
    "states": [("h", (2,)), ("tap", (1,)), ("count", ())],
    "fifo_depth": 8,
    "latency": 10,
}


def toy_golden(samples, lengths):
    """What toy.cpp computes, for all windows at once: see `sim.case.GoldenRun`."""
    windows, length = samples.shape[:2]
    h, tap = np.zeros((windows, 2), np.int64), np.zeros(windows, np.int64)
    trace = {"h": np.zeros((windows, length, 2), np.int64), "tap": np.zeros((windows, length, 1), np.int64)}
    trace["count"] = np.broadcast_to(np.arange(1, length + 1), (windows, length))
    for t in range(length):
        i, q = samples[:, t, 0].astype(np.int64), samples[:, t, 1].astype(np.int64)
        product = q * tap
        h[:, 0] += i - (h[:, 0] >> 2)
        h[:, 1] += np.sign(product) * (np.abs(product) // 4096) - (h[:, 1] >> 3)
        tap = i
        trace["h"][:, t], trace["tap"][:, t, 0] = h, tap
    final = trace["h"][np.arange(windows), lengths - 1]
    return {"energy": final[:, 0] & 0xFFFF, "log_variance": ((final[:, 1] & 0xFFFF) ^ 0x8000) - 0x8000}, trace


@dataclass(frozen=True)
class ToyRtl(Device):
    """toy.sv; `fault` is one of those it knows."""

    fault: str = ""

    @property
    def toplevel(self) -> str:
        return "toy"

    @property
    def sources(self) -> list[Path]:
        return [SIM_FOLDER / "state_trace.sv", HERE / "toy.sv"]

    @property
    def build_args(self) -> list[str]:
        return [str(SIM_FOLDER / "state_trace.cpp"), "-Wno-fatal", "-CFLAGS", "-std=c++17 -O0"]

    @property
    def parameters(self) -> Mapping[str, int]:
        return {"CHANNELS": self.channels, "FIFO_DEPTH": self.fifo_depth, "REVISIT": self.revisit}

    @property
    def plusargs(self) -> list[str]:
        return [f"+venom_trace={self.trace}", f"+fault={self.fault}"]
