"""The batched Levenberg-Marquardt against SciPy's, and at its bounds."""

import numpy as np
import pytest
from scipy.optimize import least_squares as scipy_least_squares

from rtf_models.features import MODELS
from rtf_models.features.least_squares import least_squares

BAZIN = MODELS["Bazin"]
TIME = np.linspace(-20, 80, 35)
TRUTH = np.array([0.4, 0.02, 5.0, np.log(4.0), np.log(22.0)])
LOW, HIGH = np.array(BAZIN.low), np.array(BAZIN.high)


def noisy(seed):
    error = np.full(len(TIME), 0.03)
    return BAZIN.flux(TIME, TRUTH) + np.random.default_rng(seed).normal(0, error), error


def fit(starts, flux, error, low=LOW, high=HIGH, iterations=60):
    size = (len(starts), 1)
    return least_squares(
        lambda p: BAZIN.flux(TIME, p), starts, np.tile(low, size), np.tile(high, size), flux, error,
        iterations=iterations, tolerance=1e-9,
    )  # fmt: skip


@pytest.mark.parametrize("seed", range(3))
def test_same_minimum_as_scipy(seed):
    flux, error = noisy(seed)
    start = TRUTH + [0.3, -0.02, -3.0, 0.4, -0.5]
    found, chi2 = fit(np.stack([start, start + 0.05]), flux, error)
    width = 0.5 * (HIGH - LOW)

    def residual(p):  # with the same weak priors
        return np.concatenate([(BAZIN.flux(TIME, p) - flux) / error, (p - LOW - width) / width])

    theirs = scipy_least_squares(residual, start, bounds=(LOW, HIGH), xtol=1e-12, ftol=1e-12)
    for row in found:
        np.testing.assert_allclose(row, theirs.x, atol=2e-3)
    np.testing.assert_allclose(chi2, ((BAZIN.flux(TIME, theirs.x) - flux) ** 2 / error**2).sum(), rtol=1e-5)


def test_each_fit_of_a_batch_is_its_own():
    flux, error = noisy(9)
    starts = TRUTH + np.random.default_rng(0).normal(0, 0.3, (5, 5))
    together, _ = fit(starts, flux, error, iterations=6)
    for k, start in enumerate(starts):
        alone, _ = fit(start[None], flux, error, iterations=6)
        np.testing.assert_allclose(together[k], alone[0], atol=1e-5)


def test_bounds_hold_and_chi_squared_never_rises():
    flux, error = noisy(1)
    low, high = LOW.copy(), HIGH.copy()
    high[4] = np.log(10.0)  # the truth is 22 days
    start = np.array([[0.0, 0.0, 0.0, 1.0, 1.5]])
    found, chi2 = fit(start, flux, error, low, high)
    assert found[0, 4] == pytest.approx(np.log(10.0))
    theirs = scipy_least_squares(lambda p: (BAZIN.flux(TIME, p) - flux) / error, start[0], bounds=(low, high))
    assert chi2[0] == pytest.approx(2 * theirs.cost, rel=1e-3)


def test_fewer_points_than_parameters_still_give_an_answer():
    found, chi2 = least_squares(
        lambda p: BAZIN.flux(TIME[:2], p), TRUTH[None] + 0.5, LOW[None], HIGH[None], np.array([0.2, 0.3]),
        np.array([0.01, 0.01]), iterations=40,
    )  # fmt: skip
    assert np.isfinite(found).all()
    assert chi2[0] < 1.0
