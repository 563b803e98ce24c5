"""Stimuli: schedules of AXI4-Stream beats, and the window protocol of the contracts as a plain reference.

A `Stimulus` is what drives every rendering (csim, DPI shell, RTL): beats of interleaved channels, with the idle
clocks between them, that obey the revisit distance. `Stimulus.runs` says what the protocol makes of each beat:
which window it belongs to, or why it is not used.

The protocol of one channel: `start` opens a window (one that was open is *abandoned*) and the state is cleared before
the sample is used; a beat outside a window is *ignored*; `last` closes the window and gives its result; sample
max_steps + 1 of a window is not used, it closes the window without a result (*overlong*).
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

RESULT, ABANDONED, IGNORED, OVERLONG, REVISIT = 1, 2, 4, 8, 16
"""Bits of what `venom_sample` returns for a beat."""


class StimulusError(ValueError):
    """A beat that no rendering may be given: channel or sample out of range, revisit distance broken."""


@dataclass(frozen=True)
class Pulse:
    """One run of samples of a channel.

    Attributes:
        channel: 0 to channels - 1.
        samples: int (n, 2), I and Q of each beat as centred counts, n >= 1.
        start: whether the first beat carries start.
        last: whether the final beat carries TLAST.
    """

    channel: int
    samples: np.ndarray
    start: bool = True
    last: bool = True


@dataclass(frozen=True)
class Runs:
    """What the window protocol makes of a stimulus of n beats.

    Attributes:
        flags: (n,) RESULT | ABANDONED | IGNORED | OVERLONG of each beat.
        run: (n,) index of the window that the beat's sample is used in, -1 if it is not used.
        step: (n,) index of the sample in that window, -1 if it is not used.
        channel, length: (R,) of each window, in order of their starts; abandoned and overlong ones included.
        closing: (R,) the beat that closes the window with a result, -1 if none does.
    """

    flags: np.ndarray
    run: np.ndarray
    step: np.ndarray
    channel: np.ndarray
    length: np.ndarray
    closing: np.ndarray

    def __len__(self) -> int:
        return len(self.channel)

    def count(self, flag: int) -> int:
        """Beats that carry a flag."""
        return int(np.count_nonzero(self.flags & flag))


@dataclass(frozen=True)
class Stimulus:
    """A schedule of n beats.

    Attributes:
        channels: N, channels of the engine.
        revisit: D, declared least distance in clocks between two beats of one channel.
        channel: (n,) channel of each beat.
        start, last: (n,) bool.
        samples: (n, 2) int16 I and Q.
        idle: (n,) clocks without a beat just before this one.
    """

    channels: int
    revisit: int
    channel: np.ndarray
    start: np.ndarray
    last: np.ndarray
    samples: np.ndarray
    idle: np.ndarray

    def __post_init__(self) -> None:
        n = len(self.channel)
        for name, shape in (("start", (n,)), ("last", (n,)), ("samples", (n, 2)), ("idle", (n,))):
            found = np.shape(getattr(self, name))
            if found != shape:
                raise StimulusError(f"stimulus: {name} has shape {found}, expected {shape}")

    def __len__(self) -> int:
        return len(self.channel)

    @property
    def channel_bits(self) -> int:
        """Bits of TUSER that hold the channel; start is the bit above them."""
        return channel_bits(self.channels)

    @cached_property
    def clock(self) -> np.ndarray:
        """(n,) clock at which each beat is accepted, the first possible clock being 0."""
        return np.cumsum(np.asarray(self.idle, np.int64)) + np.arange(len(self))

    @property
    def tdata(self) -> np.ndarray:
        """(n,) uint32: I in the low, Q in the high half."""
        halves = np.asarray(self.samples, np.int64) & 0xFFFF
        return (halves[:, 0] | halves[:, 1] << 16).astype(np.uint32)

    @property
    def tuser(self) -> np.ndarray:
        """(n,) uint32: channel, and start above it."""
        start = np.asarray(self.start, np.int64) << self.channel_bits
        return (np.asarray(self.channel, np.int64) | start).astype(np.uint32)

    def check(self) -> Stimulus:
        """Itself.

        Raises:
            StimulusError: a channel or sample out of range, or two beats of a channel nearer than D clocks.
        """
        channel = np.asarray(self.channel, np.int64)
        if len(self) and not (0 <= channel.min() and channel.max() < self.channels):
            raise StimulusError(
                f"stimulus: channels {channel.min()}..{channel.max()}, expected 0..{self.channels - 1}"
            )
        samples = np.asarray(self.samples, np.int64)
        if len(self) and not (-32768 <= samples.min() and samples.max() <= 32767):
            raise StimulusError(f"stimulus: samples {samples.min()}..{samples.max()} leave int16")
        order = np.lexsort((self.clock, channel))
        same = channel[order][1:] == channel[order][:-1]
        near = same & (np.diff(self.clock[order]) < self.revisit)
        if near.any():
            beat = int(order[1:][near][0])
            raise StimulusError(
                f"stimulus: beat {beat} comes to channel {channel[beat]} less than {self.revisit} clocks after "
                "that channel's previous beat (the declared revisit distance)"
            )
        return self

    def runs(self, max_steps: int) -> Runs:
        """What the protocol makes of each beat, for windows of at most `max_steps` samples."""
        n = len(self)
        flags, run, step = np.zeros(n, np.uint8), np.full(n, -1, np.int64), np.full(n, -1, np.int64)
        lengths: list[int] = []
        closing: list[int] = []
        owners: list[int] = []
        open_run: dict[int, int] = {}
        columns = (np.asarray(column).tolist() for column in (self.channel, self.start, self.last))
        beats = zip(*columns, strict=True)
        for beat, (channel, start, last) in enumerate(beats):
            current, flag = open_run.get(channel, -1), 0
            if start:
                flag = ABANDONED if current >= 0 else 0
                current = len(lengths)
                lengths.append(0)
                closing.append(-1)
                owners.append(channel)
            elif current < 0:
                flags[beat] = IGNORED
                continue
            elif lengths[current] == max_steps:
                flags[beat], open_run[channel] = OVERLONG, -1
                continue
            run[beat], step[beat] = current, lengths[current]
            lengths[current] += 1
            if last:
                closing[current], current, flag = beat, -1, flag | RESULT
            open_run[channel], flags[beat] = current, flag
        ints = lambda values: np.asarray(values, np.int64)  # noqa: E731
        return Runs(flags, run, step, ints(owners), ints(lengths), ints(closing))

    def windows(self, max_steps: int) -> tuple[np.ndarray, np.ndarray]:
        """Samples of every run, zero-padded: int64 (R, longest, 2), and their lengths (R,)."""
        runs = self.runs(max_steps)
        samples = np.zeros((len(runs), int(runs.length.max(initial=1)), 2), np.int64)
        used = runs.run >= 0
        samples[runs.run[used], runs.step[used]] = np.asarray(self.samples)[used]
        return samples, runs.length


def channel_bits(channels: int) -> int:
    """ceil(log2 channels), at least 1."""
    return max(1, (channels - 1).bit_length())


def schedule(
    pulses: Iterable[Pulse],
    *,
    channels: int,
    revisit: int,
    seed: int | None = None,
    idle_fraction: float = 0.0,
) -> Stimulus:
    """Interleaves pulses to a stimulus that obeys the revisit distance as densely as it allows.

    Pulses of one channel follow each other in the order given. At each clock the beat comes from a channel that may
    be revisited: the one that waits longest (seed None: round robin), or a random one.

    Args:
        pulses: see `Pulse`.
        channels: N of the engine.
        revisit: D in clocks, at least 1.
        seed: of the random interleaving; None for round robin.
        idle_fraction: probability of an extra idle clock before a beat (with a seed).

    Raises:
        StimulusError: a pulse of an unknown channel, or an empty one, or samples that leave int16.
    """
    queues: dict[int, list[Pulse]] = {}
    for pulse in pulses:
        if not 0 <= pulse.channel < channels:
            raise StimulusError(f"pulse of channel {pulse.channel}, expected 0..{channels - 1}")
        if np.ndim(pulse.samples) != 2 or np.shape(pulse.samples)[1] != 2 or not len(pulse.samples):
            raise StimulusError(f"pulse samples of shape {np.shape(pulse.samples)}, expected (n >= 1, 2)")
        queues.setdefault(pulse.channel, []).append(pulse)
    if revisit < 1:
        raise StimulusError(f"revisit distance {revisit}, expected at least 1")
    tables = {channel: _beats_of(queue) for channel, queue in queues.items()}
    order, idle = _interleave({c: len(t[0]) for c, t in tables.items()}, revisit, seed, idle_fraction)
    cursor = dict.fromkeys(tables, 0)
    rows = np.empty(len(order), np.int64)
    for beat, channel in enumerate(order):
        rows[beat] = cursor[channel]
        cursor[channel] += 1
    channel = np.asarray(order, np.int64)
    samples = np.zeros((len(order), 2), np.int64)
    start, last = np.zeros(len(order), bool), np.zeros(len(order), bool)
    for owner, (values, starts, lasts) in tables.items():
        mine = channel == owner
        samples[mine], start[mine], last[mine] = values[rows[mine]], starts[rows[mine]], lasts[rows[mine]]
    if len(order) and not (-32768 <= samples.min() and samples.max() <= 32767):
        raise StimulusError(f"samples {samples.min()}..{samples.max()} leave int16")
    samples = samples.astype(np.int16)
    return Stimulus(channels, revisit, channel, start, last, samples, np.asarray(idle, np.int64)).check()


def _beats_of(pulses: Sequence[Pulse]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Samples, start and last of a channel's beats."""
    samples = np.concatenate([np.asarray(p.samples, np.int64) for p in pulses])
    start, last = np.zeros(len(samples), bool), np.zeros(len(samples), bool)
    at = 0
    for pulse in pulses:
        start[at] = pulse.start
        at += len(pulse.samples)
        last[at - 1] = pulse.last
    return samples, start, last


def _interleave(left: dict[int, int], revisit: int, seed: int | None, idle_fraction: float):
    """Channel of each beat, and the idle clocks before it."""
    rng = None if seed is None else np.random.default_rng(seed)
    left = dict(left)
    ready = sorted(left)  # channels that may be visited at `clock`
    waiting: list[tuple[int, int]] = []  # (first allowed clock, channel)
    order: list[int] = []
    idle: list[int] = []
    clock, gap = 0, 0
    while ready or waiting:
        while waiting and waiting[0][0] <= clock:
            ready.append(heapq.heappop(waiting)[1])
        if not ready:
            gap += waiting[0][0] - clock
            clock = waiting[0][0]
            continue
        if rng is not None and idle_fraction and rng.random() < idle_fraction:
            clock, gap = clock + 1, gap + 1
            continue
        channel = ready.pop(0 if rng is None else int(rng.integers(len(ready))))
        order.append(channel)
        idle.append(gap)
        left[channel] -= 1
        if left[channel]:
            heapq.heappush(waiting, (clock + revisit, channel))
        clock, gap = clock + 1, 0
    return order, idle
