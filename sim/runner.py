"""The whole bench in one call: cases from the golden model, device built, simulated, scored and reported."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from sim.build import build, simulate
from sim.case import Case, GoldenRun, expect, save_case
from sim.device import Device
from sim.errors import BenchError
from sim.scenarios import SCENARIOS, Plan
from venom_hw.atomic import write_atomically
from venom_hw.flow.table import text_table

FORMAT = "venom-hw/bench/1"


@dataclass(frozen=True)
class ScenarioResult:
    """One scenario: what was driven and compared, and what differed."""

    name: str
    about: str
    windows: int
    beats: int
    used_beats: int
    results: int
    state_words: int
    mismatches: int
    differences: list[str]
    cycles: int
    seconds: float


@dataclass(frozen=True)
class BenchResult:
    """All scenarios of a run.

    Attributes:
        device: class name of the device under test.
        seconds: of each phase (cases, build, simulation).
        path: the results.json that holds the same.
    """

    device: str
    channels: int
    revisit: int
    max_steps: int
    seed: int
    scenarios: list[ScenarioResult]
    seconds: dict[str, float]
    path: Path
    model: str = ""
    waves: str = field(default="")

    @property
    def mismatches(self) -> int:
        return sum(s.mismatches for s in self.scenarios)

    @property
    def windows(self) -> int:
        return sum(s.windows for s in self.scenarios)

    @property
    def results(self) -> int:
        """Results (windows) that were compared."""
        return sum(s.results for s in self.scenarios)

    @property
    def state_words(self) -> int:
        return sum(s.state_words for s in self.scenarios)

    @property
    def passed(self) -> bool:
        return bool(self.scenarios) and self.mismatches == 0

    def to_dict(self) -> dict:
        totals = {n: getattr(self, n) for n in ("passed", "windows", "results", "state_words", "mismatches")}
        return {"format": FORMAT, **totals, **asdict(self), "path": str(self.path)}

    def table(self) -> str:
        """The scenarios as text, one a line, the first differences below."""
        rows = [("scenario", "windows", "beats", "results", "state words", "clocks/s", "mismatches")]
        for s in self.scenarios:
            rate = round(s.cycles / s.seconds) if s.seconds else 0
            rows.append((s.name, s.windows, s.beats, s.results, s.state_words, rate, s.mismatches))
        beats = sum(s.beats for s in self.scenarios)
        rows.append(("total", self.windows, beats, self.results, self.state_words, "", self.mismatches))
        lines = text_table(rows[0], rows[1:]).splitlines()
        lines.insert(-1, lines[1])
        for s in self.scenarios:
            lines += [f"{s.name}: {difference}" for difference in s.differences]
        return "\n".join(lines)


def golden_run(step, head) -> GoldenRun:
    """The golden model of a step and a head graph, as `sim.case.expect` wants it."""
    from venom_hw.datapath.golden import Golden

    golden = Golden(step, head)

    def run(samples: np.ndarray, lengths: np.ndarray):
        result = golden.run(samples, lengths, trace=True)
        return result.outputs, result.trace

    return run


def make_cases(
    device: Device, plan: Plan, golden: GoldenRun, folder: Path, names: Sequence[str] | None = None
) -> list[Path]:
    """Case files of the scenarios (all of them without `names`; "pulses" only when there are some).

    Raises:
        BenchError: a scenario that does not exist.
    """
    unknown = [name for name in names or () if name not in SCENARIOS]
    if unknown:
        raise BenchError(f"scenario {unknown[0]!r} does not exist; scenarios: {', '.join(SCENARIOS)}")
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name in names or [n for n in SCENARIOS if n != "pulses" or plan.pulses is not None]:
        case: Case = SCENARIOS[name](plan)
        expected = [expect(s.stimulus, plan.max_steps, golden, device.tensors) for s in case.segments]
        paths.append(folder / f"{name}.npz")
        save_case(replace(case, expected=expected), paths[-1])
    return paths


def run_device(
    device: Device,
    golden: GoldenRun,
    out: Path,
    *,
    model: str = "",
    windows: int = 16,
    seed: int = 1,
    pulses: np.ndarray | None = None,
    pulse_lengths: np.ndarray | None = None,
    scenarios: Sequence[str] | None = None,
    waves: bool = False,
    built: Path | None = None,
    progress: bool = True,
) -> BenchResult:
    """Run the bench on any device.

    Args:
        golden: what a correct device computes.
        out: folder for cases, build, log and results.json.
        windows: windows of L samples a scenario, roughly.
        pulses: int (n, L, 2) centred counts to draw windows from; synthetic ones without.
        pulse_lengths: (n,) valid samples of each, where they are not all of L.
        scenarios: names; all without.
        waves: keep a VCD (out/run/dump.vcd).
        built: folder of a build to share between runs; out/built without.

    Raises:
        BenchError: the device cannot be built or run. A device that answers wrongly is no error: see `passed`.
    """
    out = Path(out).resolve()
    plan = Plan(
        device.channels, device.revisit, device.max_steps, device.fifo_depth, windows, seed,
        None if pulses is None else _whole(pulses, device.max_steps), pulse_lengths,
        device.interval,
    )  # fmt: skip
    seconds, clock = {}, time.perf_counter()
    cases = make_cases(device, plan, golden, out / "cases", scenarios)
    seconds["cases"], clock = round(time.perf_counter() - clock, 2), time.perf_counter()
    built = build(device, built or out / ("built_waves" if waves else "built"), waves=waves)
    seconds["build"], clock = round(time.perf_counter() - clock, 2), time.perf_counter()
    with _Progress(out / "run", [c.stem for c in cases], progress):
        reports = simulate(device, built, cases, out / "run", waves=waves)
    seconds["simulation"] = round(time.perf_counter() - clock, 2)
    for case in cases:
        case.unlink()
    Path(device.trace).unlink(missing_ok=True) if device.trace else None
    result = BenchResult(
        device.name, device.channels, device.revisit, device.max_steps, seed,
        [ScenarioResult(**report) for report in reports], seconds, out / "results.json", model,
        str(out / "run" / "dump.vcd") if waves else "",
    )  # fmt: skip
    write_atomically(result.path, json.dumps(result.to_dict(), indent=1) + "\n")
    return result


def _whole(pulses: np.ndarray, max_steps: int) -> np.ndarray:
    pulses = np.asarray(pulses)
    if pulses.ndim != 3 or pulses.shape[2] != 2 or pulses.shape[1] < max_steps or not len(pulses):
        raise BenchError(f"pulses of shape {pulses.shape}; expected (n >= 1, {max_steps}, 2)")
    return pulses[:, :max_steps]


class _Progress:
    """A bar that counts the reports of the running simulation."""

    def __init__(self, folder: Path, names: Sequence[str], shown: bool):
        self.reports = [folder / f"{name}.json" for name in names]
        self.bar = tqdm(total=len(names), desc="simulating", unit="scenario", disable=None if shown else True)
        self.done = threading.Event()
        self.thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> _Progress:
        for report in self.reports:
            report.unlink(missing_ok=True)
        self.thread.start()
        return self

    def __exit__(self, *exception) -> None:
        self.done.set()
        self.thread.join()
        self.bar.close()

    def _watch(self) -> None:
        while True:
            finished = self.done.wait(0.3)
            self.bar.update(sum(r.exists() for r in self.reports) - self.bar.n)
            if finished:
                return
