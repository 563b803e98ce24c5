"""Shapes, spectra and statistics of simulated pulses."""

import dataclasses

import numpy as np
import pytest
from scipy.signal import welch

from venom_hw.detector.noise import (
    amplifier_noise,
    phase_psd,
    tls_autocovariance,
    tls_noise,
    tone_noise,
    tone_power,
)
from venom_hw.detector.presets import PRESETS
from venom_hw.detector.quasiparticles import pulse_shape, scatter_energy
from venom_hw.detector.simulator import clean_response, phase, simulate_line

PTSI, INHF = PRESETS["ptsi"], PRESETS["inhf"]


def quiescent_phase(preset, n=1000, seed=5):
    traces = simulate_line(preset, 0.0, n, seed)
    z = (traces.i_trace + 1j * traces.q_trace.astype(np.float32)).astype(np.complex64)
    return phase(preset, z).astype(float)


@pytest.mark.parametrize("preset", PRESETS.values(), ids=list(PRESETS))
def test_noise_has_the_spectrum_it_says(preset):
    """Up to the Nyquist frequency, besides the line tones and the lowest bins, where the window of Welch leaks."""
    f, density = welch(quiescent_phase(preset), preset.sample_rate_hz, nperseg=preset.n_samples)
    ratio = density.mean(axis=0)[6:-1] / phase_psd(preset, f[6:-1])
    for tone, _ in preset.line_tones:
        ratio = np.where(np.abs(f[6:-1] - tone) < 4 * f[1], 1.0, ratio)
    np.testing.assert_allclose(ratio, 1.0, atol=0.2)
    assert abs(ratio.mean() - 1) < 0.02
    for third in np.array_split(ratio, 3):  # a wrong slope or pole shows at one end
        assert abs(third.mean() - 1) < 0.03


@pytest.mark.parametrize("preset", PRESETS.values(), ids=list(PRESETS))
def test_a_line_tone_has_the_power_it_says(preset):
    """A tone's variance is its excess over the continuum, over the bins that the Hann window spreads it to."""
    f, density = welch(quiescent_phase(preset), preset.sample_rate_hz, nperseg=preset.n_samples)
    density = density.mean(axis=0)
    assert preset.line_tones
    for frequency, variance in tone_power(preset):
        near = np.abs(f - frequency) < 4 * f[1]
        beside = (np.abs(f - frequency) < 12 * f[1]) & ~near
        continuum = phase_psd(preset, f[near]) * np.mean(density[beside] / phase_psd(preset, f[beside]))
        excess = (density[near] - continuum).sum() * f[1]
        assert abs(excess / variance - 1) < 0.1


def test_tones_have_a_random_phase_and_their_rms():
    noise = tone_noise(PTSI, 4000, 1000, np.random.default_rng(0)) * 4 * PTSI.q
    rms = np.sqrt(sum(r**2 for _, r in PTSI.line_tones))
    np.testing.assert_allclose(noise.std(axis=0), rms, rtol=0.08)  # at each sample: no phase is preferred
    assert abs(noise.mean()) < 0.02 * rms


def test_amplifier_noise_is_stationary_from_the_first_sample():
    z = amplifier_noise(PTSI, 20_000, 12, np.random.default_rng(3))
    for part in (z.real, z.imag):
        spread = part.var(axis=0)
        np.testing.assert_allclose(spread, spread.mean(), rtol=0.05)
        first, later = (np.corrcoef(part[:, k], part[:, k + 1])[0, 1] for k in (0, 10))
        assert abs(first - later) < 0.03


def test_autocovariance_is_that_of_the_noise():
    rng = np.random.default_rng(4)
    noise = tls_noise(PTSI, 6000, 1000, rng) + tone_noise(PTSI, 6000, 1000, rng)
    expected = tls_autocovariance(PTSI)
    for lag in (0, 1, 8, 17, 100, 900):
        found = np.mean(noise[:, :100] * noise[:, lag:lag + 100], dtype=float)
        assert abs(found / expected[0] - expected[lag] / expected[0]) < 0.03


