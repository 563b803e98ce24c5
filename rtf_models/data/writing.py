"""Many sources to compact files: over processes, resumable, with an account of what became of each."""

from __future__ import annotations

import multiprocessing
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from pathlib import Path

from ..errors import DataError
from .compact import write_compact
from .input_files import InputState
from .source import Source

CHUNK = 10  # sources that a worker process takes at a time
Features = Callable[[Source], tuple]  # source -> counts (K,), features (K, 114)


@dataclass(frozen=True)
class Loaded:
    """A source, and what its reader has to say ("negative detection left out": 3)."""

    source: Source
    notes: Counter = field(default_factory=Counter)


@dataclass(frozen=True)
class Job:
    """One source to be written. `load` reads it, in a worker process; it may be anything that can be sent there.

    inputs: the state of what it is read from; None: that cannot change.
    """

    object_id: str
    split: str
    load: Callable[[], Loaded]
    inputs: InputState | None = None


@dataclass(frozen=True)
class Outcome:
    """What became of a job: "written", "rewritten" (it was there, from other inputs), "already there" or "left out"
    (with a reason; what was there stays)."""

    object_id: str
    split: str
    status: str
    reason: str = ""
    label: int = -1
    notes: Counter = field(default_factory=Counter)


@dataclass(frozen=True)
class Writer:
    """Turns jobs into files `<output_dir>/<split>/<object_id>.npz`.

    Attributes:
        horizon: days after the first detection that are kept; None: all.
        features: computes the feature vectors of prefixes; None: none are written.
        feature_names: their 114 names.
    """

    output_dir: Path
    horizon: float | None
    features: Features | None = None
    feature_names: tuple[str, ...] | None = None

    def path(self, job: Job) -> Path:
        return self.output_dir / job.split / f"{job.object_id}.npz"

    def __call__(self, job: Job) -> Outcome:
        """Writes one source. DataErrors become the outcome's reason; anything else is a defect and is raised."""
        try:
            loaded = job.load()
            source = loaded.source if self.horizon is None else loaded.source.within(self.horizon)
            if self.features is not None:
                counts, values = self.features(source)
                source = replace(source, features=values, feature_counts=counts)
            status = "rewritten" if self.path(job).is_file() else "written"
            write_compact(self.path(job), source, feature_names=self.feature_names)
        except DataError as error:
            return Outcome(job.object_id, job.split, "left out", str(error))
        return Outcome(job.object_id, job.split, status, label=source.label, notes=loaded.notes)


def _write_chunk(writer: Writer, jobs: Sequence[Job]) -> list[Outcome]:
    return [writer(job) for job in jobs]


def write_all(writer: Writer, jobs: Iterable[Job], *, workers: int = 1,
              written_from: Mapping[str, InputState] | None = None) -> Iterator[Outcome]:
    """The outcomes of the jobs, as they come; what is already there is skipped unless its inputs have changed.

    Args:
        written_from: by object id, the inputs of what is there.
        workers: processes; 1 works in this one.
    """
    waiting = []
    for job in jobs:
        same = job.inputs is None or (written_from or {}).get(job.object_id) == job.inputs
        if same and writer.path(job).is_file():
            yield Outcome(job.object_id, job.split, "already there")
        else:
            waiting.append(job)
    if workers <= 1:
        yield from map(writer, waiting)
        return
    chunks = [waiting[k:k + CHUNK] for k in range(0, len(waiting), CHUNK)]
    # Fresh processes: a fork of one that has threads (BLAS, torch) may hang.
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        tasks = [pool.submit(_write_chunk, writer, chunk) for chunk in chunks]
        try:
            for task in as_completed(tasks):
                yield from task.result()
        finally:
            for task in tasks:
                task.cancel()
