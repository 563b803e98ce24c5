"""Width at half maximum of sampled densities: cubic spline, highest peak, the half maxima nearest to it."""

from __future__ import annotations

import numpy as np
from scipy.interpolate import CubicSpline


def full_width_half_maximum(t, density) -> np.ndarray:
    """Width (B,) of densities (L, B) on the evenly spaced grid t (L,), or a number for one density (L,).

    Through each goes a cubic spline (not-a-knot, as an interpolating spline of degree 3 has); the highest maximum is
    where its derivative vanishes, the width lies between the crossings of half that height nearest to it on either
    side. NaN where a density does not fall below the half on both sides within the grid.
    """
    t, density = np.asarray(t, float), np.asarray(density, float)
    columns = density.reshape(len(t), -1)
    coefficients = CubicSpline(t, columns, axis=0).c  # (4, L - 1, B), highest power first
    steps = np.diff(t)[:, None]
    place, height = _highest(coefficients, steps, columns)
    level = height / 2
    below = columns < level
    widths = np.full(columns.shape[1], np.nan)
    for b in range(columns.shape[1]):
        left = np.flatnonzero(below[:place[b] + 1, b])
        right = np.flatnonzero(below[place[b] + 1:, b])
        if len(left) and len(right):
            lower, upper = left[-1], place[b] + right[0]  # intervals in which the crossings lie
            rise = _crossing(coefficients[:, lower, b], steps[lower, 0], level[b], falls=False)
            fall = _crossing(coefficients[:, upper, b], steps[upper, 0], level[b], falls=True)
            widths[b] = t[upper] + fall - t[lower] - rise
    return widths if density.ndim == 2 else float(widths[0])


def _highest(coefficients, steps, columns):
    """(interval (B,), height (B,)) of the highest maximum of each spline."""
    a, b, c, d = coefficients
    with np.errstate(divide="ignore", invalid="ignore"):
        root = np.sqrt(b**2 - 3 * a * c)
        turning = np.where(np.abs(a) > 1e-12 * np.abs(b) / steps, (-b - root) / (3 * a), -c / (2 * b))
    inside = np.isfinite(turning) & (turning >= 0) & (turning <= steps)
    s = np.where(inside, turning, 0.0)
    top = ((a * s + b) * s + c) * s + d
    top = np.maximum(top, columns[:-1])
    place = np.argmax(top, axis=0)
    return place, top[place, np.arange(top.shape[1])]


def _crossing(cubic, step: float, level: float, falls: bool) -> float:
    """Where the cubic of one interval, which falls (or rises) through `level` in it, has that value."""
    a, b, c, d = cubic[0], cubic[1], cubic[2], cubic[3] - level
    low, high = 0.0, step
    s = 0.5 * step
    for _ in range(60):
        value = ((a * s + b) * s + c) * s + d
        if (value > 0) == falls:
            low = s
        else:
            high = s
        slope = (3 * a * s + 2 * b) * s + c
        newton = s - value / slope if slope else low
        s, before = (newton if low < newton < high else 0.5 * (low + high)), s
        if abs(s - before) <= 1e-14 * step:
            break
    return s
