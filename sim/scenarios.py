"""The scenarios of the bench: each is a function that makes one `Case` from the device's figures and pulse samples.

A new scenario is a function here and its name in `SCENARIOS`; `sim/bench.py` makes a cocotb test of every one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from sim.case import Case, Segment
from venom_hw.codegen.stimulus import Pulse, Stimulus, schedule


@dataclass(frozen=True)
class Plan:
    """What the scenarios are made for.

    Attributes:
        channels: N of the device.
        revisit: D, least distance of two beats of one channel in clocks.
        max_steps: L, longest window.
        capacity: results that the output FIFO holds while the consumer takes none.
        windows: windows of L samples that a scenario drives, roughly (a scenario of short windows drives more).
        seed: of everything random.
        pulses: int (n, L, 2) pulses to draw from, or None: synthetic ones.
        pulse_lengths: (n,) valid samples of each pulse, 1..L; None: all of L.
        interval: clocks a sample; beats come at multiples of it.
    """

    channels: int
    revisit: int
    max_steps: int
    capacity: int
    windows: int = 16
    seed: int = 1
    pulses: np.ndarray | None = None
    pulse_lengths: np.ndarray | None = None
    interval: int = 1


class Draw:
    """Random windows for one scenario."""

    def __init__(self, plan: Plan, name: str):
        self.plan = plan
        self.seed = int(np.random.SeedSequence([plan.seed, *name.encode()]).generate_state(1)[0])
        self.rng = np.random.default_rng(self.seed)

    def samples(self, length: int) -> np.ndarray:
        """(length, 2) int16: a given pulse, a synthetic one, or noise over the whole range."""
        plan, rng = self.plan, self.rng
        kind = rng.random()
        if kind < 0.2:
            return rng.integers(-32768, 32768, (length, 2), dtype=np.int64)
        if plan.pulses is not None:
            return np.asarray(plan.pulses[rng.integers(len(plan.pulses)), :length], np.int64)
        decay = np.exp(-np.arange(length) / max(1.0, 0.37 * plan.max_steps))
        amplitude = rng.uniform(500, 20000, 2) * rng.choice([-1, 1], 2)
        noise = rng.normal(0, 100, (length, 2))
        return np.clip(np.rint(decay[:, None] * amplitude + noise), -32768, 32767).astype(np.int64)

    def length(self) -> int:
        """1 to L, the ends more often than the rest."""
        longest = self.plan.max_steps
        return int(self.rng.choice([1, min(2, longest), longest, *self.rng.integers(1, longest + 1, 3)]))

    def pulse(self, channel: int, length: int, **marks: bool) -> Pulse:
        return Pulse(channel, self.samples(length), **marks)

    def stimulus(self, pulses: list[Pulse], *, dense: bool = False, idle: float = 0.0) -> Stimulus:
        """The pulses interleaved: round robin without a gap (`dense`), or at random."""
        return schedule(
            pulses,
            channels=self.plan.channels,
            revisit=self.plan.revisit,
            seed=None if dense else int(self.rng.integers(2**31)),
            idle_fraction=idle,
        )

    def rounds(self) -> int:
        """Windows a channel, so that all channels together have about `plan.windows`; at least 2."""
        return max(2, round(self.plan.windows / self.plan.channels))

    def mixed(self, rounds: int | None = None) -> list[Pulse]:
        """Windows of 1..L samples on every channel."""
        count = self.rounds() if rounds is None else rounds
        return [self.pulse(c, self.length()) for c in range(self.plan.channels) for _ in range(count)]


def interleaved(plan: Plan) -> Case:
    draw = Draw(plan, "interleaved")
    pulses = [draw.pulse(c, plan.max_steps) for c in range(plan.channels) for _ in range(draw.rounds())]
    return Case(
        "interleaved", "windows of L on all channels, interleaved at random",
        [Segment(draw.stimulus(pulses, idle=0.05))], draw.seed,
    )  # fmt: skip


def back_to_back(plan: Plan) -> Case:
    draw = Draw(plan, "back_to_back")
    few = [draw.pulse(c, plan.max_steps) for c in range(plan.channels) for _ in range(draw.rounds())]
    one = [draw.pulse(plan.channels - 1, length) for length in (plan.max_steps, 1, 1, plan.max_steps, 2)]
    return Case(
        "back_to_back", "windows of L without a gap, round robin; then one channel alone",
        [Segment(draw.stimulus(few, dense=True)), Segment(draw.stimulus(one, dense=True), reset=False)], draw.seed,
    )  # fmt: skip


def lengths(plan: Plan) -> Case:
    draw = Draw(plan, "lengths")
    longest = plan.max_steps
    ladder = sorted({1, 2, 3, longest // 2 or 1, max(1, longest - 1), longest})
    pulses = [draw.pulse(k % plan.channels, length) for k, length in enumerate(ladder)]
    return Case(
        "lengths", "windows of 1 to L samples", [Segment(draw.stimulus(pulses + draw.mixed()))], draw.seed
    )


def restart(plan: Plan) -> Case:
    draw = Draw(plan, "restart")
    pulses = []
    for channel in range(plan.channels):
        for _ in range(draw.rounds()):
            cut = int(draw.rng.integers(1, plan.max_steps + 1))
            pulses += [draw.pulse(channel, cut, last=False), draw.pulse(channel, draw.length())]
    return Case(
        "restart", "a start inside an open window: abandoned and counted", [Segment(draw.stimulus(pulses))], draw.seed
    )


def gaps(plan: Plan) -> Case:
    draw = Draw(plan, "gaps")
    return Case(
        "gaps", "random gaps on input valid and output ready",
        [Segment(draw.stimulus(draw.mixed(), idle=0.1))], draw.seed, input_gap=0.4, output_gap=0.6,
    )  # fmt: skip


def reset(plan: Plan) -> Case:
    """Cut in mid-window; afterwards the rest of each window is ignored until the channel's next start.

    Then once more, while results wait in the output FIFO: they are gone.
    """
    draw = Draw(plan, "reset")
    whole = draw.stimulus([draw.pulse(c, plan.max_steps) for c in range(plan.channels)] + draw.mixed(1), dense=True)
    beats = max(1, int(len(whole) * 0.4))
    rest = [draw.pulse(c, 1 + plan.max_steps // 3, start=False) for c in range(plan.channels)]
    waiting = [draw.pulse(k % plan.channels, 1 + k % 2) for k in range(max(1, plan.capacity // 2))]
    return Case(
        "reset", "reset in mid-window; then samples are ignored until a start",
        [
            Segment(head_of(whole, beats), cut=True),
            Segment(draw.stimulus(rest + draw.mixed(1))),
            Segment(draw.stimulus(waiting), cut=True, closed_sink=True),
            Segment(draw.stimulus(draw.mixed(1))),
        ],
        draw.seed,
    )  # fmt: skip


def overflow(plan: Plan) -> Case:
    """As many results as the FIFO holds lose nothing; the ones beyond are dropped; then life goes on."""
    draw = Draw(plan, "overflow")
    lost = 3 + plan.channels // 2
    short = lambda count: [draw.pulse(k % plan.channels, 1 + k % 3) for k in range(count)]  # noqa: E731
    segments = [
        Segment(draw.stimulus(short(plan.capacity)), closed_sink=True),
        Segment(draw.stimulus(short(plan.capacity + lost)), reset=False, closed_sink=True, dropped=lost),
        Segment(draw.stimulus(draw.mixed(1)), reset=False),
    ]
    return Case(
        "overflow", f"output FIFO of {plan.capacity} overflows by {lost}: dropped and counted", segments, draw.seed
    )


def before_start(plan: Plan) -> Case:
    draw = Draw(plan, "before_start")
    pulses = []
    for channel in range(plan.channels):
        pulses += [
            draw.pulse(channel, int(draw.rng.integers(1, 9)), start=False, last=bool(channel % 2)),
            draw.pulse(channel, draw.length()),
            draw.pulse(channel, int(draw.rng.integers(1, 5)), start=False, last=False),
            draw.pulse(channel, draw.length()),
        ]
    return Case(
        "before_start", "samples before a start and after a window's end: ignored and counted",
        [Segment(draw.stimulus(pulses))], draw.seed,
    )  # fmt: skip


def overlong(plan: Plan) -> Case:
    draw = Draw(plan, "overlong")
    pulses = []
    for channel in range(plan.channels):
        over = draw.samples(plan.max_steps)
        over = np.concatenate([over, over[: 1 + channel % 3]])  # the first sample too many closes, others are ignored
        pulses += [Pulse(channel, over, last=bool(channel % 2)), draw.pulse(channel, plan.max_steps)]
    return Case(
        "overlong", "windows of more than L samples: closed without a result, counted",
        [Segment(draw.stimulus(pulses))], draw.seed,
    )  # fmt: skip


def revisit(plan: Plan) -> Case:
    """With D = 1 sample no stream can break the distance; the case then only checks that the flag stays down."""
    draw = Draw(plan, "revisit")
    fine = Segment(draw.stimulus(draw.mixed(1)))
    segments = [fine]
    if plan.revisit > plan.interval:
        nearest = 1 + int(draw.rng.integers(plan.revisit - plan.interval))
        broken = Stimulus(
            plan.channels,
            plan.revisit,
            channel=np.zeros(2, np.int64),
            start=np.array([True, False]),
            last=np.array([False, True]),
            samples=draw.samples(2).astype(np.int16),
            idle=np.array([plan.revisit, nearest - 1]),
        )
        segments += [
            Segment(broken, reset=False, compare=False, revisit_error=True),
            Segment(draw.stimulus(draw.mixed(1)), reset=False, revisit_error=True),
            Segment(draw.stimulus(draw.mixed(1))),
        ]
    return Case("revisit", "a channel that comes back too soon raises the error flag", segments, draw.seed)


def pulses(plan: Plan) -> Case:
    """Every given pulse once (real ones, when the caller has them), as long as it is."""
    draw = Draw(plan, "pulses")
    given = plan.pulses[: 4 * plan.windows] if plan.pulses is not None else []
    ends = [len(p) for p in given] if plan.pulse_lengths is None else plan.pulse_lengths
    whole = [np.asarray(p, np.int64)[:end] for p, end in zip(given, ends, strict=False)]
    windows = [Pulse(k % plan.channels, samples) for k, samples in enumerate(whole)] or draw.mixed()
    return Case("pulses", "the given pulses, whole", [Segment(draw.stimulus(windows))], draw.seed)


def head_of(stimulus: Stimulus, beats: int) -> Stimulus:
    """The first beats of a stimulus."""
    cut = {n: getattr(stimulus, n)[:beats] for n in ("channel", "start", "last", "samples", "idle")}
    return Stimulus(stimulus.channels, stimulus.revisit, **cut)


SCENARIOS: dict[str, Callable[[Plan], Case]] = {
    f.__name__: f
    for f in (
        interleaved, back_to_back, lengths, restart, gaps, reset, overflow, before_start, overlong, revisit, pulses,
    )
}  # fmt: skip
