"""The state trace: every state word of a channel after each beat whose sample was used, in order of the beats.

A device under test writes it while it runs (for the DPI shell: sim/dpi_bridge.cpp), because a Python bench that reads
193 words a sample through VPI would be a hundred times slower than the simulation. The format is an append-only file
of records of int64 in native byte order: channel, flags, word[words].
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sim.errors import BenchError

HEADER_WORDS = 2


@dataclass(frozen=True)
class StateRecords:
    """Records of n used beats: channel (n,), flags (n,), words (n, state words)."""

    channel: np.ndarray
    flags: np.ndarray
    words: np.ndarray

    def __len__(self) -> int:
        return len(self.channel)


class StateTrace:
    """The trace file of a running device.

    Args:
        path: the file; written by the device, emptied by `take`.
        words: state words of a channel.
    """

    def __init__(self, path: Path, words: int):
        self.path, self.words = Path(path), int(words)

    def take(self) -> StateRecords:
        """The records since the last call; the file is emptied, so that it never grows beyond one stimulus.

        Raises:
            BenchError: the file is missing or ends within a record.
        """
        width = HEADER_WORDS + self.words
        try:
            values = np.fromfile(self.path, np.int64)
        except FileNotFoundError:
            raise BenchError(f"{self.path}: no state trace; the device writes it from its first clock on") from None
        if len(values) % width:
            raise BenchError(f"{self.path}: {len(values)} words are no whole number of records of {width}")
        os.truncate(self.path, 0)
        values = values.reshape(-1, width)
        return StateRecords(values[:, 0], values[:, 1], values[:, HEADER_WORDS:])
