"""Sums of Bazin curves on one baseline, as many as the data pay for: the mb_* features.

The second curve starts on the largest structure that the first leaves, and so on; all are refined together. One more is
kept while the Bayesian information criterion (chi squared + parameters * ln detections) falls, up to four.

    best_k                number of curves; cost, bic: chi squared per detection and criterion of that fit
    bic_improvement_k2    criterion of one curve minus that of two (positive: two are better)
"""

from __future__ import annotations

from itertools import product

import numpy as np

from .least_squares import least_squares
from .light_curve_models import MODELS
from .parametric import Scaled

LARGEST_K = 4
ITERATIONS = 10
STARTS = 2
_PER_CURVE = 4  # ln amplitude, t0, ln rise, ln fall
_MODEL = MODELS["Bazin"]
_NAMES = _MODEL.parameters
_CURVE_COLUMNS = [_NAMES.index(name) for name in ("ln_amplitude", "t0", "ln_rise", "ln_fall")]
_BASELINE = _NAMES.index("baseline")
_CURVE_LOW, _CURVE_HIGH = np.array(_MODEL.low)[_CURVE_COLUMNS], np.array(_MODEL.high)[_CURVE_COLUMNS]
_CURVE_LOW[0] = -5.0  # a second curve may be small
_SHAPES = np.array(list(product(np.log([0.7, 3.0]), np.log([2.0, 8.0, 25.0]))))


def least_points(k: int) -> int:
    """Detections needed before `k` curves are tried."""
    return _PER_CURVE * k + 2


def multi_bazin_features(data: Scaled, single: np.ndarray) -> dict[str, float]:
    """The mb_* features; `single` (5,): Bazin parameters of the fit with one curve."""
    count = len(data.time)
    log_count = np.log(count)
    parameters = np.concatenate([[single[_BASELINE]], single[_CURVE_COLUMNS]])
    chi2 = float((((data.flux - _flux(data.time, parameters)) / data.error) ** 2).sum())
    bics = [chi2 + len(parameters) * log_count]
    best_k, cost = 1, chi2
    for k in range(2, LARGEST_K + 1):
        if count < least_points(k):
            break
        parameters, chi2 = _one_more(data, parameters)
        bics.append(chi2 + len(parameters) * log_count)
        if bics[-1] >= bics[-2]:
            break
        best_k, cost = k, chi2
    values = {"mb_best_k": float(best_k), "mb_cost": cost / count, "mb_bic": bics[best_k - 1]}
    if len(bics) > 1:
        values["mb_bic_improvement_k2"] = bics[0] - bics[1]
    return values


def _flux(time, parameters):
    """(..., n) of (..., 1 + 4 K): baseline, then curves."""
    curves = parameters[..., 1:].reshape(*parameters.shape[:-1], -1, _PER_CURVE)
    full = np.zeros((*curves.shape[:-1], len(_NAMES)))
    full[..., _CURVE_COLUMNS] = curves
    return _MODEL.flux(time, full).sum(-2) + parameters[..., :1]


def _one_more(data: Scaled, parameters: np.ndarray) -> tuple[np.ndarray, float]:
    """The best fit with one curve more than `parameters` has, and its chi squared."""
    residual = data.flux - _flux(data.time, parameters)
    weight = data.error**-2.0
    tops = data.time[np.argsort(-residual / data.error, kind="stable")[:3]]
    grid = np.zeros((len(tops), len(_SHAPES), len(_NAMES)))
    grid[..., _CURVE_COLUMNS[1]] = tops[:, None]
    grid[..., _CURVE_COLUMNS[2:]] = _SHAPES
    grid = grid.reshape(-1, len(_NAMES))
    shape = _MODEL.flux(data.time, grid)
    amplitude = np.maximum(shape @ (weight * residual), 0.0) / (shape**2 @ weight + 1e-12)
    best = np.argsort(((residual - amplitude[:, None] * shape) ** 2) @ weight, kind="stable")[:STARTS]
    curve = grid[best][:, _CURVE_COLUMNS]
    curve[:, 0] = np.log(np.maximum(amplitude[best], np.exp(_CURVE_LOW[0])))
    starts = np.concatenate([np.broadcast_to(parameters, (STARTS, len(parameters))), curve], 1)
    curves = starts.shape[1] // _PER_CURVE
    low = np.concatenate([[_MODEL.low[_BASELINE]], np.tile(_CURVE_LOW, curves)])
    high = np.concatenate([[_MODEL.high[_BASELINE]], np.tile(_CURVE_HIGH, curves)])
    top = data.time[np.argmax(data.flux)]
    low[2::_PER_CURVE] += top
    high[2::_PER_CURVE] += top
    found, chi2 = least_squares(
        lambda p: _flux(data.time, p), starts, np.tile(low, (STARTS, 1)), np.tile(high, (STARTS, 1)), data.flux,
        data.error, iterations=ITERATIONS, tolerance=1e-2,
    )  # fmt: skip
    k = int(chi2.argmin())
    return found[k], float(chi2[k])
