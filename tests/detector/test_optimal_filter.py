"""The filter against closed forms, on a toy problem and on simulated pulses."""

import numpy as np
import pytest

from venom_hw.detector import fit_filter_baseline, load_pulse_set, resolving_power_table, stratified_split
from venom_hw.detector.energy_calibration import EnergyCalibration
from venom_hw.detector.noise_spectrum import noise_psd
from venom_hw.detector.optimal_filter import OptimalFilter, make_filter, shift_traces

RATE, LENGTH = 1000.0, 128
T = np.arange(LENGTH)
TEMPLATE = np.where(T >= 10, np.exp(-(T - 10) / 15.0), 0.0)


def white_psd(sigma):
    return np.full(LENGTH // 2 + 1, 2 * sigma**2 / RATE)


def test_psd_of_white_noise_is_its_variance():
    noise = np.random.default_rng(0).normal(0, 0.3, (2000, LENGTH))
    density = noise_psd(noise, RATE, LENGTH)
    np.testing.assert_allclose(density[3:-2], 2 * 0.09 / RATE, rtol=0.12)
    assert abs(density[3:-2].mean() / (2 * 0.09 / RATE) - 1) < 0.01


def test_psd_from_shorter_traces_has_the_window_s_bins():
    noise = np.random.default_rng(0).normal(0, 0.3, (2000, 50))
    density = noise_psd(noise, RATE, LENGTH)
    assert density.shape == (65,) and abs(density.mean() / (2 * 0.09 / RATE) - 1) < 0.05
    with pytest.raises(ValueError, match="at least 8"):
        noise_psd(noise[:, :5], RATE, LENGTH)


def test_amplitude_and_arrival_without_noise():
    f = OptimalFilter.from_template(TEMPLATE, white_psd(0.1), RATE)
    smooth = np.exp(-0.5 * ((T - 40) / 6.0) ** 2)
    g = OptimalFilter.from_template(smooth, white_psd(0.1), RATE)
    np.testing.assert_allclose(f.apply(0.7 * TEMPLATE[None] + 3.0)[0], 0.7, atol=1e-9)  # an offset does not matter
    amplitude, lag = g.apply(2.5 * shift_traces(smooth[None], [-2.3]))
    assert abs(amplitude[0] / 2.5 - 1) < 1e-3 and abs(lag[0] - 2.3) < 0.02


def test_noise_of_the_amplitude_is_the_matched_filter_s():
    """White noise: variance sigma^2 / sum (s - mean s)^2; what scatters is measured, at lag 0."""
    sigma = 0.05
    f = OptimalFilter.from_template(TEMPLATE, white_psd(sigma), RATE)
    expected = sigma**2 / ((TEMPLATE - TEMPLATE.mean()) ** 2).sum()
    assert abs(f.variance / expected - 1) < 1e-9
    noise = np.random.default_rng(1).normal(0, sigma, (20_000, LENGTH))
    measured = f.correlate(TEMPLATE + noise)[:, 9].var()
    assert abs(measured / expected - 1) < 0.03


def test_coloured_noise_is_beaten_by_its_own_filter():
    rng = np.random.default_rng(2)
    colour = 0.02 + 1.0 / np.maximum(np.arange(LENGTH // 2 + 1), 1)
    spectrum = rng.standard_normal((8000, LENGTH // 2 + 1, 2)) @ np.array([1, 1j]) * np.sqrt(colour)
    noise = 0.3 * np.fft.irfft(spectrum, LENGTH)
    own = OptimalFilter.from_template(TEMPLATE, noise_psd(noise, RATE, LENGTH), RATE)
    flat = OptimalFilter.from_template(TEMPLATE, white_psd(0.1), RATE)
    own_var, flat_var = (f.correlate(TEMPLATE + noise)[:, 9].var() for f in (own, flat))
    assert own_var < 0.8 * flat_var
    assert abs(own.variance / own_var - 1) < 0.1


def test_template_is_recovered_from_jittered_pulses():
    rng = np.random.default_rng(3)
    smooth = np.convolve(TEMPLATE, np.hanning(9) / np.hanning(9).sum(), "same")
    pulses = shift_traces(np.repeat(smooth[None], 2000, 0), rng.uniform(-0.5, 0.5, 2000))
    pulses = pulses + rng.normal(0, 0.05, pulses.shape)
    f = make_filter(pulses, white_psd(0.05), RATE, n_pre=10)
    np.testing.assert_allclose(f.template, smooth / smooth.max(), atol=0.03)


def test_wrong_shapes_are_refused():
    with pytest.raises(ValueError, match="psd"):
        OptimalFilter.from_template(TEMPLATE, np.ones(4), RATE)
    f = OptimalFilter.from_template(TEMPLATE, white_psd(0.1), RATE)
    with pytest.raises(ValueError, match="expected 128"):
        f.apply(np.zeros((2, 100)))


def test_calibration_goes_through_zero_and_the_lines():
    energy = np.array([0.9, 1.1, 1.3, 1.5])
    response = np.tanh(energy)
    calibration = EnergyCalibration(response, energy)
    np.testing.assert_allclose(calibration(np.r_[0, response]), np.r_[0, energy], atol=1e-12)
    inside = np.linspace(0.95, 1.45, 11)
    np.testing.assert_allclose(calibration(np.tanh(inside)), inside, atol=0.01)
    beyond = calibration(response[-1] + np.array([0.01, 0.02]))
    assert abs(np.diff(beyond, n=1)[0] - (beyond[0] - 1.5)) < 1e-9  # straight beyond the last line
    with pytest.raises(ValueError, match="rise"):
        EnergyCalibration([0.5, 0.4], [1.0, 2.0])


@pytest.fixture(scope="module")
def ptsi(ptsi_folder):
    return load_pulse_set(ptsi_folder)


def test_simulated_ptsi_has_the_shared_filter_of_the_target(ptsi):
    """12.2 in eV on held-out pulses; 5 % from the preset's tuning, the rest for 3,500 pulses."""
    train, val = stratified_split(ptsi.wl_ids, 0.5, seed=0)
    estimate = fit_filter_baseline(ptsi, train).predict(ptsi.counts[val])
    table = resolving_power_table({"OF": estimate}, ptsi.energies[val], ptsi.wl_ids[val], ptsi.wl_labels, n_boot=20)
    assert abs(table.mean("OF").value / 12.2 - 1) < 0.12
    assert np.abs(table.bias["OF"]).max() < 0.02


def test_per_wavelength_filters_need_labels_and_calibrate(ptsi):
    baseline = fit_filter_baseline(ptsi, np.arange(len(ptsi)), per_wavelength=True)
    assert len(baseline.filters) == 5 and not baseline.shared
    with pytest.raises(ValueError, match="wl_ids"):
        baseline.predict(ptsi.counts)
    estimate = baseline.predict(ptsi.counts, ptsi.wl_ids)
    for k in range(5):
        rows = ptsi.wl_ids == k
        assert abs(np.median(estimate[rows]) / ptsi.energies[rows][0] - 1) < 0.01


def test_training_pulses_alone_make_the_baseline(ptsi):
    """Held-out pulses must not move it."""
    train, val = stratified_split(ptsi.wl_ids, 0.3, seed=0)
    spoilt = ptsi.counts.copy()
    spoilt[val] = 0
    other = type(ptsi)(**{**vars(ptsi), "counts": spoilt})
    a, b = (fit_filter_baseline(p, train).predict(ptsi.counts[val]) for p in (ptsi, other))
    assert np.array_equal(a, b)
