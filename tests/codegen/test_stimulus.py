"""The stimulus obeys the revisit distance, and the window protocol does what the contracts say."""

import numpy as np
import pytest

from venom_hw.codegen.stimulus import (
    ABANDONED,
    IGNORED,
    OVERLONG,
    RESULT,
    Pulse,
    Stimulus,
    StimulusError,
    schedule,
)


def ramp(n, base=0):
    return np.stack([np.arange(n) + base, -np.arange(n) - base], axis=1)


@pytest.mark.parametrize("seed", [None, 1, 2])
def test_schedule_keeps_every_sample_in_order_and_the_distance(seed):
    pulses = [Pulse(c, ramp(n, 100 * i)) for i, (c, n) in enumerate([(0, 5), (3, 1), (0, 2), (1, 7), (3, 4)])]
    stimulus = schedule(pulses, channels=4, revisit=3, seed=seed, idle_fraction=0.2 if seed else 0.0)
    for channel in range(4):
        mine = stimulus.channel == channel
        want = [p.samples for p in pulses if p.channel == channel]
        assert np.array_equal(stimulus.samples[mine], np.concatenate(want) if want else np.zeros((0, 2)))
        assert (np.diff(stimulus.clock[mine]) >= 3).all()
    samples, lengths = stimulus.windows(8)
    assert sorted(lengths.tolist()) == [1, 2, 4, 5, 7]
    assert samples.shape == (5, 7, 2)


def test_round_robin_is_dense_when_the_channels_suffice():
    stimulus = schedule([Pulse(c, ramp(6)) for c in range(5)], channels=5, revisit=5)
    assert stimulus.idle.sum() == 0 and stimulus.channel[:6].tolist() == [0, 1, 2, 3, 4, 0]


def test_protocol():
    pulses = [
        Pulse(0, ramp(2), start=False, last=True),  # before any start: ignored
        Pulse(0, ramp(3), last=False),  # abandoned by the next
        Pulse(0, ramp(1)),
        Pulse(0, ramp(6)),  # longer than 4: beat 5 is the error, beat 6 lies outside a window
        Pulse(0, ramp(4)),
    ]
    stimulus = schedule(pulses, channels=2, revisit=1)
    runs = stimulus.runs(4)
    flags = (
        [IGNORED] * 2 + [0] * 3 + [ABANDONED | RESULT] + [0] * 4 + [OVERLONG, IGNORED] + [0] * 3 + [RESULT]
    )
    assert runs.flags.tolist() == flags
    assert runs.length.tolist() == [3, 1, 4, 4]
    assert runs.closing.tolist() == [-1, 5, -1, 15]
    assert runs.step.tolist() == [-1, -1, 0, 1, 2, 0, 0, 1, 2, 3, -1, -1, 0, 1, 2, 3]


def test_words():
    stimulus = schedule([Pulse(2, np.array([[-1, 5]]))], channels=3, revisit=1)
    assert stimulus.channel_bits == 2
    assert stimulus.tdata.tolist() == [0x0005FFFF]
    assert stimulus.tuser.tolist() == [0b110]


def test_errors():
    with pytest.raises(StimulusError, match="expected 0..1"):
        schedule([Pulse(2, ramp(1))], channels=2, revisit=1)
    with pytest.raises(StimulusError, match="int16"):
        schedule([Pulse(0, ramp(1, 40000))], channels=2, revisit=1)
    ones = np.ones(2, bool)
    near = Stimulus(2, 4, np.zeros(2, int), ones, ones, np.zeros((2, 2), int), np.array([0, 2]))
    with pytest.raises(StimulusError, match="beat 1 comes to channel 0 less than 4 clocks"):
        near.check()