def test_tls_noise_falls_as_one_over_f():
    noise = tls_noise(PTSI, 800, 1000, np.random.default_rng(0))
    f, density = welch(noise.astype(float), PTSI.sample_rate_hz, nperseg=1000)
    slope = np.polyfit(np.log(f[6:400]), np.log(density.mean(0)[6:400]), 1)[0]
    assert abs(slope + 1) < 0.03


def test_mean_pulse_phases_are_strongly_non_linear():
    low, high = (phase(PTSI, clean_response(PTSI, 1239.84 / w))[0].max() for w in (1310.0, 808.0))
    assert 1.9 < low < high < 2.7
    assert high / low < 1.35  # for 62 % more energy


def test_early_decay_is_faster_and_faster_for_more_energy():
    t = np.linspace(0, 200e-6, 2001)[None]
    early = []
    for energy in (0.95, 1.5):
        n = pulse_shape(PTSI, energy, t, PTSI.hotspot_fraction)[0]
        rate = -np.gradient(np.log(n[1:]), t[0][1] - t[0][0])
        assert rate[150] > 1.1 * rate[-10]
        assert abs(1 / rate[-10] / PTSI.tau_s - 1) < 0.05
        early.append(rate[150])
    assert early[1] > 1.03 * early[0]


def test_energy_scatter_is_the_fano_and_site_floor():
    energy = scatter_energy(PTSI, np.full(200_000, 1.2), np.random.default_rng(1))
    expected = np.sqrt(PTSI.fano_ev * 1.2 + (PTSI.site_scatter * 1.2) ** 2)
    assert abs(energy.std() / expected - 1) < 0.01
    assert abs(energy.mean() - 1.2) < 3 * expected / np.sqrt(200_000)


def test_arrival_shifts_a_pulse_by_a_fraction_of_a_sample(quiet_ptsi):
    a, b = (clean_response(quiet_ptsi, 1.2, arrival=s)[0] for s in (0.0, 1.0))
    np.testing.assert_allclose(b[1:], a[:-1], atol=2.0)
    half = clean_response(quiet_ptsi, 1.2, arrival=0.5)[0]
    rising = quiet_ptsi.arrival_index + 2
    assert np.angle(b[rising] / a[0]) * np.angle(half[rising] / a[0]) > 0
    assert abs(np.angle(b[rising] / a[0])) < abs(np.angle(half[rising] / a[0])) < abs(np.angle(a[rising] / a[0]))


@pytest.mark.parametrize("preset", PRESETS.values(), ids=list(PRESETS))
def test_counts_fit_int16_with_room(preset):
    traces = simulate_line(preset, 1239.84 / preset.wavelengths_nm[0], 300, seed=2)
    assert traces.i_trace.dtype == np.int16 and traces.i_trace.shape == (300, preset.n_samples)
    reach = max(np.abs(traces.i_trace.astype(int)).max(), np.abs(traces.q_trace.astype(int)).max())
    assert 6000 < reach < 16000


def test_same_seed_same_traces_and_a_longer_run_begins_with_the_shorter():
    short, again, long = (simulate_line(PTSI, 1.1, n, seed=9) for n in (30, 30, 700))
    other = simulate_line(PTSI, 1.1, 30, seed=10)
    assert np.array_equal(short.i_trace, again.i_trace) and np.array_equal(short.i_trace, long.i_trace[:30])
    assert not np.array_equal(short.i_trace, other.i_trace)
    assert not np.array_equal(long.i_trace[:200], long.i_trace[500:])  # chunks have their own noise


def test_piled_up_traces_are_flagged():
    crowded = dataclasses.replace(PTSI, pileup_fraction=0.3)
    traces = simulate_line(crowded, 1.2, 400, seed=4)
    assert 0.2 < 1 - traces.mask.mean() < 0.4
    late = slice(900, None)  # two decay times after the only photon of a good trace
    z = (traces.i_trace + 1j * traces.q_trace.astype(np.float32)).astype(np.complex64)
    end = phase(crowded, z)[:, late].mean(axis=1)
    assert end[~traces.mask].std() > 3 * end[traces.mask].std()


def test_peak_heights_rise_with_energy_and_are_negative():
    medians = [np.median(simulate_line(PTSI, e, 200, seed=1).peak_heights) for e in (0.95, 1.2, 1.5)]
    assert 0 > medians[0] > medians[1] > medians[2]
