"""The anti-aliasing FIR and the cutting of windows."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.signal import decimate as scipy_decimate

from venom_hw.detector.decimation import antialias, antialias_taps, cut_windows, decimate


def test_taps_are_symmetric_with_unit_gain():
    taps = antialias_taps(4)
    np.testing.assert_allclose(taps, taps[::-1])
    assert abs(taps.sum() - 1) < 1e-12 and len(taps) == 81


def test_agrees_with_scipy_away_from_the_ends():
    x = np.random.default_rng(0).standard_normal((3, 1000))
    ours, theirs = decimate(x, 4), scipy_decimate(x, 4, ftype="fir", axis=-1)
    np.testing.assert_allclose(ours[:, 12:-12], theirs[:, 12:-12], atol=1e-12)


def test_passes_the_band_and_stops_the_aliases():
    n = np.arange(2000)
    for cycles, gain in ((0.02, 1.0), (0.20, 0.0), (0.26, 0.0), (0.45, 0.0)):
        out = antialias(np.cos(2 * np.pi * cycles * n)[None], 4)[0, 200:-200]
        assert abs(np.abs(out).max() - gain) < 0.01, cycles


def test_no_delay():
    x = np.exp(-0.5 * ((np.arange(400) - 200) / 12.0) ** 2)[None]
    assert np.argmax(antialias(x, 4)[0]) == 200


def test_constant_stays_constant_to_the_ends():
    np.testing.assert_allclose(antialias(np.full((1, 50), 7.0), 4), 7.0)


@given(st.integers(1, 60), st.integers(1, 12), st.integers(1, 6), st.data())
def test_windows_hold_the_right_samples(samples, length, factor, data):
    start = data.draw(st.integers(0, samples - 1))
    x = np.arange(100, 100 + samples)[None]
    windows, lengths = cut_windows(x, np.array([start]), length, factor)
    expected = x[0, start::factor][:length]
    assert windows.shape == (1, length) and lengths[0] == len(expected)
    assert np.array_equal(windows[0, :lengths[0]], expected) and not windows[0, lengths[0]:].any()


def test_negative_start_is_refused():
    with pytest.raises(ValueError, match="-1"):
        cut_windows(np.zeros((1, 10)), np.array([-1]), 3, 1)
