"""Simulated samples a second of generated RTL: the cocotb bench against the C++ driver, same RTL, 2,048 channels."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.measurement import Measurement

MODEL, CHANNELS = "ptsi", 2048
SAMPLES = 100_000


def run() -> list[Measurement]:
    """Time of 100,000 samples: all state words compared, and results alone (the simulation's own speed).

    The cocotb bench runs its scenario "interleaved" (two windows a channel); its time is scaled. Compiling is not in
    any of the times.
    """
    from sim.replay import build_replay, long_run, replay
    from sim.rtl_bench import run_rtl_bench
    from venom_hw.boards import load_board
    from venom_hw.codegen.rtl.project import render_rtl
    from venom_hw.flow.model_files import find_model
    from venom_hw.interchange.importer import import_venom

    files = find_model(MODEL)
    datapath = import_venom(files.step, files.head)
    length = datapath.step.max_steps
    rng = np.random.default_rng(1)
    windows = np.cumsum(rng.integers(-3000, 3001, (400, length, 2)), axis=1).clip(-32768, 32767).astype(np.int16)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        project = render_rtl(datapath, load_board("rfsoc4x2"), out / "rtl", channels=CHANNELS, name=MODEL)
        bench = run_rtl_bench(project, datapath, out / "cocotb", scenarios=["interleaved"], progress=False)
        if not bench.passed:
            raise RuntimeError(f"the RTL differs from the golden model:\n{bench.table()}")
        scenario = bench.scenarios[0]
        cocotb = scenario.seconds / scenario.beats * SAMPLES
        out_lines = [_line("cocotb, every state word compared", cocotb, None)]
        for states, name in ((True, "every state word compared"), (False, "results compared")):
            program = build_replay(project, out / f"driver{states}", states=states)
            stimuli = long_run(project, windows, np.full(len(windows), length), SAMPLES, chunk=SAMPLES)
            result = replay(project, datapath, out / "vectors", stimuli, states=states, program=program)
            if result.mismatches:
                raise RuntimeError(f"the RTL differs from the golden model: {result}")
            out_lines.append(_line(f"C++ driver, {name}", result.seconds / result.beats * SAMPLES, cocotb))
    return out_lines


def _line(name: str, seconds: float, cocotb: float | None) -> Measurement:
    title = f"RTL of {MODEL}, {CHANNELS:,} channels, {SAMPLES:,} samples, {name}"
    note = f"{SAMPLES / seconds:,.0f} samples a second"
    if cocotb is None:
        return Measurement(title, seconds, note=note)
    return Measurement(title, seconds, "cocotb", cocotb, note=note)


if __name__ == "__main__":
    from benchmarks.run import main

    sys.exit(main(["--only", Path(__file__).stem.removeprefix("bench_")]))
