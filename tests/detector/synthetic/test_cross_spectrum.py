"""Noise of I and Q together: spectra of known noise, drawing it, keeping it orthogonal to a basis."""

import numpy as np
import pytest

from venom_hw.detector.synthetic.cross_spectrum import (
    adjoint,
    draw_noise,
    multiplicity,
    orthogonal_spectrum,
    positive,
    project,
    resample_spectrum,
    root,
    spectrum_of_covariance,
    spectrum_of_traces,
)


def lagged(n, length, rng):
    """Periodic noise: I white of rms 3, Q the I of two samples before, times 0.8."""
    i = 3 * rng.standard_normal((n, length))
    return np.stack([i, 0.8 * np.roll(i, 2, axis=1)], -1)


def random_spectrum(length, rng):
    half = rng.standard_normal((length // 2 + 1, 2, 2)) + 1j * rng.standard_normal((length // 2 + 1, 2, 2))
    half[multiplicity(length) == 1] = half[multiplicity(length) == 1].real
    return half @ adjoint(half)


def orthonormal(size, number, rng):
    return np.linalg.qr(rng.standard_normal((size, number)))[0]


def dense_covariance(spectrum, length):
    """Covariance (2 L, 2 L) of periodic noise, entry by entry from the definition."""
    lags = np.fft.irfft(spectrum, n=length, axis=0)
    index = (np.arange(length)[:, None] - np.arange(length)) % length
    return lags[index].transpose(0, 2, 1, 3).reshape(2 * length, 2 * length)


@pytest.mark.parametrize("length", [24, 25])
def test_spectrum_of_a_lag_has_its_phase(length):
    spectrum = spectrum_of_traces(lagged(40_000, length, np.random.default_rng(1)))
    frequency = np.fft.rfftfreq(length)
    np.testing.assert_allclose(spectrum[:, 0, 0].real, 9.0, rtol=0.04)
    np.testing.assert_allclose(spectrum[:, 1, 0], 0.8 * 9 * np.exp(-2j * np.pi * 2 * frequency), atol=0.3)
    variance = (multiplicity(length) * spectrum[:, 1, 1].real).sum() / length
    assert abs(variance / (0.64 * 9) - 1) < 0.02


@pytest.mark.parametrize("length", [24, 25])
def test_drawn_noise_is_the_noise_it_was_measured_from(length):
    rng = np.random.default_rng(2)
    spectrum = spectrum_of_traces(lagged(20_000, length, rng))
    drawn = draw_noise(root(spectrum)[None], np.zeros(20_000, int), length, rng)
    assert drawn.shape == (20_000, length, 2) and drawn.dtype == np.float32
    np.testing.assert_allclose(drawn[..., 1], 0.8 * np.roll(drawn[..., 0], 2, axis=1), atol=0.05 * 9)
    np.testing.assert_allclose(drawn.var(axis=0), np.broadcast_to([9.0, 0.64 * 9], (length, 2)), rtol=0.05)
    again = spectrum_of_traces(drawn)
    assert np.linalg.norm(again - spectrum) < 0.02 * np.linalg.norm(spectrum)


def test_each_window_takes_the_spectrum_that_is_named():
    rng, length = np.random.default_rng(3), 16
    roots = np.stack([np.broadcast_to(np.diag(scale), (length // 2 + 1, 2, 2)) for scale in ([1, 2], [10, 0])])
    which = np.tile([0, 1, 1], 4000)
    drawn = draw_noise(roots, which, length, rng)
    np.testing.assert_allclose(drawn[which == 0].std(axis=(0, 1)), [1, 2], rtol=0.02)
    np.testing.assert_allclose(drawn[which == 1].std(axis=(0, 1)), [10, 0], rtol=0.02, atol=1e-6)


@pytest.mark.parametrize("length", [12, 13])
def test_spectrum_of_a_covariance_is_that_of_its_traces(length):
    traces = np.random.default_rng(4).standard_normal((50, length, 2)) @ [[1, 0.5], [0, 2]]
    flat = traces.reshape(50, -1)
    covariance = np.cov(flat, rowvar=False, bias=True)
    np.testing.assert_allclose(spectrum_of_covariance(covariance), spectrum_of_traces(traces), atol=1e-12)


@pytest.mark.parametrize("length", [12, 13])
def test_projection_equals_the_dense_one(length):
    rng = np.random.default_rng(5)
    spectrum, basis = random_spectrum(length, rng), orthonormal(2 * length, 5, rng)
    apart = np.eye(2 * length) - basis @ basis.T
    expected = spectrum_of_covariance(apart @ dense_covariance(spectrum, length) @ apart)
    np.testing.assert_allclose(project(spectrum, basis), expected, atol=1e-12 * np.abs(spectrum).max() * length)


def test_orthogonal_spectrum_repairs_what_the_projection_takes():
    rng, length = np.random.default_rng(6), 40
    t = np.arange(length)
    slow = np.stack([np.cos(np.pi * k * (t + 0.5) / length) for k in range(8)], 1)  # a basis of low frequencies
    basis = np.linalg.qr(np.kron(slow, np.eye(2)))[0]
    target = project(random_spectrum(length, rng), basis)
    found = orthogonal_spectrum(target, basis)
    error = np.linalg.norm(project(found, basis) - target) / np.linalg.norm(target)
    naive = np.linalg.norm(project(target, basis) - target) / np.linalg.norm(target)
    assert error < 2e-3 and naive > 20 * error
    assert np.linalg.eigvalsh(found).min() > -1e-9 * np.linalg.norm(target)


def test_orthogonal_spectrum_of_nothing_is_nothing():
    basis = np.eye(10)
    assert not orthogonal_spectrum(np.zeros((3, 2, 2), complex), basis).any()


def test_root_and_positive_part():
    rng = np.random.default_rng(7)
    spectrum = random_spectrum(20, rng)
    np.testing.assert_allclose(root(spectrum) @ adjoint(root(spectrum)), spectrum, atol=1e-10)
    np.testing.assert_allclose(positive(spectrum), spectrum, atol=1e-10)
    np.testing.assert_allclose(positive(np.diag([3.0, -2.0])[None]), [np.diag([3.0, 0.0])], atol=1e-12)


def test_resampled_spectra_are_linear_in_frequency_and_stay_positive():
    length, target = 20, 50
    frequency = np.fft.rfftfreq(length)
    slope = np.array([[1.0, 0.3 + 0.2j], [0.3 - 0.2j, 2.0]])
    spectrum = (1 + frequency)[:, None, None] * slope
    longer = resample_spectrum(spectrum, length, target)
    wanted = np.maximum(np.fft.rfftfreq(target), frequency[1])  # constant below the lowest bin that is not zero
    np.testing.assert_allclose(longer, (1 + wanted)[:, None, None] * slope, rtol=1e-12)
    assert (np.linalg.eigvalsh(resample_spectrum(random_spectrum(20, np.random.default_rng(8)), 20, 33)) > -1e-9).all()
    assert resample_spectrum(spectrum, length, length) is spectrum
