"""The bound against closed forms, and against estimators on simulated pulses."""

import dataclasses

import numpy as np
import pytest
from scipy.linalg import cho_factor, cho_solve
from scipy.signal import lfilter

from venom_hw.detector import (
    PRESETS,
    Window,
    fit_filter_baseline,
    generate_folder,
    load_pulse_set,
    photon_energy,
    resolving_power_bound,
)
from venom_hw.detector.cramer_rao import (
    FWHM_PER_SIGMA,
    amplifier_covariance,
    default_window,
    energy_bound,
    line_bounds,
    local_model,
    window_operator,
)
from venom_hw.detector.decimation import antialias
from venom_hw.detector.noise import amplifier_noise, tls_noise, tone_noise
from venom_hw.detector.simulator import clean_response

PTSI = PRESETS["ptsi"]
NO_FLOOR = dict(fano_ev=0.0, site_scatter=0.0, pileup_fraction=0.0)
LINEAR = dataclasses.replace(  # small signals in white noise
    PTSI, shift_per_ev=2e-8, loss_ratio=0.0, swenson_a=0.0, asymmetry=0.0, recombination=0.0, hotspot_fraction=0.0,
    hotspot_scatter=0.0, tls_at_1hz=1e-30, line_tones=(), readout_bandwidth_hz=None, white_phase_psd=1e-9, **NO_FLOOR)


def linear_template(preset, window, start):
    """Counts per eV, (n_samples,): 4 Q x in phase on a circle, after the ring-down, written out independently."""
    t = (np.arange(preset.n_samples) - preset.arrival_index) / preset.sample_rate_hz
    t = np.maximum(t, 0)
    n = (1 - np.exp(-t / preset.tau_rise_s)) * np.exp(-t / preset.tau_s)
    pole = np.exp(-1 / (preset.sample_rate_hz * preset.ring_time_s))
    phase = lfilter([1 - pole], [1, -pole], 4 * preset.q * preset.shift_per_ev * n)
    return (preset.counts_per_unit * preset.loop_radius * phase)[start:start + window.length]


def test_linear_white_limit_is_the_matched_filter():
    """sigma_E^2 = sigma^2 / (s.s) with the arrival known; unknown: its component along s' does not count."""
    window = Window(2e6, 40, 250, 46.4e-6, 5.0, 1)
    start = int(np.argmax(window_operator(LINEAR, 1.2, window)[0]))
    sigma2 = (LINEAR.counts_per_unit * LINEAR.loop_radius) ** 2 * LINEAR.white_phase_psd * 1e6 + 1 / 12 + 1 / 12
    s = linear_template(LINEAR, window, start)
    slope = np.gradient(s)
    bound = energy_bound(LINEAR, 1.2, window)
    assert abs(bound.known_nuisances / np.sqrt(sigma2 / (s @ s)) - 1) < 1e-3
    free = s @ s - (s @ slope) ** 2 / (slope @ slope)
    assert abs(bound.noise / np.sqrt(sigma2 / free) - 1) < 0.02
    assert bound.floor == 0
    assert abs(resolving_power_bound(LINEAR, 1.2, window) * FWHM_PER_SIGMA * bound.noise / 1.2 - 1) < 1e-9


def test_floor_adds_in_quadrature():
    with_floor = dataclasses.replace(PTSI, fano_ev=4e-4, site_scatter=0.01)
    without = dataclasses.replace(PTSI, **NO_FLOOR)
    a, b = energy_bound(with_floor, 1.2), energy_bound(without, 1.2)
    assert a.noise == b.noise and abs(a.floor**2 - (4e-4 * 1.2 + 0.012**2)) < 1e-12
    assert abs(a.sigma**2 - (b.sigma**2 + a.floor**2)) < 1e-12


def test_less_is_known_from_less():
    full = energy_bound(PTSI, 1.2)
    assert full.known_nuisances < full.noise
    window = default_window(PTSI)
    short = energy_bound(PTSI, 1.2, dataclasses.replace(window, length=40))
    noisy = energy_bound(dataclasses.replace(PTSI, tls_at_1hz=4 * PTSI.tls_at_1hz), 1.2)
    sites = energy_bound(dataclasses.replace(PTSI, hotspot_scatter=10 * PTSI.hotspot_scatter), 1.2)
    assert min(short.noise, noisy.noise, sites.noise) > 1.02 * full.noise


def test_operator_is_the_loader_s_filter_and_cut():
    window = default_window(PTSI)
    operator = window_operator(PTSI, 1.2, window)
    trace = np.random.default_rng(0).normal(size=PTSI.n_samples)
    first = int(np.argmax(operator[0]))
    expected = antialias(trace, 4)[first:first + 4 * window.length:4]
    np.testing.assert_allclose(operator @ trace, expected, atol=1e-12)
    with pytest.raises(ValueError, match="2e\\+06 Hz"):
        window_operator(PTSI, 1.2, Window(200e3, 10, 426, 416e-6, 5.0, 4))


