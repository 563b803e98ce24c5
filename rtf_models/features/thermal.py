"""Temperature of a cooling blackbody from measured colours: the thermal_* features.

Colours are differences of two bands' detections no more than 1.5 days apart (each g or i detection with the nearest
r one; g with i where there is no r). log10 T = log_temp_peak + cooling_rate * (t - t of the brightest detection of the
reference band), fitted to them by Gauss-Newton with weak priors (log T 3.9 +- 0.5, rate 0 +- 0.05 a day).

    log_temp_peak, cooling_rate   kelvin, dex a day; *_err from the curvature
    chi2                          per colour; n_color_obs of them, n_bands_used bands in them

With all colours within a day the rate is missing, and log_temp_peak is the temperature then.
"""

from __future__ import annotations

import numpy as np

from .blackbody import HIGHEST_LOG_TEMPERATURE, LOWEST_LOG_TEMPERATURE, magnitude_slopes, magnitudes
from .photometry import Photometry

PAIR_DAYS = 1.5
ERROR_FLOOR = 0.03
_CENTRE, _WIDTH = np.array([3.9, 0.0]), np.array([0.5, 0.05])
_STEPS = 8
_PAIRS = ((0, 1), (2, 1), (0, 2))


def colour_pairs(photometry: Photometry) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(times, blue band, red band, colour blue - red, error), each (m,)."""
    rows = []
    for first, second in _PAIRS:
        a, b = photometry.bands[first], photometry.bands[second]
        if not len(a) or not len(b) or (second == 2 and len(photometry.bands[1])):
            continue
        after = np.clip(np.searchsorted(b.time, a.time), 1, max(len(b) - 1, 1))
        before = after - 1
        after = np.minimum(after, len(b) - 1)
        nearest = np.where(np.abs(b.time[before] - a.time) <= np.abs(b.time[after] - a.time), before, after)
        close = np.abs(b.time[nearest] - a.time) <= PAIR_DAYS
        partner = nearest[close]
        blue, red = min(first, second), max(first, second)
        difference = a.mag[close] - b.mag[partner]
        error = np.sqrt(a.mag_err[close] ** 2 + b.mag_err[partner] ** 2 + ERROR_FLOOR**2)
        count = int(close.sum())
        rows.append((
            0.5 * (a.time[close] + b.time[partner]), np.full(count, blue), np.full(count, red),
            difference if blue == first else -difference, error,
        ))  # fmt: skip
    if not rows:
        return (np.zeros(0), np.zeros(0, int), np.zeros(0, int), np.zeros(0), np.zeros(0))
    return tuple(np.concatenate(column) for column in zip(*rows, strict=True))


def thermal_features(photometry: Photometry) -> dict[str, float]:
    """The thermal_* features that these detections define."""
    if photometry.reference is None:
        return {}
    time, blue, red, colour, error = colour_pairs(photometry)
    values = {
        "thermal_n_color_obs": float(len(time)),
        "thermal_n_bands_used": float(len(np.unique(np.concatenate([blue, red])))),
    }
    if not len(time):
        return values
    band = photometry.bands[photometry.reference]
    days = time - band.time[np.argmax(band.flux)]
    cooling = bool(np.ptp(days) > 1.0)
    design = np.stack([np.ones_like(days), days if cooling else np.zeros_like(days)])  # 2, m
    parameters = _CENTRE.copy()
    row = np.arange(len(days))
    for _ in range(_STEPS):
        log_t = np.clip(parameters @ design, LOWEST_LOG_TEMPERATURE, HIGHEST_LOG_TEMPERATURE)
        model, slope = magnitudes(log_t), magnitude_slopes(log_t)
        residual = (colour - model[row, blue] + model[row, red]) / error
        jacobian = design * ((slope[row, blue] - slope[row, red]) / error)
        curvature = jacobian @ jacobian.T + np.diag(_WIDTH**-2.0)
        gradient = jacobian @ residual - (parameters - _CENTRE) / _WIDTH**2
        step = np.linalg.solve(curvature, gradient)
        # the colour is far from linear in log T where it is hot: short steps
        parameters = parameters + step * min(1.0, 0.3 / max(abs(step[0]), 1e-12))
    errors = np.sqrt(np.diag(np.linalg.inv(curvature)))
    values |= {
        "thermal_log_temp_peak": parameters[0],
        "thermal_log_temp_peak_err": errors[0],
        "thermal_chi2": float((residual**2).mean()),
    }
    if cooling:
        values |= {"thermal_cooling_rate": parameters[1], "thermal_cooling_rate_err": errors[1]}
    return values
