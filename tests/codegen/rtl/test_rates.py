"""Closed forms of rates.py against simulations that know nothing of them."""

import heapq

import numpy as np
import pytest

from venom_hw.codegen.errors import CodegenError
from venom_hw.codegen.rtl.rates import (
    dead_time,
    most_closings,
    shortest_window,
    window_fifo_depth,
    with_slack,
)


def deepest(closings, head_interval, latency=0):
    """Places taken at most, the head taking a window every `head_interval` clocks, and busy as the first comes."""
    free_at, waiting, most, leaving = head_interval - 1, 0, 0, []
    for clock, closing in enumerate(closings):
        waiting += closing
        while leaving and leaving[0] <= clock:
            leaving.pop(0)
        most = max(most, waiting + len(leaving))
        if waiting and clock >= free_at:
            waiting, free_at = waiting - 1, clock + head_interval
            leaving.append(clock + latency + 1)
    return most


def aligned(windows, length, interval, frames=3):
    """Clocks of closings: all windows open together, round robin, back to back, at the last sample of each close."""
    clocks = np.zeros(windows * length * frames * interval + 1, int)
    for frame in range(frames):
        last = (frame + 1) * length * windows - windows
        clocks[(last + np.arange(windows)) * interval] = 1
    return clocks


@pytest.mark.parametrize("interval", [1, 2, 4])
@pytest.mark.parametrize(("windows", "length", "head_interval"), [(5, 4, 3), (40, 9, 8), (16, 126, 64), (1, 3, 2)])
def test_depth_holds_aligned_windows_and_is_not_much_too_deep(windows, length, head_interval, interval):
    depth = window_fifo_depth(windows, length, head_interval, interval=interval)
    seen = deepest(aligned(windows, length, interval), head_interval)
    assert seen <= depth <= seen + 2 + windows // max(1, length - 1)


@pytest.mark.parametrize("latency", [3, 30, 200])
@pytest.mark.parametrize(("windows", "length", "head_interval"), [(5, 4, 3), (40, 9, 8), (16, 126, 64), (64, 9, 1)])
def test_depth_holds_results_on_their_way(windows, length, head_interval, latency):
    depth = window_fifo_depth(windows, length, head_interval, latency=latency)
    seen = deepest(aligned(windows, length, 1, frames=40), head_interval, latency)
    assert seen <= depth <= seen + 3 + windows // max(1, length - 1) + latency // length


def test_depth_holds_the_worst_order():
    """Windows that were open before close first, then the beats go to fresh windows one after the other."""
    windows, length, head_interval = 30, 5, 4
    clocks = [1] * windows + ([0] * (length - 1) + [1]) * 60
    assert deepest(clocks, head_interval) <= window_fifo_depth(windows, length, head_interval)


def test_closings_never_exceed_the_bound():
    rng = np.random.default_rng(5)
    windows, length = 7, 6
    left, closed = [length] * windows, []
    for _ in range(4000):
        channel = int(rng.integers(windows)) if rng.random() < 0.5 else int(np.argmax(left))
        left[channel] -= 1
        closed.append(left[channel] == 0)
        left[channel] = left[channel] or length
    total = np.concatenate([[0], np.cumsum(closed)])
    for clocks in range(1, 80):
        assert (total[clocks:] - total[:-clocks]).max() <= most_closings(clocks, windows, length)
    assert any(
        (total[clocks:] - total[:-clocks]).max() > most_closings(clocks, windows, length) - 3
        for clocks in range(10, 80)
    )


@pytest.mark.parametrize("latency", [0, 7, 40, 300])
@pytest.mark.parametrize("interval", [1, 2])
def test_depth_is_the_greatest_difference_of_all_times(interval, latency):
    rng = np.random.default_rng(6)
    for _ in range(40):
        windows, length, head = (int(n) for n in rng.integers((1, 2, 1), (50, 12, 12)))
        if length * interval < head:
            continue
        differences = [
            most_closings(clocks, windows, length, interval=interval) - max(0, clocks - 1 - latency) // head
            for clocks in range(1, 3000)
        ]
        assert window_fifo_depth(windows, length, head, interval=interval, latency=latency) == max(differences)


@pytest.mark.parametrize(
    ("needed", "depth"), [(1, 32), (28, 64), (48, 64), (49, 128), (514, 1024), (1018, 2048), (2041, 4096)]
)
def test_default_depth_leaves_a_sixteenth_for_the_consumer(needed, depth):
    assert with_slack(needed) == depth >= max(needed + 16, needed * 17 // 16)


def test_windows_shorter_than_the_head_sustains_are_refused():
    assert shortest_window(64) == 64 and shortest_window(64, interval=4) == 16 and shortest_window(65, interval=4) == 17
    with pytest.raises(CodegenError, match="expected windows of at least 64 samples"):
        window_fifo_depth(2048, 63, 64)
    assert window_fifo_depth(2048, 64, 64) <= 2048 + 2048 // 63


def simulated(channels, rate, window, slots, photons, rng):
    """Fractions recorded, in their own window, refused; photons one by one."""
    times = np.cumsum(rng.exponential(1 / (rate * channels), photons))
    owners = rng.integers(channels, size=photons)
    until, ends = np.zeros(channels), []
    counts = [0, 0, 0]
    for time, owner in zip(times, owners, strict=True):
        while ends and ends[0] <= time:
            heapq.heappop(ends)
        kind = 1 if until[owner] > time else 2 if len(ends) >= slots else 0
        counts[kind] += 1
        if kind == 0:
            until[owner] = time + window
            heapq.heappush(ends, time + window)
    return np.array(counts) / photons


@pytest.mark.parametrize("slots", [3, 10, 20, None])
def test_dead_time_is_what_a_simulation_counts(slots):
    channels, rate, window, photons = 20, 5000.0, 252e-6, 60_000
    expected = dead_time(channels, rate, window, slots=slots)
    seen = simulated(channels, rate, window, slots or channels, photons, np.random.default_rng(1))
    np.testing.assert_allclose(seen, [expected.recorded, expected.own_window, expected.refused], atol=0.01)
    assert expected.recorded + expected.own_window + expected.refused == pytest.approx(1)


def test_dead_time_of_a_channel_alone_is_that_of_a_plain_counter():
    found = dead_time(2048, 5000.0, 252e-6)
    assert found.recorded == pytest.approx(1 / (1 + 5000 * 252e-6)) and found.refused == pytest.approx(0, abs=1e-9)
    with pytest.raises(CodegenError, match="expected positive numbers"):
        dead_time(0, 5000.0, 1e-3)
