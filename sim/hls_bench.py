"""The bench on a generated HLS project: its C++ as a shared library behind the DPI shell, against the golden model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sim.build import compile_library
from sim.device import DpiShell
from sim.runner import BenchResult, golden_run, run_device
from venom_hw.codegen.csim import ap_types_folder
from venom_hw.codegen.hls_project import Project
from venom_hw.datapath.model import Datapath

CHANNELS = 8
"""Channels of a project made for the bench: the protocol has nothing new for a thousand, and states stay comparable."""


def default_revisit(channels: int) -> int:
    """A revisit distance for such a project: the least number of channels always lets the order vary."""
    return max(2, 5 * channels // 8) if channels > 1 else 2


def compile_project(
    project: Project, out: Path, *, objects: Path | None = None, optimise: str = "-O2"
) -> Path:
    """The project's C++ as a shared library (`sim.build.compile_library`)."""
    flags = (optimise, "-Wno-unknown-pragmas", f"-isystem{ap_types_folder()}")
    return compile_library(project.sources, project.include_dirs, out, flags=flags, objects=objects)


def dpi_device(project: Project, library: Path, trace: Path, *, fifo_depth: int = 16, latency: int = 24) -> DpiShell:
    """The project behind the DPI shell."""
    return DpiShell(
        channels=project.channels,
        revisit=project.revisit,
        max_steps=project.max_steps,
        states=[(state["name"], state["shape"]) for state in project.manifest["states"]],
        fifo_depth=fifo_depth,
        latency=latency,
        trace=str(trace),
        library=str(library),
    )


def run_bench(
    project: Project,
    datapath: Datapath,
    out: str | Path,
    *,
    windows: int = 16,
    seed: int = 1,
    pulses: np.ndarray | None = None,
    pulse_lengths: np.ndarray | None = None,
    scenarios: Sequence[str] | None = None,
    waves: bool = False,
    fifo_depth: int = 16,
    latency: int = 24,
    built: Path | None = None,
    objects: Path | None = None,
    optimise: str = "-O2",
    progress: bool = True,
) -> BenchResult:
    """Run the cocotb bench on a rendered project.

    Args:
        project: rendered for few channels (8, say): every channel takes part in every scenario.
        datapath: what the golden model runs; the one the project was rendered from.
        out: folder for builds, logs and results.json.
        windows, seed, pulses, pulse_lengths, scenarios, waves, progress: see `sim.runner.run_device`.
        fifo_depth, latency: of the shell's output FIFO and pipeline.
        built, objects: folders of the verilated shell and of compiled sources, to share between runs.
        optimise: of the project's C++; -O0 compiles faster and runs several times slower.

    Raises:
        BenchError: the bench cannot be built or run. Wrong answers are in the result: `passed`, `mismatches`.
    """
    out = Path(out).resolve()
    out.mkdir(parents=True, exist_ok=True)
    library = compile_project(project, out / "venom.so", objects=objects, optimise=optimise)
    device = dpi_device(project, library, out / "states.trace", fifo_depth=fifo_depth, latency=latency)
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
