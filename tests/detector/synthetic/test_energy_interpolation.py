"""Means and covariances between the lines."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.interpolate import CubicSpline, PchipInterpolator

from venom_hw.detector.synthetic.energy_interpolation import CholeskyPath, LineSpline

LINES = np.array([0.95, 1.1, 1.5, 2.4, 4.9])
FINE = np.geomspace(LINES[0] / 1.05, LINES[-1] * 1.05, 400)


def random_factors(seed, lines=5, size=6, decades=3.0):
    """Cholesky factors of covariances with eigenvalues over many decades, each turned its own way."""
    rng = np.random.default_rng(seed)
    vectors = np.linalg.qr(rng.standard_normal((lines, size, size)))[0]
    values = 10 ** rng.uniform(-decades, decades, (lines, size))
    return np.linalg.cholesky((vectors * values[:, None, :]) @ vectors.swapaxes(1, 2))


def test_spline_is_that_of_scipy_in_log_energy():
    values = np.random.default_rng(0).standard_normal((5, 3))
    inside = FINE[(FINE >= LINES[0]) & (FINE <= LINES[-1])]
    expected = CubicSpline(np.log(LINES), values)(np.log(inside))
    weights = LineSpline(LINES).weights(inside)
    np.testing.assert_allclose(weights @ values, expected, atol=1e-12)
    np.testing.assert_allclose(weights.sum(axis=1), 1.0)


def test_spline_knows_cubics_and_goes_through_the_lines():
    x = np.log(FINE)
    weights = LineSpline(LINES).weights(FINE)
    cubic = np.polynomial.Polynomial([1.0, -2.0, 0.5, 0.3])
    ends = np.clip(x, *np.log(LINES[[0, -1]]))
    expected = cubic(ends) + cubic.deriv()(ends) * (x - ends)  # straight on beyond the lines
    np.testing.assert_allclose(weights @ cubic(np.log(LINES)), expected, atol=1e-12)
    assert (x != ends).sum() > 10
    np.testing.assert_allclose(LineSpline(LINES).weights(LINES), np.eye(5), atol=1e-12)
    np.testing.assert_allclose(LineSpline(LINES[:2]).weights([LINES[1] * LINES[1] / LINES[0]]), [[-1, 2]], atol=1e-12)


@pytest.mark.parametrize("lines", [2, 3, 5])
def test_covariances_at_the_lines_are_the_lines_own(lines):
    factors = random_factors(1, lines)
    path = CholeskyPath(LINES[:lines], factors)
    for number, energy in enumerate(LINES[:lines]):
        expected = factors[number] @ factors[number].T
        np.testing.assert_allclose(path.covariance(energy), expected, rtol=1e-9, atol=1e-9 * np.abs(expected).max())


@settings(max_examples=25)
@given(st.integers(0, 10**6))
def test_covariances_are_positive_definite_at_every_energy(seed):
    path = CholeskyPath(LINES, random_factors(seed))
    least = np.exp(path.log_diagonal(path.knots)).min()
    for energy in FINE[::9]:
        factor = path.factor(energy)
        assert np.diag(factor).min() >= least * (1 - 1e-9)  # shape-preserving: never below the lines' own
        np.linalg.cholesky(path.covariance(energy) + 1e-12 * np.eye(6))


@settings(max_examples=25)
@given(st.integers(0, 10**6))
def test_factors_keep_between_those_of_the_neighbouring_lines(seed):
    factors = random_factors(seed)
    path = CholeskyPath(LINES, factors)
    for number in range(len(LINES) - 1):
        low, high = np.sort(factors[number:number + 2], axis=0)
        slack = 1e-9 * np.abs(factors).max()
        for energy in np.geomspace(LINES[number], LINES[number + 1], 7):
            factor = path.factor(energy)
            assert (factor >= low - slack).all() and (factor <= high + slack).all()


def test_interpolating_the_covariances_themselves_would_not_stay_positive():
    negative = 0
    for seed in range(20):
        factors = random_factors(seed)
        plain = PchipInterpolator(np.log(LINES), factors @ factors.swapaxes(1, 2))
        values = np.linalg.eigvalsh(plain(np.log(np.clip(FINE, LINES[0], LINES[-1]))))
        negative += (values[:, 0] < -1e-6 * values[:, -1]).any()
    assert negative > 0


def test_scaled_covariances_are_interpolated_geometrically_and_without_overshoot():
    scale = np.array([1.0, 1.0, 4.0, 9.0, 9.0])
    path = CholeskyPath(LINES, np.sqrt(scale)[:, None, None] * np.eye(2))
    found = np.array([path.covariance(e)[0, 0] for e in FINE])
    expected = np.exp(PchipInterpolator(np.log(LINES), np.log(scale))(np.clip(np.log(FINE), *np.log(LINES[[0, -1]]))))
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    assert (np.diff(found) >= -1e-9).all() and found.max() <= 9 + 1e-9


def test_beyond_the_lines_the_outermost_covariance_stays():
    path = CholeskyPath(LINES, random_factors(3))
    for energy, line in ((LINES[0] / 1.05, LINES[0]), (LINES[-1] * 1.05, LINES[-1])):
        np.testing.assert_allclose(path.covariance(energy), path.covariance(line))


def test_shape_applies_the_factor_of_each_energy():
    path = CholeskyPath(LINES, random_factors(4, decades=1.0))
    rng = np.random.default_rng(5)
    energies = np.concatenate([LINES, rng.permutation(FINE)])
    normal = rng.standard_normal((len(energies), 6)).astype(np.float32)
    expected = np.stack([path.factor(e) @ z for e, z in zip(energies, normal, strict=True)])
    found = path.shape(energies, normal)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=2e-5 * np.abs(expected).max())
