"""Loading a folder: clip, window, counts, statistics, split."""

import json
import shutil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from venom_hw.detector import (
    DataError,
    Window,
    filter_resolving_power,
    load_mkid_data,
    load_pulse_set,
    normalisation,
    stratified_split,
)
from venom_hw.detector.dataset import clip_peaks
from venom_hw.detector.decimation import decimate
from venom_hw.detector.folder import read_line, write_line, write_metadata
from venom_hw.detector.phase_coordinate import PhaseCoordinate

from .conftest import user_arrays


@pytest.fixture(scope="module")
def ptsi(ptsi_folder):
    return load_pulse_set(ptsi_folder)


def test_shapes_and_labels(ptsi):
    n = len(ptsi)
    assert ptsi.counts.shape == (n, 126, 2) and ptsi.counts.dtype == np.int16
    assert ptsi.wl_labels == ["808nm", "920nm", "980nm", "1120nm", "1310nm"]
    np.testing.assert_allclose(np.unique(ptsi.energies[ptsi.wl_ids == 0]), 1.534458, atol=1e-5)
    assert (ptsi.lengths == 126).all() and ptsi.opt_R is None
    assert (ptsi.window.rate_hz, ptsi.window.length, ptsi.window.tau_s) == (500e3, 126, 46.4e-6)
    assert ptsi.noise.shape[1:] == (126, 2)
    assert ptsi.source["preset"] == "ptsi"


def test_inhf_windows_have_426_samples(inhf_folder):
    pulses = load_pulse_set(inhf_folder)
    assert pulses.counts.shape[1] == 426 and len(pulses.wl_labels) == 10 and pulses.window.rate_hz == 200e3


def test_the_simulated_decay_fits_the_window_that_the_contract_names(ptsi_folder, tmp_path):
    folder = shutil.copytree(ptsi_folder, tmp_path / "copy")
    metadata = json.loads((folder / "metadata.json").read_text())
    del metadata["tau_s"]
    write_metadata(folder, metadata)
    window = load_pulse_set(folder).window
    assert abs(window.tau_s / 46.4e-6 - 1) < 0.02 and abs(window.length - 126) <= 2


def test_trigger_is_the_raw_peak(ptsi):
    theta = PhaseCoordinate.fit(ptsi)(ptsi.counts)
    mean = theta.mean(axis=0)
    assert np.argmax(mean) == 10
    assert mean[:6].max() < 0.05 * mean[10] and mean[9] > 0.5 * mean[10]


def test_window_equals_plain_decimation_from_the_start(ptsi_folder):
    pulses = load_pulse_set(ptsi_folder, full=True, peak_sigma=0)
    line = read_line(ptsi_folder / "808nm.npz")
    first = pulses.counts[pulses.wl_ids == 0]
    expected = np.rint(decimate(line.i_trace[line.mask].astype(np.float32), 4))
    assert first.shape[1] == 250
    np.testing.assert_array_equal(first[..., 0], expected)


def test_clip_is_two_robust_sigmas():
    heights = np.random.default_rng(0).normal(-0.5, 0.02, 20_000)
    heights[:100] = 5.0
    mask = np.ones(20_000, bool)
    mask[:200] = False
    kept = clip_peaks(heights, mask, 2.0)
    assert not kept[:200].any() and abs(kept[200:].mean() - 0.9545) < 0.005


def test_clip_and_mask_are_applied(ptsi_folder, ptsi):
    line = read_line(ptsi_folder / "808nm.npz")
    assert (ptsi.wl_ids == 0).sum() == clip_peaks(line.peak_heights, line.mask, 2.0).sum() < line.mask.sum()
    assert load_pulse_set(ptsi_folder, peak_sigma=0).counts.shape[0] > len(ptsi)


