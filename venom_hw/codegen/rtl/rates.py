"""Rates of an engine in closed form: shortest window, depth of the FIFO of finished windows, dead time.

All clocks are those of the engine. An engine of interval II takes one sample every II clocks; its head takes a
finished window every H clocks (`head_interval`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from venom_hw.codegen.errors import CodegenError

SLACK = 16
"""Results that a consumer may leave waiting in the worst moment, at least; one every `head_interval` clocks."""


@dataclass(frozen=True)
class DeadTime:
    """What becomes of a channel's photons, as fractions of all of them.

    Attributes:
        recorded: photons whose window is taken.
        own_window: photons that come while the window of their own channel is still open.
        refused: photons of an idle channel for which no window was free.
        open_windows: windows open at a time, on average.
    """

    recorded: float
    own_window: float
    refused: float
    open_windows: float


def shortest_window(head_interval: int, *, interval: int = 1) -> int:
    """Least samples of a window that the head sustains for ever, the engine being busy all the time.

    An engine finishes a window of L samples every L * II clocks at most, so L * II >= H.
    """
    _positive(head_interval=head_interval, interval=interval)
    return -(-head_interval // interval)


def most_closings(clocks: int, windows: int, length: int, *, interval: int = 1) -> int:
    """Bound on the windows of `length` samples that close in any `clocks` clocks, `windows` being open at a time.

    There are T / II beats. Each of the `windows` that were open before takes one of them at least, its last; of any
    other window that closes all L lie in those clocks.
    """
    beats = -(-clocks // interval)
    return min(beats, windows + max(0, beats - windows) // length)


def window_fifo_depth(windows: int, length: int, head_interval: int, *, interval: int = 1, latency: int = 0) -> int:
    """Places for finished windows with which none is ever lost, however the windows lie.

    Args:
        windows: open at a time: the channels of an engine in continuous use, the slots of a dispatcher.
        length: samples of each.
        latency: clocks that a window holds its place apart from waiting for the head: 0 counts the windows that wait,
            the clocks from its last beat to its result count all those whose result is still to be delivered.

    The worst case: all of them close one after the other, as fast as samples come. In T clocks at most
    `most_closings(T)` come and (T - 1 - latency) // H leave; the difference is greatest once all that were open
    have closed, or when the first one leaves, if that is later.

    Raises:
        CodegenError: the head does not sustain windows of this length (`shortest_window`): no depth suffices.
    """
    _positive(windows=windows, length=length, head_interval=head_interval, interval=interval)
    if length * interval < head_interval:
        raise CodegenError(
            f"FIFO of finished windows: a window of {length} samples may close every {length * interval} clocks, "
            f"but the head takes one every {head_interval}: expected windows of at least "
            f"{shortest_window(head_interval, interval=interval)} samples"
        )
    if length == 1:  # H = II: one comes, one goes
        return 1 + -(-latency // interval)
    candidates = [beat * interval + 1 for beat in range(windows - 1, windows + length)]
    candidates += range(latency + 1, latency + head_interval + interval * length + 2)

    def places(clocks: int) -> int:
        gone = max(0, clocks - 1 - latency) // head_interval
        return most_closings(clocks, windows, length, interval=interval) - gone

    return max(1, *map(places, candidates))


def with_slack(needed: int) -> int:
    """Places of a FIFO of finished windows that needs so many while its consumer takes each result at once.

    1/16 more, at least `SLACK`, so that the consumer may pause in the worst moment; then up to a power of two, which
    the memory holds anyway: 512 and 1,024 words in block RAM, 4,096 in UltraRAM. Continuous windows on 512 or 2,048
    channels need a little less or more than that many places and get their slack for nothing (1,024 and 4,096 places);
    1,024 channels fill a block RAM to its last places, so their FIFO goes to UltraRAM (2,048 places), half as many.
    """
    return 1 << (needed + max(SLACK, needed // 16) - 1).bit_length()


def dead_time(channels: int, photon_rate: float, window: float, *, slots: int | None = None) -> DeadTime:
    """Dead time of event-driven use: Poisson photons, windows of fixed duration, a photon in a window is lost.

    With a slot for every channel each channel is a counter with a non-extending dead time: 1 / (1 + rate * window) of
    its photons are recorded. With fewer slots the open windows are Engset's loss system, whose distribution
    p(k) ~ binomial(N, k) (rate * window)^k, k <= slots, depends on the duration's mean alone.

    Args:
        channels: N, channels that the dispatcher serves.
        photon_rate: of each channel, 1/s.
        window: duration of a window in s (from its trigger to the moment when the channel is free again).
        slots: windows that may be open at once; None: one for each channel.

    Raises:
        CodegenError: an argument out of range.
    """
    if channels < 1 or photon_rate <= 0 or window <= 0 or (slots is not None and slots < 1):
        raise CodegenError(
            f"dead time of {channels} channels, {photon_rate} photons/s, windows of {window} s, {slots} slots: "
            "expected positive numbers"
        )
    slots = channels if slots is None else min(slots, channels)
    load = photon_rate * window
    k = np.arange(1, slots + 1)
    log_p = np.concatenate([[0.0], np.cumsum(np.log((channels - k + 1) / k) + np.log(load))])
    p = np.exp(log_p - log_p.max())
    busy = float((p * np.arange(slots + 1)).sum() / p.sum())
    recorded, own = busy / (channels * load), busy / channels
    return DeadTime(recorded, own, max(0.0, 1.0 - recorded - own), busy)


def _positive(**values: int) -> None:
    for name, value in values.items():
        if value < 1:
            raise CodegenError(f"{name.replace('_', ' ')} {value}: expected at least 1")