@pytest.fixture(scope="module")
def pulses():
    """Windows of simulated photons of 1.2 eV that arrive with a sample, cut where `local_model` says; and that model.

    (An estimator that knows nothing of the arrival may still be tried on one arrival; a whole sample's scatter on the
    steep edge would take it out of the linear range.)"""
    preset = dataclasses.replace(PTSI, **NO_FLOOR)
    model = local_model(preset, 1.2, default_window(preset))
    rng, n = np.random.default_rng(8), 2500
    hotspot = preset.hotspot_fraction + preset.hotspot_scatter * rng.standard_normal(n)
    shift = tls_noise(preset, n, preset.n_samples, rng) + tone_noise(preset, n, preset.n_samples, rng)
    z = clean_response(preset, np.full(n, 1.2), 0.0, hotspot, shift)
    z = z + amplifier_noise(preset, n, preset.n_samples, rng) * np.complex64(preset.counts_per_unit)
    y = np.concatenate([np.rint(part).astype(np.float32) @ model.operator.T.astype(np.float32)
                        for part in (z.real, z.imag)], axis=1)
    return preset, model, np.rint(y)


def test_mean_and_covariance_are_the_simulator_s(pulses):
    _, model, y = pulses
    sites = np.outer(model.slopes[:, 2], model.slopes[:, 2]) / model.prior[2]
    expected = model.covariance + sites
    np.testing.assert_allclose(y.var(axis=0), np.diag(expected), rtol=0.25)
    assert abs(np.mean(y.var(axis=0) / np.diag(expected)) - 1) < 0.03
    scale = np.sqrt(np.outer(np.diag(expected), np.diag(expected)))
    assert np.abs((np.cov(y.T) - expected) / scale).max() < 0.15
    # the mean moves by half a standard deviation at most, where noise is rectified by the loop's curvature
    assert np.abs((y.mean(axis=0) - model.mean) / np.sqrt(np.diag(expected))).max() < 0.5


def test_best_estimator_in_simulation_reaches_the_bound_and_does_not_beat_it(pulses):
    """One step of maximum likelihood from the true point, with the model's own covariance: unbiased, and efficient
    only if mean, covariance and bound are those of the simulation. A covariance too large would be beaten."""
    preset, model, y = pulses
    factor = cho_factor(model.covariance)
    information = model.slopes.T @ cho_solve(factor, model.slopes) + np.diag(model.prior)
    step = np.linalg.solve(information, model.slopes.T @ cho_solve(factor, (y - y.mean(axis=0)).T))
    bound = energy_bound(preset, 1.2)
    ratio = step[0].std() / bound.noise
    assert 0.96 < ratio < 1.08  # 1.4 % is the sampling error of 2,500 pulses


def test_a_bound_from_a_wrong_covariance_is_beaten(pulses):
    """The comparison above can fail: with the noise doubled the estimator is far below the bound."""
    preset, model, y = pulses
    wrong = energy_bound(dataclasses.replace(preset, tls_at_1hz=4 * preset.tls_at_1hz), 1.2)
    factor = cho_factor(model.covariance)
    information = model.slopes.T @ cho_solve(factor, model.slopes) + np.diag(model.prior)
    step = np.linalg.solve(information, model.slopes.T @ cho_solve(factor, (y - y.mean(axis=0)).T))
    assert step[0].std() < 0.9 * wrong.noise


def test_filters_stay_below_the_bound(tmp_path):
    preset = dataclasses.replace(PTSI, **NO_FLOOR)
    generate_folder(preset, tmp_path, 400, 5)
    pulses = load_pulse_set(tmp_path, peak_sigma=0)
    rows = np.arange(len(pulses))
    for kind in ("shared", "per_wavelength", "iq"):
        energy = fit_filter_baseline(pulses, rows[::2], kind=kind).predict(pulses.counts, pulses.wl_ids)
        for line, wavelength in enumerate(sorted(preset.wavelengths_nm)):
            mine = rows[(pulses.wl_ids == line) & (rows % 2 == 1)]
            # a biased (flattening) estimate would be no unbiased estimator: refer the scatter to the local slope
            assert abs(np.median(energy[mine]) - photon_energy(wavelength)) < 0.03
            assert energy[mine].std() > 0.93 * energy_bound(preset, float(photon_energy(wavelength))).noise


def test_amplifier_noise_of_the_window_is_what_the_chain_makes_of_it():
    operator = window_operator(PTSI, 1.2, default_window(PTSI))
    covariance = amplifier_covariance(PTSI, operator)
    assert np.linalg.eigvalsh(covariance).min() > 0
    white = (PTSI.loop_radius * PTSI.counts_per_unit) ** 2 * PTSI.white_phase_psd * PTSI.sample_rate_hz / 2
    assert 0.05 * white < covariance[5, 5] < 0.3 * white  # a quarter of the band, less the readout's roll-off


@pytest.mark.slow
def test_bounds_of_both_presets():
    """The numbers of the documents: mean over the lines 20.5 (ptsi) and 34.2 (inhf)."""
    for name, mean in (("ptsi", 20.5), ("inhf", 34.2)):
        bounds = line_bounds(PRESETS[name])
        assert abs(np.mean([b.resolving_power for b in bounds.values()]) / mean - 1) < 0.01
