"""From a filter's response to energy: a spline through zero and the laser lines."""

from __future__ import annotations

import numpy as np
from scipy.interpolate import CubicSpline, PchipInterpolator


class EnergyCalibration:
    """Energy in eV as a function of response, through (0, 0) and (median response, E) of each line.

    A natural-ended cubic spline where it rises everywhere, else a shape-preserving one; linear beyond the outermost
    points. Fit it on training pulses only. Raises ValueError if the responses do not rise with energy.
    """

    def __init__(self, responses, energies):
        order = np.argsort(energies)
        x = np.concatenate([[0.0], np.asarray(responses, float)[order]])
        y = np.concatenate([[0.0], np.asarray(energies, float)[order]])
        if not (np.diff(x) > 0).all():
            raise ValueError(f"responses {np.round(x, 4).tolist()} at {np.round(y, 4).tolist()} eV: expected to rise")
        self.responses, self.energies = x, y
        spline = CubicSpline(x, y, bc_type="natural") if len(x) > 2 else PchipInterpolator(x, y)
        fine = np.linspace(x[0], x[-1], 64 * len(x))
        self._spline = spline if (spline(fine, 1) > 0).all() else PchipInterpolator(x, y)

    @classmethod
    def fit(cls, response, energy) -> EnergyCalibration:
        """From pulses: response (N,), true energy (N,) in eV of a few lines."""
        response, energy = np.asarray(response), np.asarray(energy)
        lines = np.unique(energy)
        return cls([np.median(response[energy == e]) for e in lines], lines)

    def __call__(self, response) -> np.ndarray:
        r = np.asarray(response, float)
        inside = np.clip(r, self.responses[0], self.responses[-1])
        return self._spline(inside) + self._spline(inside, 1) * (r - inside)
