"""Many cases through the renderings, in two processes; what fails is shrunk and kept as a file."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, field, replace
from multiprocessing import get_context
from pathlib import Path

from sim.fuzz.case import FuzzCase, save_case
from sim.fuzz.difference import Difference
from sim.fuzz.generate import random_case
from sim.fuzz.renderings import check
from sim.fuzz.shrink import Shrinker
from sim.fuzz.workshop import Workshop

MOST = 3
"""Cases drawn for each one that is to go through all renderings, at most."""


@dataclass(frozen=True)
class Failure:
    """One difference of one case.

    Attributes:
        original: the difference of the case as it was drawn; small: that of the shrunk case, the same for others.
        path: of the file to replay.
    """

    case: str
    original: Difference
    small: Difference
    path: Path
    trials: int


@dataclass
class Summary:
    """What a campaign did.

    Attributes:
        cases: drawn; complete: those that all renderings took.
        checks, seconds: by rendering; a case that it refused is no check of it.
        refused: cases by rendering; where "golden" stands for two engines, by engine.
        failures: one for each kind of difference, shrunk.
        repeated: further cases by the file of a failure of the same kind.
    """

    cases: int = 0
    complete: int = 0
    checks: Counter = field(default_factory=Counter)
    refused: Counter = field(default_factory=Counter)
    seconds: Counter = field(default_factory=Counter)
    failures: list[Failure] = field(default_factory=list)
    repeated: dict[Path, list[str]] = field(default_factory=dict)

    @property
    def failed(self) -> int:
        """Differences in all."""
        return len(self.failures) + sum(map(len, self.repeated.values()))


@dataclass(frozen=True)
class Outcome:
    """Of one case, by rendering: differences where it was compared, seconds, reasons where it was refused."""

    number: int
    differences: dict[str, Difference | None]
    seconds: dict[str, float]
    refused: dict[str, str]


def run_case(
    case: FuzzCase, renderings: Sequence[str], folder: Path, workshop: Workshop, *, keep: Path | None = None
) -> Outcome:
    """One case through renderings, in a folder of its own that is removed afterwards (or in `keep`, which stays)."""
    differences, seconds, refused = {}, {}, {}
    folder = Path(folder).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as place:
        place = place if keep is None else keep.resolve()
        for name in renderings:
            begin = time.perf_counter()
            checked = check(name, case, Path(place), workshop)
            seconds[name] = time.perf_counter() - begin
            refused |= checked.refused
            if checked.compared:
                differences[name] = checked.difference
    return Outcome(0, differences, seconds, refused)


def _numbered(seed: int, number: int, renderings: Sequence[str], folder: Path, tools: Path) -> Outcome:
    return replace(run_case(random_case(seed, number), renderings, folder, Workshop(tools)), number=number)


def outcomes(
    seed: int, numbers: Iterable[int], renderings: Sequence[str], folder: Path, workshop: Workshop, *, jobs: int
) -> Iterator[Outcome]:
    """Outcomes of numbered cases as they come, `jobs` at a time."""
    waiting = iter(numbers)
    if jobs <= 1:
        yield from (_numbered(seed, n, renderings, folder, workshop.folder) for n in waiting)
        return
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        running: set[Future] = set()
        try:
            while True:
                for number in waiting:
                    running.add(pool.submit(_numbered, seed, number, renderings, folder, workshop.folder))
                    if len(running) >= 2 * jobs:
                        break
                if not running:
                    return
                done, running = wait(running, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in done)
        finally:
            for future in running:
                future.cancel()


def shrink(
    case: FuzzCase,
    found: Difference,
    folder: Path,
    workshop: Workshop,
    *,
    seconds: float,
    progress: Callable[[Shrinker], None] = lambda shrinker: None,
) -> tuple[FuzzCase, Difference, int]:
    """The smallest case with the same kind of difference, its difference, and the renderings it took."""

    def again(smaller: FuzzCase) -> Difference | None:
        return run_case(smaller, [found.rendering], folder, workshop).differences.get(found.rendering)

    def fails(smaller: FuzzCase) -> bool:
        difference = again(smaller)
        return difference is not None and difference.kind == found.kind

    shrinker = Shrinker(fails, seconds=seconds, progress=progress)
    small = shrinker.run(case, found.tensor)
    return small, again(small) or found, shrinker.trials


def campaign(
    seed: int,
    count: int,
    renderings: Sequence[str],
    out: Path,
    *,
    jobs: int | None = None,
    shrink_seconds: float = 300.0,
    tools: Path | None = None,
    progress: Callable[[Summary, Outcome | None, Shrinker | None], None] = lambda *given: None,
) -> Summary:
    """Cases of a seed from 0 on until `count` of them went through all renderings, at most `MOST * count`.

    Args:
        out: gets ``failures/<case>-<rendering>.json``; failures of an earlier run are removed.
        jobs: processes; by default the machine's cores, at most 4.
        shrink_seconds: for each kind of difference; 0 keeps the cases as they are.
        tools: folder of the precompiled parts; by default in `out`.
        progress: called after each case and each trial of the shrinker.

    Raises:
        CodegenError, ToolchainError, FuzzError: a compiler or Verilator is missing, a rendering does not exist.
    """
    out = Path(out).resolve()
    kept, work = out / "failures", out / "work"
    shutil.rmtree(kept, ignore_errors=True)
    workshop = Workshop(tools or out / "tools").prepare(rtl=any(name.startswith("rtl") for name in renderings))
    jobs = min(os.cpu_count() or 1, 4) if jobs is None else jobs
    summary = Summary()
    known: dict[tuple[str, str, str], Path] = {}

    def drawn() -> Iterator[Outcome]:
        while (missing := min(count - summary.complete, MOST * count - summary.cases)) > 0:
            numbers = range(summary.cases, summary.cases + missing)
            yield from outcomes(seed, numbers, renderings, work, workshop, jobs=jobs)

    for outcome in drawn():
        summary.cases += 1
        summary.complete += outcome.differences.keys() >= set(renderings)
        summary.checks.update(outcome.differences.keys())
        summary.refused.update(outcome.refused.keys())
        summary.seconds.update(outcome.seconds)
        for found in filter(None, outcome.differences.values()):
            case = random_case(seed, outcome.number)
            if found.kind in known:
                summary.repeated.setdefault(known[found.kind], []).append(case.name)
                continue
            path = kept / f"{case.name}-{found.rendering}.json"
            save_case(case, path, about=found.to_dict())  # at once: shrinking may be interrupted
            small, difference, trials = shrink(
                case, found, work, workshop, seconds=shrink_seconds, progress=lambda s: progress(summary, None, s)
            )
            save_case(small, path, about=difference.to_dict() | {"original": str(found), "trials": trials})
            known[found.kind] = path
            summary.failures.append(Failure(case.name, found, difference, path, trials))
        progress(summary, outcome, None)
    shutil.rmtree(work, ignore_errors=True)
    return summary
