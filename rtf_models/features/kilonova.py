"""Bolometric light curve of a one-zone r-process kilonova, normalised to its peak.

E' = Q - E / t - L with L = E / (t_diff + t_cross), t_diff = 3 kappa M / (4 pi c v t), t_cross = v t / c: radioactive
heating, adiabatic losses, radiation. Heating 2e10 t_d^-1.3 erg/g/s past the first second, half of it thermalised
at all times (a constant efficiency drops out of the normalised curve). Integrated on 200 times, evenly spaced in
log time, by the integrating factor of the linear equation, so that a whole batch is one cumulative sum.
Source: Metzger 2019, Living Reviews in Relativity 23, 1, section 4 (one zone, one opacity).
"""

from __future__ import annotations

import numpy as np

FIRST_DAY, LAST_DAY, STEPS = 1e-3, 300.0, 200
_SUN_G, _LIGHT_CM_S, _DAY_S = 1.98841e33, 2.99792458e10, 86400.0
_HEATING_INDEX = 1.3
_LOG_TIME = np.linspace(np.log(FIRST_DAY), np.log(LAST_DAY), STEPS)
_TIME_S = np.exp(_LOG_TIME) * _DAY_S
_STEP = _LOG_TIME[1] - _LOG_TIME[0]


def log_luminosity(mass, velocity, opacity) -> np.ndarray:
    """ln of L / max L at the 200 times; mass in suns, velocity in units of c, opacity in cm2/g, all (..., 1)."""
    # d(tE)/dlnt = t^2 Q - tE * t / tau with tau the escape time: no stiff term is left but the escape itself
    diffusion = 3.0 * opacity * mass * _SUN_G / (4.0 * np.pi * _LIGHT_CM_S**2 * velocity * _TIME_S)
    escape = diffusion + velocity * _TIME_S
    rate = _TIME_S / escape
    lost = (
        0.5 * _STEP * (rate + np.concatenate([rate[..., :1], rate[..., :-1]], -1))
    )  # in each step, in e-folds
    factor = np.cumsum(lost, -1)
    # the heat of a step escapes during the step too: exact for constant heating and rate
    source = (2.0 - _HEATING_INDEX) * _LOG_TIME + factor + np.log(-np.expm1(-lost) / lost)
    source[..., 0] = (2.0 - _HEATING_INDEX) * _LOG_TIME[0] - np.log(
        (2.0 - _HEATING_INDEX) * _STEP
    )  # until then
    log_te = np.logaddexp.accumulate(source, -1) - factor
    light = log_te - _LOG_TIME - np.log(escape)
    return light - light.max(-1, keepdims=True)


def kilonova_flux(time, log10_mass, log10_velocity, log10_opacity, t0) -> np.ndarray:
    """Flux (..., n), peak 1, at `time` (n,) days; 0 before t0. Parameters (..., 1)."""
    # mass and opacity enter as their product; fits ask for the same curve many times over, shifted
    shapes, which = np.unique((log10_mass + log10_opacity) + 1j * log10_velocity, return_inverse=True)
    curves = log_luminosity(10.0 ** shapes.real[:, None], 10.0 ** shapes.imag[:, None], 1.0)
    phase = time - t0
    place = (np.log(np.maximum(phase, 1e-9)) - _LOG_TIME[0]) / _STEP
    before = np.clip(place.astype(np.int64), 0, STEPS - 2)
    row = which.reshape(place.shape[:-1])[..., None] * STEPS + before
    low = curves.ravel()[row]
    slope = curves.ravel()[row + 1] - low
    return np.where(phase > 0.0, np.exp(np.minimum(low + slope * (place - before), 0.0)), 0.0)
