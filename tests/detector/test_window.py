"""Window arithmetic and its dictionary form."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from venom_hw.detector import DataError, Window
from venom_hw.detector.window import fit_decay, window_length


def test_lengths_of_the_contracts():
    assert window_length(10, 5.0, 46.4e-6, 500e3) == 126
    assert window_length(10, 5.0, 416e-6, 200e3) == 426


@given(st.floats(1e3, 1e7), st.integers(0, 20), st.integers(1, 500), st.sampled_from([0.25, 1.0, 1024.0, 65536.0]),
       st.tuples(st.floats(-10, 10), st.floats(-10, 10)))
def test_dictionary_round_trip(rate, n_pre, more, scale, centre):
    window = Window(rate, n_pre, n_pre + more, 1e-5, 5.0, 4, scale, centre)
    assert Window.from_dict(window.to_dict()) == window


@pytest.mark.parametrize("change", [{"counts_per_unit": 3.0}, {"rate_hz": 0.0}, {"length": 10}, {"downsample": 0}])
def test_impossible_windows_are_refused(change):
    good = Window(500e3, 10, 126, 46.4e-6, 5.0, 4).to_dict()
    with pytest.raises(ValueError, match="expected"):
        Window.from_dict({**good, **change})


def test_unknown_and_missing_keys_are_named():
    good = Window(500e3, 10, 126, 46.4e-6, 5.0, 4).to_dict()
    with pytest.raises(DataError, match="colour"):
        Window.from_dict({**good, "colour": 1})
    del good["rate_hz"]
    with pytest.raises(DataError, match="rate_hz"):
        Window.from_dict(good)


@given(st.floats(5e-6, 60e-6), st.floats(0.1, 5.0))
def test_decay_fit_finds_the_decay(tau, height):
    t = np.arange(1000) / 2e6
    pulse = np.where(t >= 1e-4, height * np.exp(-np.maximum(t - 1e-4, 0) / tau), 0.0)
    assert abs(fit_decay(pulse, 2e6) / tau - 1) < 1e-6


def test_decay_fit_refuses_a_flat_trace():
    with pytest.raises(ValueError):
        fit_decay(np.zeros(100), 1e6)
