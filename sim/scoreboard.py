"""The scoreboard: what the device did against what was expected, every output and every state word.

Everything is compared as integers; a difference names channel, window, sample, tensor and index, with both values.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from sim.case import Expected, StateTensor
from sim.state_trace import StateRecords


@dataclass(frozen=True)
class Result:
    """One beat of the output stream."""

    tdata: int
    tuser: int
    tlast: int
    tkeep: int
    tstrb: int

    @property
    def energy(self) -> int:
        """Unsigned, LSB 2**-12 eV."""
        return self.tdata & 0xFFFF

    @property
    def log_variance(self) -> int:
        """Signed, LSB 2**-10."""
        return ((self.tdata >> 16) ^ 0x8000) - 0x8000


@dataclass
class Score:
    """What was compared and what differed.

    Attributes:
        results, state_words: integers that were compared.
        mismatches: how many of them (and of counters, flags, missing or surplus beats) differ.
        differences: the first `keep` ones, in words, each after `prefix`.
    """

    results: int = 0
    state_words: int = 0
    used_beats: int = 0
    mismatches: int = 0
    differences: list[str] = field(default_factory=list)
    keep: int = 8
    prefix: str = ""

    def fail(self, message: str, count: int = 1) -> None:
        self.mismatches += count
        if len(self.differences) < self.keep:
            self.differences.append(self.prefix + message)

    def add(self, other: Score) -> None:
        self.results += other.results
        self.state_words += other.state_words
        self.used_beats += other.used_beats
        self.mismatches += other.mismatches
        self.differences = (self.differences + other.differences)[: self.keep]


class Scoreboard:
    """Compares one segment after another.

    Args:
        tensors: the state tensors of a channel, in order.
    """

    def __init__(self, tensors: Sequence[StateTensor]):
        self.tensors = list(tensors)

    def states(self, score: Score, expected: Expected, records: StateRecords, *, cut: int = 0) -> None:
        """State words after each used beat; up to `cut` of the last records may be missing."""
        n = min(len(records), len(expected))
        if len(records) > len(expected) or len(records) < len(expected) - cut:
            score.fail(f"state trace: {len(records)} beats were used, {len(expected)} expected")
        score.used_beats += n
        wrong = np.flatnonzero(records.channel[:n] != expected.channel[:n])
        if len(wrong):
            k = int(wrong[0])
            score.fail(
                f"used beat {k}: channel {records.channel[k]}, expected {expected.channel[k]}; states not compared"
            )
            return
        at, found = 0, []
        for tensor, want in zip(self.tensors, expected.states, strict=True):
            got = records.words[:n, at : at + tensor.words]
            differs = got != want[:n]
            score.state_words += differs.size
            score.mismatches += int(np.count_nonzero(differs))
            if differs.any():
                row = int(np.flatnonzero(differs.any(axis=1))[0])
                word = int(np.flatnonzero(differs[row])[0])
                found.append((row, at, tensor, word, int(got[row, word]), int(want[row, word])))
            at += tensor.words
        for row, _, tensor, word, got, want in sorted(found, key=lambda f: f[:2])[:3]:
            index = ", ".join(str(int(i)) for i in np.unravel_index(word, tensor.shape))
            where = f"channel {expected.channel[row]}, window {expected.window[row]}, sample {expected.step[row]}"
            score.differences.append(
                f"{score.prefix}{where}: state {tensor.name}[{index}] is {got}, expected {want}"
            )
        score.differences = score.differences[: score.keep]

    def results(self, score: Score, expected: Expected, received: Sequence[Result], *, lost: int, cut: int) -> None:
        """Output beats in order; the last `lost` are missing, up to `cut` of the last ones due may be."""
        due = len(expected.energy) - lost
        if len(received) > due or len(received) < due - cut:
            score.fail(f"{len(received)} results, expected {due}", abs(len(received) - due))
        for k, result in enumerate(received[:due]):
            where = f"result {k}, channel {expected.result_channel[k]}, window {expected.result_window[k]}"
            wants = {
                "channel (TUSER)": (result.tuser, int(expected.result_channel[k])),
                "energy": (result.energy, int(expected.energy[k])),
                "log_variance": (result.log_variance, int(expected.log_variance[k])),
                "TLAST": (result.tlast, 1),
                "TKEEP": (result.tkeep, 0xF),
                "TSTRB": (result.tstrb, 0xF),
            }
            score.results += 1
            for name, (got, want) in wants.items():
                if got != want:
                    score.fail(f"{where}: {name} is {got}, expected {want}")

    def counters(self, score: Score, found: dict[str, int], expected: dict[str, int]) -> None:
        """Counters and flags that the device has."""
        for name, want in expected.items():
            if name in found and found[name] != want:
                score.fail(f"{name} is {found[name]}, expected {want}")
