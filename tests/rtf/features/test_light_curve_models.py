"""The analytic models against hand calculation, limits and an independent integration."""

import warnings
from math import exp, log

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from rtf_models.features import MODELS
from rtf_models.features.kilonova import FIRST_DAY, LAST_DAY, STEPS, log_luminosity


def sigmoid(x):
    return 1 / (1 + exp(-x))


def soft(x):
    return log(1 + exp(x)) + 1e-6


T = 12.5  # days; t0 = 3 everywhere
BY_HAND = {
    "Bazin": ((log(2), 0.1, 3, log(4), log(20)), 2 * exp(-9.5 / 20) * sigmoid(9.5 / 4) + 0.1),
    "Tde": ((log(2), 0.1, 3, log(4), log(20), 1.5), 2 * sigmoid(9.5 / 4) * (1 + soft(9.5) / 20) ** -1.5 + 0.1),
    "Arnett": (
        (log(2), 3, log(10), 0.5),
        2 * (sigmoid(0.5) * exp(-soft(9.5) / 8.8) + (1 - sigmoid(0.5)) * exp(-soft(9.5) / 111.3))
        * (1 - exp(-((soft(9.5) / 10) ** 2))),
    ),
    "Magnetar": (
        (log(2), 3, log(15), log(10)), 2 * (1 + soft(9.5) / 15) ** -2 * (1 - exp(-((soft(9.5) / 10) ** 2))),
    ),
    "ShockCooling": (
        (log(2), 3, 0.7, log(25)), 2 * sigmoid(5 * 9.5) * soft(9.5) ** -0.7 * exp(-((soft(9.5) / 25) ** 2)),
    ),
    "Afterglow": (
        (log(2), 3, log(5), 0.4, 1.6), 2 * ((soft(9.5) / 5) ** 0.8 + (soft(9.5) / 5) ** 3.2) ** -0.5,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BY_HAND)
def test_formula_by_hand(name):
    parameters, expected = BY_HAND[name]
    assert MODELS[name].flux([T], parameters)[0] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("time", [5.0, 12.0, 40.0])
def test_villar_before_and_after_its_plateau(time):
    amplitude, beta, gamma, t0, rise, fall = 2.0, 0.01, 9.0, 3.0, 4.0, 20.0
    phase = time - t0
    late = sigmoid(10 * (phase - gamma))
    blend = (1 - late) * (1 - beta * phase) + late * (1 - beta * gamma) * exp((gamma - phase) / fall)
    expected = amplitude * sigmoid(phase / rise) * blend
    found = MODELS["Villar"].flux([time], (log(amplitude), beta, log(gamma), t0, log(rise), log(fall)))[0]
    assert found == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_finite_everywhere_in_the_bounds_and_no_warning(model):
    rng = np.random.default_rng(3)
    low, high = np.array(model.low), np.array(model.high)
    parameters = low + (high - low) * rng.random((400, len(low)))
    time = np.concatenate([np.linspace(-150, 300, 40), [model.low[model.parameters.index("t0")]]])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        flux = model.flux(time, parameters)
    assert flux.shape == (400, 41)
    assert np.isfinite(flux).all()
    rows = [model.flux(time, parameters[k]) for k in (0, 399)]
    np.testing.assert_array_equal(flux[[0, 399]], rows)


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_trailing_scatter_changes_nothing_and_other_lengths_are_refused(model):
    parameters = [0.5 * (a + b) for a, b in zip(model.low, model.high, strict=True)]
    time = np.linspace(-10, 50, 7)
    np.testing.assert_array_equal(model.flux(time, parameters), model.flux(time, [*parameters, -3.0]))
    with pytest.raises(ValueError, match=f"{model.name} takes {len(parameters)} parameters"):
        model.flux(time, [*parameters, -3.0, 1.0])
    with pytest.raises(ValueError, match="optionally the log extra scatter, not 0"):
        model.flux(time, 1.0)


@pytest.mark.parametrize(
    ("mass", "velocity", "opacity"), [(0.03, 0.1, 1.0), (0.3, 0.5, 100.0), (0.01, 0.3, 10.0)]
)
def test_kilonova_against_an_ode_solver(mass, velocity, opacity):
    day, sun, light = 86400.0, 1.98841e33, 2.99792458e10
    log_t = np.linspace(log(FIRST_DAY), log(LAST_DAY), STEPS)

    def escape(log_time):
        t = np.exp(log_time) * day
        return 3 * opacity * mass * sun / (4 * np.pi * light**2 * velocity * t) + velocity * t

    def growth(x, y):  # y = ln(t E): d(tE)/dln t = t^2 Q - tE t / tau, Q = t^-1.3
        return [np.exp(0.7 * x - y[0]) - np.exp(x) * day / escape(x)]

    begin = log_t[0] - 4
    answer = solve_ivp(
        growth, (begin, log_t[-1]), [0.7 * begin - log(0.7)], t_eval=log_t, method="LSODA", rtol=1e-8
    )
    expected = answer.y[0] - log_t - np.log(escape(log_t))
    found = log_luminosity(*(np.array([x]) for x in (mass, velocity, opacity)))
    late = log_t > log(0.1)
    np.testing.assert_allclose(found[late], (expected - expected.max())[late], atol=0.03)


def test_kilonova_is_dark_before_and_peaks_at_one():
    time = np.concatenate([[-5.0, 0.0], np.geomspace(0.01, 200, 3000)])
    flux = MODELS["MetzgerKN"].flux(time, [-1.5, -1.0, 0.5, 0.0])
    assert (flux[:2] == 0).all()
    assert flux.max() == pytest.approx(1.0, abs=2e-3)
    slow = MODELS["MetzgerKN"].flux(time, [-1.5, -1.0, 1.5, 0.0])
    assert time[slow.argmax()] > 2 * time[flux.argmax()]  # ten times the opacity: about sqrt(10) later
