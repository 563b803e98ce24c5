"""The window dispatcher in simulation: what it must do as plain Python, clock by clock, and its RTL under Verilator."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sim.errors import BenchError
from sim.verilate import RANDOM_START, verilate
from venom_hw.codegen.rtl.dispatcher import NAME, Dispatcher

HERE = Path(__file__).resolve().parent
TO_BEAT, TO_FREE, TO_SLOT = 4, 4, 3
"""Clocks: from a trigger to the first beat that knows of it; from a beat to the first trigger that finds its channel
free (or its ring filled), and to the first that finds its slot free."""
EVENT = np.dtype([(name, "<u4") for name in ("kind", "stretch", "clock", "data", "user", "last")])
KINDS = ("result", "taken", "opened", "retrigger", "refused", "early", "overflow")
COUNTERS = KINDS[2:]


@dataclass(frozen=True)
class Dispatched:
    """What a stretch of n beats and its triggers give.

    Attributes:
        channel, start, last, data: of each sample sent, in order: int, bool, bool, uint32.
        outcomes: of each trigger taken: "opened", "retrigger", "refused" or "early".
        windows: (channel, first) of each window opened: `first` is the index among all its channel's samples.
    """

    channel: np.ndarray
    start: np.ndarray
    last: np.ndarray
    data: np.ndarray
    outcomes: list[str]
    windows: list[tuple[int, int]]


def dispatch(
    d: Dispatcher,
    beats: Sequence[tuple[int, int, Sequence[int]]],
    triggers: Sequence[tuple[int, int]],
) -> Dispatched:
    """The dispatcher in Python.

    Args:
        beats: (clock, group, samples of the lanes as TDATA words), in order; clocks count from the end of reset.
        triggers: (clock in which it was taken, channel), in order.
    """
    rows = 1 << d.group_bits
    history: dict[int, list] = {}
    filled_at: dict[int, int] = {}  # group: clock of the beat that filled its ring
    opened: dict[int, list] = {}  # channel: [clock of its trigger, samples sent]
    freed: dict[int, int] = {}  # channel: clock of the beat that ended its latest window
    ends: list[int] = []
    outcomes: list[str] = []
    windows: list[tuple[int, int]] = []
    sent: list[tuple[int, bool, bool, int]] = []
    events = sorted(
        [(clock, 0, group, words) for clock, group, words in beats if clock >= rows]
        + [(clock, 1, channel, None) for clock, channel in triggers],
        key=lambda event: event[:2],
    )
    held = 0
    for clock, kind, which, words in events:
        if kind == 0:
            past = history.setdefault(which, [])
            for lane in range(d.lanes):
                channel = d.lanes * which + lane
                window = opened.get(channel)
                if window is None or clock < window[0] + TO_BEAT:
                    continue
                if window[1] == d.length:
                    del opened[channel]
                    freed[channel] = clock
                    ends.append(clock)
                    continue
                at = len(past) - d.ring
                if window[1] == 0:
                    windows.append((channel, at))
                sent.append((channel, window[1] == 0, window[1] == d.length - 1, int(past[at][lane])))
                window[1] += 1
            past.append(words)
            if len(past) == d.ring:
                filled_at[which] = clock
            continue
        while ends and ends[0] + TO_SLOT <= clock:
            ends.pop(0)
            held -= 1
        filled = filled_at.get(which // d.lanes)
        if filled is None or clock < filled + TO_FREE:
            outcomes.append("early")
        elif which in opened or clock < freed.get(which, -TO_FREE) + TO_FREE:
            outcomes.append("retrigger")
        elif held == d.slots:
            outcomes.append("refused")
        else:
            outcomes.append("opened")
            opened[which] = [clock, 0]
            held += 1
    channel, start, last, data = (np.array(c) for c in zip(*sent, strict=True)) if sent else (np.zeros(0, int),) * 4
    return Dispatched(channel, start, last, data.astype(np.uint32), outcomes, windows)


def script_dtype(lanes: int) -> np.dtype:
    """A clock of what `run_script` drives (struct Clock of dispatcher.cpp)."""
    bits = [(name, "u1") for name in ("rst_n", "valid", "trigger", "ready")]
    return np.dtype([*bits, ("group", "<u4"), ("channel", "<u4"), ("samples", "<u4", (lanes,))])


def build_dispatcher(
    d: Dispatcher, folder: Path, *, top: str = NAME, sources: Sequence[Path] = ()
) -> Path:
    """The simulation program of a dispatcher, or with the `sources` of its engine (top `venom_triggered`)."""
    rtl = Path(folder) / "rtl"
    rtl.mkdir(parents=True, exist_ok=True)
    for name, text in d.files.items():
        (rtl / name).write_text(text)
    files = [*(rtl / name for name in d.files), *sources]
    return verilate(
        files, HERE / "dispatcher.cpp", Path(folder) / "built", top=top, defines=["SYNTHESIS"],
        macros={"LANES": d.lanes}, optimise="-O0",
    )  # fmt: skip


def run_script(program: Path, script: np.ndarray, folder: Path, *, plusargs: Sequence[str] = ()) -> np.ndarray:
    """Events (`EVENT`) of a script (`script_dtype`).

    Raises:
        BenchError: the program did not end well.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    script.tofile(folder / "script.bin")
    command = [str(program), str(folder / "script.bin"), str(folder / "events.bin"), *RANDOM_START, *plusargs]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder)
    if done.returncode:
        raise BenchError(f"{program}: exit status {done.returncode}: {(done.stderr or done.stdout).strip()[-2000:]}")
    return np.fromfile(folder / "events.bin", EVENT)
