"""The bench on generated RTL: the project's SystemVerilog under cocotb and Verilator, against the golden model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sim.rtl_device import rtl_device
from sim.runner import BenchResult, golden_run, run_device
from venom_hw.codegen.rtl.project import RtlProject
from venom_hw.datapath.model import Datapath


def run_rtl_bench(
    project: RtlProject,
    datapath: Datapath,
    out: str | Path,
    *,
    windows: int = 16,
    seed: int = 1,
    pulses: np.ndarray | None = None,
    pulse_lengths: np.ndarray | None = None,
    scenarios: Sequence[str] | None = None,
    waves: bool = False,
    built: Path | None = None,
    optimise: str = "-O1",
    progress: bool = True,
) -> BenchResult:
    """Run the cocotb bench on rendered RTL.

    Args:
        project: rendered from `datapath`.
        datapath: what the golden model runs.
        out: folder for the build, logs and results.json.
        windows, seed, pulses, pulse_lengths, scenarios, waves, built, progress: see `sim.runner.run_device`.
        optimise: of the C++ that Verilator makes of the RTL.

    Raises:
        BenchError: the bench cannot be built or run. Wrong answers are in the result: `passed`, `mismatches`.
    """
    out = Path(out).resolve()
    out.mkdir(parents=True, exist_ok=True)
    device = rtl_device(project, out / "states.trace", optimise=optimise)
    return run_device(
        device,
        golden_run(datapath.step, datapath.head),
        out,
        model=str(project.manifest["model"]),
        windows=windows,
        seed=seed,
        pulses=pulses,
        pulse_lengths=pulse_lengths,
        scenarios=scenarios,
        waves=waves,
        built=built,
        progress=progress,
    )