def test_a_given_window_wins(ptsi_folder, ptsi):
    short = Window(250e3, 6, 40, 46.4e-6, 5.0, 8)
    pulses = load_pulse_set(ptsi_folder, downsample=4, n_tau=9, window=short)
    assert pulses.window == short and pulses.counts.shape[1] == 40
    with pytest.raises(DataError, match="sample_rate_hz.*800000"):
        load_pulse_set(ptsi_folder, window=Window(200e3, 10, 426, 416e-6, 5.0, 4))


def test_traces_that_end_early_give_shorter_windows(tmp_path):
    arrays = user_arrays(samples=400)  # peak at 200: 10 + 50 decimated samples
    write_line(tmp_path / "1000nm.npz", **arrays)
    pulses = load_pulse_set(tmp_path, sample_rate_hz=2e6)
    assert pulses.window.length > 105
    assert ((55 <= pulses.lengths) & (pulses.lengths <= 61)).all()
    for row, length in zip(pulses.counts[:5], pulses.lengths[:5], strict=True):
        assert row[:length].any(axis=1).all() and not row[length:].any()


def test_normalisation_standardises(ptsi):
    train, _ = stratified_split(ptsi.wl_ids, seed=1)
    stats = normalisation(ptsi, train)
    x = (ptsi.counts[train] - np.array(stats["iq_mean"])) / stats["iq_std"]
    np.testing.assert_allclose(x.mean((0, 1)), 0, atol=1e-9)
    np.testing.assert_allclose(x.std((0, 1)), 1, rtol=1e-9)
    energy = (ptsi.energies[train] - stats["energy_offset"]) / stats["energy_scale"]
    assert abs(energy.mean()) < 1e-9 and abs(energy.std() - 1) < 1e-9


def test_normalisation_does_not_count_padding(tmp_path):
    write_line(tmp_path / "1000nm.npz", **user_arrays(samples=400))
    pulses = load_pulse_set(tmp_path, sample_rate_hz=2e6)
    valid = np.arange(pulses.counts.shape[1]) < pulses.lengths[:, None]
    np.testing.assert_allclose(normalisation(pulses)["iq_mean"], pulses.counts[valid].mean(axis=0))


@given(st.lists(st.integers(1, 60), min_size=1, max_size=6), st.floats(0.05, 0.9), st.integers(0, 99))
def test_split_is_stratified_disjoint_and_complete(sizes, fraction, seed):
    wl_ids = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(sizes)), sizes))
    train, val = stratified_split(wl_ids, fraction, seed)
    assert np.array_equal(np.sort(np.concatenate([train, val])), np.arange(len(wl_ids)))
    for line, size in enumerate(sizes):
        held = (wl_ids[val] == line).sum()
        assert held < size and abs(held - fraction * size) <= 1
        assert size == 1 or held >= 1
    again = stratified_split(wl_ids, fraction, seed)
    assert np.array_equal(train, again[0]) and np.array_equal(val, again[1])


def test_split_refuses_a_fraction_of_one():
    with pytest.raises(ValueError, match="fraction"):
        stratified_split([0, 1], 1.0)


def test_stored_filter_resolving_power_wins(ptsi_folder, tmp_path, ptsi):
    folder = shutil.copytree(ptsi_folder, tmp_path / "copy")
    metadata = json.loads((folder / "metadata.json").read_text())
    write_metadata(folder, {**metadata, "opt_filt_R": {"808": 7.5, "920nm": 6.5}})
    iq, energies, wl_ids, wl_labels, opt_r, heights = load_mkid_data(folder)
    assert iq.shape == ptsi.counts.shape and len(heights) == len(energies) == len(wl_ids)
    assert (opt_r["808nm"], opt_r["920nm"]) == (7.5, 6.5)
    assert opt_r["980nm"] == filter_resolving_power(ptsi)["980nm"] > 5
    write_metadata(folder, {**metadata, "opt_filt_R": {"blue": 7.5}})
    with pytest.raises(DataError, match="opt_filt_R"):
        load_pulse_set(folder)
