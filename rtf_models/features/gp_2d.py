"""One Gaussian process over time and log10 wavelength, and the blackbody through it: the gp2d_* features.

In magnitudes about their mean. Hyperparameters by the marginal likelihood over a grid: prior variances 0.3 and 1.5
mag2, time scales duration / 4, 8, 16 (none shorter than twice the median gap and two days), wavelength scales 0.1 and
0.4 dex. The curve in g, r and i on 20 times gives a temperature each, by a table of blackbodies.

    train_rms (mag), n_train, n_bands, amp (mag2), ls_time (days), ls_wave (dex)    of the process
    log_temp_peak, log_temp_latest, temp_range (dex), cooling_rate (dex a day, after the peak)
    thermal_chi2_mean, thermal_chi2_min     over the 20 times, of three magnitudes against the best blackbody

Needs four detections in two bands; temperatures only inside the observed span.
"""

from __future__ import annotations

from itertools import product

import numpy as np

from . import gaussian_process
from .blackbody import HIGHEST_LOG_TEMPERATURE, LOG_WAVELENGTHS, LOWEST_LOG_TEMPERATURE, magnitudes
from .photometry import BANDS, Photometry

LEAST_POINTS = 4
AMPLITUDES, WAVE_SCALES, DIVISORS = (0.3, 1.5), (0.1, 0.4), (4.0, 8.0, 16.0)
GRID_POINTS = 20
_NOISE_FLOOR = 0.02
_TEMPERATURES = np.linspace(LOWEST_LOG_TEMPERATURE, HIGHEST_LOG_TEMPERATURE, 76)
_TABLE = magnitudes(_TEMPERATURES)  # 76, 3


def gp_2d_features(photometry: Photometry) -> dict[str, float]:
    """The gp2d_* features that these detections define."""
    count = sum(len(band) for band in photometry.bands)
    n_bands = sum(len(band) > 0 for band in photometry.bands)
    values = {"gp2d_n_train": float(count), "gp2d_n_bands": float(n_bands)}
    time = np.concatenate([band.time for band in photometry.bands])
    if count < LEAST_POINTS or n_bands < 2 or np.ptp(time) <= 0:
        return values
    order = np.argsort(time, kind="stable")
    time = time[order]
    wave = np.repeat(LOG_WAVELENGTHS, [len(band) for band in photometry.bands])[order]
    mag = np.concatenate([band.mag for band in photometry.bands])[order]
    error = np.concatenate([band.mag_err for band in photometry.bands])[order]
    duration = time[-1] - time[0]
    floor = max(2.0 * float(np.median(np.diff(time))), 2.0)
    time_scales = sorted({max(duration / divisor, floor) for divisor in DIVISORS})
    grid = np.array(list(product(AMPLITUDES, time_scales, WAVE_SCALES)))
    process = gaussian_process.fit(
        np.stack([time, wave], 1), mag, error**2 + _NOISE_FLOOR**2, grid[:, 0], grid[:, 1:]
    )
    values |= {
        "gp2d_train_rms": process.train_rms,
        "gp2d_amp": process.amplitude,
        "gp2d_ls_time": float(process.scale[0]),
        "gp2d_ls_wave": float(process.scale[1]),
    }
    return values | _temperatures(process, time[0], time[-1])


def _temperatures(process, begin: float, end: float) -> dict[str, float]:
    times = np.linspace(begin, end, GRID_POINTS)
    points = np.stack([np.repeat(times, BANDS), np.tile(LOG_WAVELENGTHS, GRID_POINTS)], 1)
    mag, variance = (x.reshape(GRID_POINTS, BANDS) for x in process.predict(points))
    weight = 1.0 / (variance + _NOISE_FLOOR**2)
    difference = mag[:, None, :] - _TABLE  # times, temperatures, bands
    offset = (weight[:, None] * difference).sum(-1) / weight.sum(-1)[:, None]
    chi2 = (weight[:, None] * (difference - offset[..., None]) ** 2).sum(-1)
    best = chi2.argmin(1)
    row = np.arange(GRID_POINTS)
    inside = np.clip(best, 1, len(_TEMPERATURES) - 2)
    low, middle, high = (chi2[row, inside + k] for k in (-1, 0, 1))
    bend = low - 2.0 * middle + high
    shift = np.where((best == inside) & (bend > 0), 0.5 * (low - high) / np.where(bend > 0, bend, 1.0), 0.0)
    log_t = _TEMPERATURES[best] + shift * (_TEMPERATURES[1] - _TEMPERATURES[0])
    peak = int(mag[:, 1].argmin())
    values = {
        "gp2d_log_temp_peak": log_t[peak],
        "gp2d_log_temp_latest": log_t[-1],
        "gp2d_temp_range": np.ptp(log_t),
        "gp2d_thermal_chi2_mean": chi2[row, best].mean(),
        "gp2d_thermal_chi2_min": chi2[row, best].min(),
    }
    if GRID_POINTS - peak >= 3:
        t = times[peak:] - times[peak:].mean()
        values["gp2d_cooling_rate"] = t @ log_t[peak:] / (t @ t)
    return values
