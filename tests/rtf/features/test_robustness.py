"""No light curve raises, warns or gives an infinite feature; what cannot be known is NaN."""

import warnings
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtf_models.features import FEATURE_NAMES, UNDEFINED_FEATURES, extract_features, prefix_features


class Raw(SimpleNamespace):
    """A source that is not checked when it is made."""

    def __len__(self):
        return len(self.time)


def raw(time, band, mag, mag_err):
    return Raw(time=np.asarray(time, float), band=np.asarray(band, int), mag=np.asarray(mag, np.float32),
               mag_err=np.asarray(mag_err, np.float32))  # fmt: skip


def features(source):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        vector = extract_features(source)
    assert vector.shape == (114,) and vector.dtype == np.float32
    assert not np.isinf(vector).any()
    return dict(zip(FEATURE_NAMES, vector.tolist(), strict=True))


def test_no_detection():
    empty = raw([], [], [], [])
    assert features(empty)["param_n_obs"] == 0
    counts, rows = prefix_features(empty)
    assert counts.shape == (0,) and rows.shape == (0, 114)


def test_one_detection():
    found = features(raw([2459000.5], [1], [18.0], [0.1]))
    assert found["np_peak_mag"] == 18.0 and found["np_n_det"] == 1
    assert np.isnan(found["np_t0"]) and np.isnan(found["param_chi2_bazin"]) and np.isnan(found["gp2d_amp"])


@pytest.mark.parametrize("count", [2, 3, 4, 10, 150])
def test_all_at_one_time(count):
    found = features(
        raw(np.full(count, 5.0), np.arange(count) % 2, np.linspace(18, 19, count), np.full(count, 0.1))
    )
    assert found["param_n_obs"] == count and np.isnan(found["param_chi2_bazin"])


def test_pairs_of_equal_times():
    time = np.repeat(np.arange(10.0), 2)
    found = features(raw(time, np.ones(20), 18 + 0.05 * time, np.full(20, 0.05)))
    assert np.isfinite(found["np_decay_rate"])


@pytest.mark.parametrize("band", [0, 1, 2])
def test_one_band_only(band):
    time = np.arange(0, 60, 3.0)
    found = features(raw(time, np.full(20, band), 18 + ((time - 20) / 20) ** 2, np.full(20, 0.05)))
    assert found["np_t0"] == pytest.approx(20, abs=4)
    assert np.isnan(found["np_peak_color_g_r"]) and np.isnan(found["thermal_log_temp_peak"])
    assert np.isnan(found["gp2d_temp_range"]) and found["np_n_bands_fit"] == 1


def test_errors_too_large_for_any_detection():
    found = features(raw(np.arange(20.0), np.arange(20) % 2, np.full(20, 18.0), np.full(20, 5.0)))
    assert found["param_n_obs"] == 0 and np.isnan(found["np_peak_mag"])


@pytest.mark.parametrize("error", [1e-30, 1e-6])
def test_errors_that_are_next_to_nothing(error):
    time = np.arange(30.0)
    features(raw(time, np.arange(30) % 2, 18 + np.sin(time), np.full(30, error)))


def test_bad_rows_are_left_out():
    time = np.arange(0, 60, 2.0)
    good = (time, np.arange(30) % 2, 18 + ((time - 20) / 20) ** 2, np.full(30, 0.05))
    mag, err, band = good[2].copy(), good[3].copy(), good[1].copy()
    mag[4], mag[7], err[9], err[11], err[13], band[15] = np.nan, np.inf, 0.0, -1.0, np.nan, 7
    found = features(raw(time, band, mag, err))
    keep = np.setdiff1d(np.arange(30), [4, 7, 9, 11, 13, 15])
    assert found == pytest.approx(features(raw(*(x[keep] for x in good))), nan_ok=True)
    assert found["param_n_obs"] == 24


def test_constant_flux():
    found = features(raw(np.arange(25.0), np.arange(25) % 2, np.full(25, 18.0), np.full(25, 0.05)))
    assert found["np_gp_peak_to_peak"] == pytest.approx(0.0, abs=1e-3)


NUMBERS = st.one_of(
    st.floats(min_value=8, max_value=26),
    st.sampled_from([18.0, np.nan, np.inf, -999.0, 0.0, 99.0, -4.9, 39.9]),
)
ROW = st.tuples(
    st.one_of(st.floats(min_value=0, max_value=400), st.sampled_from([0.0, 1.0, 1e-9, 5000.0])), st.integers(0, 3),
    NUMBERS, st.one_of(st.floats(min_value=1e-4, max_value=0.5), st.sampled_from([0.0, np.nan, 1e-12, 10.0])),
)  # fmt: skip


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(ROW, min_size=1, max_size=14))
def test_any_rows_at_all(rows):
    rows = sorted(rows, key=lambda row: row[0])
    found = features(raw(*zip(*rows, strict=True)))
    assert all(np.isnan(found[name]) for name in UNDEFINED_FEATURES)


@pytest.mark.parametrize("count", [101, 300, 1500])
def test_long_light_curves(count):
    rng = np.random.default_rng(count)
    time = np.sort(rng.random(count) * 100)
    mag = 18 + ((time - 30) / 25) ** 2 + rng.normal(0, 0.05, count)
    found = features(raw(time, rng.integers(0, 2, count), mag, np.full(count, 0.05)))
    assert found["np_t0"] == pytest.approx(30, abs=4)
    assert found["gp2d_train_rms"] < 0.2


def test_two_detections_say_how_fast_it_changes():
    found = features(raw([0.0, 3.0], [1, 1], [18.0, 17.7], [0.03, 0.03]))
    assert found["np_rise_rate"] == pytest.approx(-0.1, abs=0.02)
    assert found["np_gp_dfdt_max"] > 0 and found["np_rise_time"] == pytest.approx(3.0, abs=0.3)
    assert np.isnan(found["np_decay_efold"]) and np.isnan(found["param_chi2_bazin"])
