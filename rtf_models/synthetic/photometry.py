"""Magnitudes as the survey would report them: noise, reported errors, the detection limit.

The reported error has three parts, fitted to the medians of the real BTS curves: a floor of 0.0243 mag, the source's
photons (0.13 mag at magnitude 20) and the sky, which makes the error reach the detection limit's at `limit`. The
real scatter between neighbouring detections there is 0.52 of the reported errors, from magnitude 16 to 20 alike, so the
noise drawn here is too.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

POGSON = 2.5 / np.log(10)  # mag per unit of relative flux error
FLOOR = 0.0243  # mag
PHOTONS_AT_20 = 0.13  # mag
SCATTER_OF_REPORTED = 0.52
SCATTER_FROM_OBJECT_TO_OBJECT = 0.3  # of the logarithm of that share: hosts, references
# Scatter of the logarithm of the reported errors; that of exposures has the tails of Student's t with 3.
ERROR_FACTOR_OF_OBJECT, ERROR_FACTOR_OF_EXPOSURE = 0.08, 0.13
DETECTION_SN = 4.4  # reported S/N at the limit
SN_SCATTER = 1.3  # the limit is not sharp
SMALLEST_SN = 3.1
ALERT_SN, ALERT_SN_SCATTER = (
    5.9,
    0.8,
)  # a packet is sent out; fainter detections reach us in a later packet's history
HISTORY = 30.0  # days of it
BRIGHTEST = 12.0  # saturation, mag


@dataclass(frozen=True)
class Measured:
    """Detections: index (K,) into the exposures, mag and mag_err (K,) float32."""

    index: np.ndarray
    mag: np.ndarray
    mag_err: np.ndarray


def sky_noise(limit: np.ndarray) -> np.ndarray:
    """Flux error of an empty place, in units of the flux of magnitude 20, such that S/N is DETECTION_SN at `limit`."""
    flux = 10 ** (-0.4 * (np.asarray(limit, float) - 20))
    total = (flux / DETECTION_SN) ** 2
    rest = (FLOOR / POGSON * flux) ** 2 + (PHOTONS_AT_20 / POGSON) ** 2 * flux
    return np.sqrt(np.maximum(total - rest, 0.05 * total))


def flux_error(flux: np.ndarray, limit: np.ndarray) -> np.ndarray:
    """Reported flux error, all in units of the flux of magnitude 20."""
    positive = np.maximum(flux, 0.0)
    return np.sqrt(
        sky_noise(limit) ** 2 + (PHOTONS_AT_20 / POGSON) ** 2 * positive + (FLOOR / POGSON * positive) ** 2
    )


def measure(mjd: np.ndarray, mag: np.ndarray, limit: np.ndarray, rng: np.random.Generator) -> Measured:
    """Which of the exposures detect a source of true magnitude `mag` (V,), inf for none, and what they report.

    Detections that no packet within the 30 days after them carries along are lost: the survey never tells of them.
    mjd: (V,) ascending.
    """
    flux = 10 ** (-0.4 * (mag - 20))
    share = SCATTER_OF_REPORTED * np.exp(rng.normal(0.0, SCATTER_FROM_OBJECT_TO_OBJECT))
    factor = np.exp(
        rng.normal(0.0, ERROR_FACTOR_OF_OBJECT) + ERROR_FACTOR_OF_EXPOSURE * rng.standard_t(3, len(mag))
    )
    seen = flux + rng.normal(0.0, 1.0, len(mag)) * share * factor * flux_error(flux, limit)
    error = factor * flux_error(seen, limit)
    threshold = np.maximum(rng.normal(DETECTION_SN, SN_SCATTER, len(mag)), SMALLEST_SN)
    alert = (seen >= rng.normal(ALERT_SN, ALERT_SN_SCATTER, len(mag)) * error) & np.isfinite(mag)
    sent = np.append(mjd[alert], np.inf)
    told = sent[np.searchsorted(sent, mjd)] - mjd <= HISTORY
    found = np.flatnonzero(
        told & (seen >= threshold * error) & (seen < 10 ** (-0.4 * (BRIGHTEST - 20))) & np.isfinite(mag)
    )
    return Measured(
        found,
        (20 - 2.5 * np.log10(seen[found])).astype(np.float32),
        (POGSON * error[found] / seen[found]).astype(np.float32),
    )
