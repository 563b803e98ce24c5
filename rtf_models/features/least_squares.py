"""Bounded Levenberg-Marquardt over a whole batch of fits at once.

Every fit of the batch goes through the same NumPy calls, so that eight models with several starts cost little more
than one: 8 ms for the 16 fits of a light curve of 30 points, against 2 to 3 ms for each with scipy.optimize (same
minima, tested). Jacobians are forward differences, evaluated in the same call as the model itself. Each parameter
carries a weak Gaussian prior (centre and half-width of its search interval): few points are no singular problem.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

_DIFFERENCE = 1e-5
_LONGEST_STEP = 0.4  # of a parameter's half-width
_FIRST_DAMPING, _LARGEST_DAMPING, _SMALLEST_DAMPING = 1e-2, 1e8, 1e-6


def least_squares(
    model: Callable[[np.ndarray], np.ndarray],
    starts: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    values: np.ndarray,
    errors: np.ndarray,
    *,
    iterations: int,
    tolerance: float = 1e-3,
) -> tuple[np.ndarray, np.ndarray]:
    """The best parameters (B, P) and their chi squared (B,), prior not counted.

    Args:
        model: maps parameters (B, E, P) to values (B, E, n).
        starts: (B, P), inside the bounds; low, high: (B, P), the search interval of each.
        values, errors: (n,) data.
        iterations: at most so many steps; they end earlier once no fit of the batch falls by more than
            `tolerance` of itself.
    """
    width = 0.5 * (high - low)
    centre = low + width
    steps = _DIFFERENCE * np.minimum(width, 10.0)
    prior = 1.0 / width**2
    count = starts.shape[-1]
    offsets = np.concatenate([np.zeros((len(starts), 1, count)), steps[:, :, None] * np.eye(count)], 1)

    def linearised(parameters):
        f = model(parameters[:, None, :] + offsets)
        residual = (values - f[:, 0]) / errors
        jacobian = (f[:, 1:] - f[:, :1]) / (steps[:, :, None] * errors)
        pull = (parameters - centre) * prior
        chi2 = (residual**2).sum(-1)
        gradient = (jacobian @ residual[..., None])[..., 0] - pull
        curvature = jacobian @ jacobian.transpose(0, 2, 1)
        diagonal = np.arange(count)
        curvature[:, diagonal, diagonal] += prior
        return chi2, chi2 + (pull * (parameters - centre)).sum(-1), gradient, curvature

    parameters = np.clip(starts, low, high)
    chi2, cost, gradient, curvature = linearised(parameters)
    damping = np.full(len(starts), _FIRST_DAMPING)
    diagonal = np.arange(count)
    for _ in range(iterations):
        # a parameter that its bound holds back takes no part in the step of the others
        free = np.where(gradient < 0, parameters > low, parameters < high).astype(np.float64)
        damped = curvature * (free[:, :, None] * free[:, None, :])
        damped[:, diagonal, diagonal] += damping[:, None] * curvature[:, diagonal, diagonal] + (1.0 - free)
        step = np.linalg.solve(damped, (gradient * free)[..., None])[..., 0]
        trial = np.clip(parameters + np.clip(step, -_LONGEST_STEP * width, _LONGEST_STEP * width), low, high)
        new = linearised(trial)
        better = new[1] < cost  # False for NaN
        gain = np.where(better, cost - new[1], 0.0)
        # a fit that was refused may still move with more damping
        moving = np.where(better, gain > tolerance * np.maximum(cost, 1e-6), damping < 1e3)
        parameters = np.where(better[:, None], trial, parameters)
        chi2, cost = np.where(better, new[0], chi2), np.where(better, new[1], cost)
        gradient = np.where(better[:, None], new[2], gradient)
        curvature = np.where(better[:, None, None], new[3], curvature)
        damping = np.clip(np.where(better, damping / 7.0, damping * 7.0), _SMALLEST_DAMPING, _LARGEST_DAMPING)
        if not moving.any():
            break
    return parameters, chi2
