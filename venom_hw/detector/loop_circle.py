"""The resonance loop in the I/Q plane: its centre, its radius, and where a pulse starts."""

from __future__ import annotations

import numpy as np


def fit_circle(points) -> tuple[complex, float]:
    """Centre and radius of the algebraic least-squares circle (Kasa) through complex points.

    Fit noise-averaged points: noise on a short arc pulls the centre towards it.
    """
    z = np.asarray(points).ravel()
    scale = max(np.abs(z - z.mean()).max(), np.finfo(float).tiny)
    w = (z - z.mean()) / scale
    design = np.stack([w.real, w.imag, np.ones(len(w))], 1)
    (a, b, c), *_ = np.linalg.lstsq(design, np.abs(w) ** 2, rcond=None)
    centre = 0.5 * complex(a, b)
    radius = np.sqrt(max(c + abs(centre) ** 2, 0.0))
    return centre * scale + z.mean(), float(radius * scale)


def rest_point(z, fraction: float = 0.2) -> complex:
    """Median of the first `fraction` of the samples, (N, L) complex: the point without a photon."""
    head = z[:, :max(1, int(fraction * z.shape[1]))]
    return complex(np.median(head.real), np.median(head.imag))


def phase_from(z, rest: complex, middle: complex):
    """Phase in rad of complex z relative to `rest`, both about the origin; positive towards `middle`.

    The cut of the angle lies opposite to `middle`, a typical point of the pulses (mkidcalculator's placing).
    """
    turn = np.angle(middle / rest)
    sign = 1.0 if turn >= 0 else -1.0
    factor = np.asarray(np.abs(middle) / middle, dtype=np.result_type(z, np.complex64))
    return sign * (np.angle(z * factor) + turn)
