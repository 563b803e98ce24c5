"""Forward scattering of a microwave resonator: S21 with Swenson's non-linearity, and its ring-down.

Sources: the model of MKIDReadoutAnalysis (resonator.py); Swenson et al., J. Appl. Phys. 113, 104501 (2013).
"""

from __future__ import annotations

import numpy as np
from scipy.signal import lfilter

from .presets import DetectorPreset

_NEWTON_STEPS = 5  # from the start below, enough for float32 at a <= 0.6 (tested)


def swenson_detuning(y0, a):
    """Detuning y in line widths that solves 4 y^3 - 4 y0 y^2 + y - (y0 + a) = 0 (upward branch, a < 0.77).

    `y0` = Q times the fractional detuning without non-linearity. Arrays broadcast; the dtype of `y0` is kept.
    """
    y = y0 + a / (1.0 + 4.0 * (y0 + a) ** 2)
    for _ in range(_NEWTON_STEPS):
        value = ((4.0 * y - 4.0 * y0) * y + 1.0) * y - (y0 + a)
        slope = (12.0 * y - 8.0 * y0) * y + 1.0
        y = y - value / np.maximum(slope, 0.05)
    return y


def s21(preset: DetectorPreset, shift, loss):
    """Complex S21 for a fractional frequency shift downwards (`shift`) and an extra 1/Qi (`loss`), both arrays.

    The tone sits on the quiescent resonance (y = 0 without a photon). (1/Qi + 2i(xn + xa)) / (1/Q + 2i xn).
    """
    dtype = np.asarray(shift).dtype
    inv_qi = (1.0 / preset.qi + loss).astype(dtype)
    inv_q = inv_qi + dtype.type(1.0 / preset.qc)
    # the stored energy, hence a, goes with Q^3 at a fixed tone; the tone's own offset is -a/Q at rest
    a = preset.swenson_a * (1.0 / preset.q / inv_q) ** 3
    y0 = (shift - dtype.type(preset.swenson_a / preset.q)) / inv_q
    xn = swenson_detuning(y0, a) * inv_q
    return (inv_qi + 2j * (xn + dtype.type(preset.asymmetry))) / (inv_q + 2j * xn)


def loop_centre(preset: DetectorPreset) -> complex:
    """Centre of the quiescent resonance circle, in units of |S21| and before the gain's rotation."""
    return 1.0 - preset.q / (2.0 * preset.qc)


def one_pole(z, pole: float, before):
    """y[n] = (1 - pole) z[n] + pole y[n - 1] along the last axis; `before` (..., 1) is y of the sample before."""
    state = (np.asarray(pole, z.real.dtype) * before).astype(z.dtype)
    taps = np.array([1.0 - pole], z.real.dtype), np.array([1.0, -pole], z.real.dtype)
    return lfilter(*taps, z, axis=-1, zi=state)[0]


def ring_down(preset: DetectorPreset, z):
    """One-pole low-pass by the resonator's own amplitude decay along the last axis, starting settled."""
    return one_pole(z, float(np.exp(-1.0 / (preset.sample_rate_hz * preset.ring_time_s))), z[..., :1])


def readout_low_pass(preset: DetectorPreset, z):
    """One-pole low-pass of the readout chain along the last axis, starting settled."""
    if preset.readout_time_s == 0:
        return z
    return one_pole(z, float(np.exp(-1.0 / (preset.sample_rate_hz * preset.readout_time_s))), z[..., :1])
