"""Vector files: a stimulus with everything that a rendering must answer, every integer in full.

Little-endian binary, version 1 (read by ``hls/csim/tb.cpp``)::

    char[8] "VENOMVEC"; u32 version, channels, revisit, max_steps, beats, results, tensors, abandoned, overlong
    for each state tensor, in the order of a channel's state words:
        char[64] name; u32 words, bytes a word, rank; u32 sizes[rank]
    for each beat:      u32 tdata, tuser, idle clocks before it; u8 last, flags (see `stimulus`); u16 0
    for each result, in order of the closing beats:   u32 beat, channel, tdata
    for each beat that is used (neither ignored nor overlong):
        every word of every state tensor after it, signed integers of that tensor's width in bytes

A file without state tensors holds results alone (sim/replay.py can do with them).
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from venom_hw.atomic import atomic_file
from venom_hw.codegen.errors import CodegenError
from venom_hw.codegen.stimulus import ABANDONED, IGNORED, OVERLONG, RESULT, Stimulus

MAGIC, VERSION = b"VENOMVEC", 1
CHUNK_BEATS = 1 << 14
_BEAT = np.dtype(
    [("tdata", "<u4"), ("tuser", "<u4"), ("idle", "<u4"), ("last", "u1"), ("flags", "u1"), ("pad", "<u2")]
)
_RESULT = np.dtype([("beat", "<u4"), ("channel", "<u4"), ("tdata", "<u4")])


@dataclass(frozen=True)
class Expected:
    """What the runs of a stimulus (`Stimulus.runs`, in their order) must give.

    Attributes:
        energy, log_variance: (R,) integers; those of runs that give no result are not used.
        states: (R, longest run, *shape) integers after every sample, by state, in the order of the state words.
    """

    energy: np.ndarray
    log_variance: np.ndarray
    states: Mapping[str, np.ndarray]

    @classmethod
    def of(cls, datapath, result) -> Expected:
        """From what `Golden.run(*stimulus.windows(max_steps), trace=True)` gave."""
        outputs = [np.asarray(result.outputs[name]).reshape(-1) for name in ("energy", "log_variance")]
        return cls(*outputs, {s: result.trace[s] for s, _ in datapath.step.states})


def energy_words(energy: np.ndarray, log_variance: np.ndarray) -> np.ndarray:
    """uint32 TDATA of results: energy in the low half, log variance in the high one."""
    low, high = (np.asarray(v, np.int64).reshape(-1) & 0xFFFF for v in (energy, log_variance))
    return (low | high << 16).astype(np.uint32)


def expected_results(stimulus: Stimulus, expected: Expected, max_steps: int) -> np.ndarray:
    """The output beats in order: fields beat (the closing input beat), channel, tdata."""
    runs = stimulus.runs(max_steps)
    closed = np.flatnonzero(runs.closing >= 0)
    closed = closed[np.argsort(runs.closing[closed])]
    table = np.zeros(len(closed), _RESULT)
    table["beat"], table["channel"] = runs.closing[closed], runs.channel[closed]
    table["tdata"] = energy_words(expected.energy, expected.log_variance)[closed]
    return table


def write_vectors(path: str | Path, stimulus: Stimulus, expected: Expected, *, max_steps: int) -> Path:
    """Write a vector file, atomically.

    Args:
        max_steps: of the datapath (longest window).

    Raises:
        CodegenError: `expected` does not have the shape of the stimulus' runs.
    """
    stimulus.check()
    runs = stimulus.runs(max_steps)
    for name, values in expected.states.items():
        if len(values) != len(runs) or values.shape[1] < int(runs.length.max(initial=0)):
            raise CodegenError(
                f"state {name!r}: expected {len(runs)} runs of the stimulus, got shape {values.shape}"
            )
    widths = {name: _bytes(values) for name, values in expected.states.items()}
    results = expected_results(stimulus, expected, max_steps)
    beats = np.zeros(len(stimulus), _BEAT)
    beats["tdata"], beats["tuser"], beats["idle"] = stimulus.tdata, stimulus.tuser, stimulus.idle
    beats["last"], beats["flags"] = stimulus.last, runs.flags
    with atomic_file(path) as stream:
        counts = (stimulus.channels, stimulus.revisit, max_steps, len(beats), len(results), len(widths))
        stream.write(
            MAGIC + struct.pack("<9I", VERSION, *counts, runs.count(ABANDONED), runs.count(OVERLONG))
        )
        for name, values in expected.states.items():
            shape = values.shape[2:]
            stream.write(name.encode()[:63].ljust(64, b"\0"))
            stream.write(
                struct.pack(f"<{3 + len(shape)}I", int(np.prod(shape)), widths[name], len(shape), *shape)
            )
        stream.write(beats.tobytes() + results.tobytes())
        used = np.flatnonzero(runs.run >= 0)
        for at in range(0, len(used) if widths else 0, CHUNK_BEATS):
            run, step = runs.run[used[at : at + CHUNK_BEATS]], runs.step[used[at : at + CHUNK_BEATS]]
            words = [
                np.ascontiguousarray(values[run, step].reshape(len(run), -1).astype(f"<i{widths[name]}"))
                for name, values in expected.states.items()
            ]
            stream.write(
                np.concatenate([w.view(np.uint8).reshape(len(run), -1) for w in words], axis=1).tobytes()
            )
    return Path(path)


def _bytes(values: np.ndarray) -> int:
    """Bytes of a signed integer that holds every value."""
    lo, hi = (int(values.min()), int(values.max())) if values.size else (0, 0)
    return next(size for size in (1, 2, 4, 8) if -(1 << 8 * size - 1) <= lo and hi < 1 << 8 * size - 1)


__all__ = ["IGNORED", "RESULT", "Expected", "energy_words", "expected_results", "write_vectors"]
