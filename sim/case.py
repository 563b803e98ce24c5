"""One scenario as numbers: what is driven, and what a correct device answers. Made before the simulation starts.

The simulator process reads a case from its file and knows nothing of the network: stimulus, expected results, expected
state words and counters are all there. Mutants, boards and, later, the RTL run on the same file.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from sim.errors import BenchError
from venom_hw.atomic import atomic_file
from venom_hw.codegen.stimulus import ABANDONED, IGNORED, OVERLONG, Stimulus

FORMAT = "venom-hw/bench-case/1"
COUNTERS = {"abandoned_count": ABANDONED, "ignored_count": IGNORED, "overlong_count": OVERLONG}
"""Counters of the device under test, and the protocol flag each one counts."""

GoldenRun = Callable[[np.ndarray, np.ndarray], tuple[dict[str, np.ndarray], dict[str, np.ndarray]]]
"""(samples int (R, L, 2), lengths (R,)) -> outputs {"energy", "log_variance"} (R,), trace {state: (R, L, *shape)}."""


@dataclass(frozen=True)
class StateTensor:
    """One state of a channel; `words` of it lie one after the other, row-major."""

    name: str
    shape: tuple[int, ...]

    @property
    def words(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64))


@dataclass(frozen=True)
class Expected:
    """What a correct device does with a stimulus.

    Attributes:
        window, step: (u,) of each used beat: index of its window in order of the starts, sample of that window.
        channel: (u,) of each used beat.
        states: one int array (u, words) for each state tensor: all its words after that beat.
        result_window, result_channel, energy, log_variance: (r,) of each result, in order.
        counters: name -> what the stimulus adds to the counter.
    """

    window: np.ndarray
    step: np.ndarray
    channel: np.ndarray
    states: list[np.ndarray]
    result_window: np.ndarray
    result_channel: np.ndarray
    energy: np.ndarray
    log_variance: np.ndarray
    counters: dict[str, int]

    def __len__(self) -> int:
        return len(self.channel)


@dataclass(frozen=True)
class Segment:
    """A stimulus and how it is played.

    Attributes:
        reset: whether the device is reset before it.
        cut: whether it ends by a reset in the clock after its last beat; results under way may then be lost.
        closed_sink: keep the output's TREADY low until all beats are in.
        dropped: results lost to the full output FIFO, the last ones of the segment.
        compare: whether results and states are compared (not while the protocol is being broken).
        revisit_error: the flag expected after the segment.
    """

    stimulus: Stimulus
    reset: bool = True
    cut: bool = False
    closed_sink: bool = False
    dropped: int = 0
    compare: bool = True
    revisit_error: bool = False


@dataclass(frozen=True)
class Case:
    """A scenario: segments, and the random gaps on both sides.

    Attributes:
        input_gap: probability of an extra idle clock before a beat.
        output_gap: probability of a clock with the output's TREADY low.
    """

    name: str
    about: str
    segments: Sequence[Segment]
    seed: int = 0
    input_gap: float = 0.0
    output_gap: float = 0.0
    expected: Sequence[Expected] = field(default=(), repr=False)


def expect(stimulus: Stimulus, max_steps: int, golden: GoldenRun, tensors: Sequence[StateTensor]) -> Expected:
    """What the contracts and the golden model make of a stimulus."""
    runs = stimulus.runs(max_steps)
    used = np.flatnonzero(runs.run >= 0)
    window, step = runs.run[used], runs.step[used]
    states = [np.zeros((0, tensor.words), np.int64) for tensor in tensors]
    energy = log_variance = np.zeros(0, np.int64)
    with_result = np.flatnonzero(runs.closing >= 0)
    with_result = with_result[np.argsort(runs.closing[with_result], kind="stable")]
    if len(used):
        samples, lengths = stimulus.windows(max_steps)
        outputs, trace = golden(samples, lengths)
        states = [_narrow(trace[t.name].reshape(trace[t.name].shape[:2] + (-1,))[window, step]) for t in tensors]
        energy = np.asarray(outputs["energy"]).reshape(len(runs))[with_result]
        log_variance = np.asarray(outputs["log_variance"]).reshape(len(runs))[with_result]
    counters = {name: runs.count(flag) for name, flag in COUNTERS.items()}
    return Expected(
        window, step, np.asarray(stimulus.channel)[used], states,
        with_result, runs.channel[with_result], energy, log_variance, counters,
    )  # fmt: skip


def _narrow(values: np.ndarray) -> np.ndarray:
    """The smallest signed integer type that holds them (the files are large)."""
    for dtype in (np.int16, np.int32):
        if values.size == 0 or np.iinfo(dtype).min <= values.min() and values.max() <= np.iinfo(dtype).max:
            return values.astype(dtype)
    return values.astype(np.int64)


_STIMULUS = ("channel", "start", "last", "samples", "idle")
_EXPECTED = ("window", "step", "channel", "result_window", "result_channel", "energy", "log_variance")
_PLAYED = ("reset", "cut", "closed_sink", "dropped", "compare", "revisit_error")


def save_case(case: Case, path: Path) -> None:
    """Write the case as an npz (atomically); the description is in its array `description`."""
    arrays: dict[str, np.ndarray] = {}
    segments = []
    for k, (segment, expected) in enumerate(zip(case.segments, case.expected, strict=True)):
        stimulus = segment.stimulus
        arrays |= {f"{k}/stimulus/{name}": np.asarray(getattr(stimulus, name)) for name in _STIMULUS}
        arrays |= {f"{k}/expected/{name}": getattr(expected, name) for name in _EXPECTED}
        arrays |= {f"{k}/state/{i}": values for i, values in enumerate(expected.states)}
        segments.append(
            {name: getattr(segment, name) for name in _PLAYED}
            | {"channels": stimulus.channels, "revisit": stimulus.revisit, "counters": expected.counters}
            | {"states": len(expected.states)}
        )
    description = {name: getattr(case, name) for name in ("name", "about", "seed", "input_gap", "output_gap")}
    description |= {"format": FORMAT, "segments": segments}
    arrays["description"] = np.frombuffer(json.dumps(description).encode(), np.uint8)
    with atomic_file(path) as file:
        np.savez(file, **arrays)


def load_case(path: Path) -> Case:
    """Read a case.

    Raises:
        BenchError: the file is of another format.
    """
    with np.load(path) as file:
        arrays = dict(file)
    description = json.loads(arrays["description"].tobytes())
    if description.get("format") != FORMAT:
        raise BenchError(f"{path}: format {description.get('format')!r}, expected {FORMAT!r}")
    segments, expected = [], []
    for k, entry in enumerate(description["segments"]):
        stimulus = Stimulus(
            entry["channels"], entry["revisit"], **{name: arrays[f"{k}/stimulus/{name}"] for name in _STIMULUS}
        )
        segments.append(Segment(stimulus, **{name: entry[name] for name in _PLAYED}))
        expected.append(
            Expected(
                **{name: arrays[f"{k}/expected/{name}"] for name in _EXPECTED},
                states=[arrays[f"{k}/state/{i}"] for i in range(entry["states"])],
                counters=entry["counters"],
            )
        )
    fields = {name: description[name] for name in ("name", "about", "seed", "input_gap", "output_gap")}
    return Case(segments=segments, expected=expected, **fields)
