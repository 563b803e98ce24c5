"""The vector of 114 light-curve features of a source's first detections."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from .gp_2d import gp_2d_features
from .multi_bazin import multi_bazin_features
from .names import FEATURE_NAMES
from .nonparametric import band_curves, nonparametric_features
from .parametric import parametric_features, scaled
from .photometry import read_photometry
from .thermal import thermal_features

if TYPE_CHECKING:
    from ..data.source import Source

PREFIX_COUNTS = (3, 5, 7, 10, 15, 20, 30, 50, 100)


def extract_features(source: Source, n: int | None = None) -> np.ndarray:
    """(114,) float32 in the order of FEATURE_NAMES, NaN = missing, of the first `n` detections only (None: all).

    Nothing after detection n is looked at. Bad numbers (NaN, infinite, errors that are not positive) are left out
    detection by detection; a feature that cannot be computed is NaN, and nothing is raised or warned of.
    """
    n = len(source) if n is None else max(0, min(int(n), len(source)))
    values = _features(source.time[:n], source.band[:n], source.mag[:n], source.mag_err[:n])
    vector = np.array([values.get(name, np.nan) for name in FEATURE_NAMES], np.float64)
    vector[~np.isfinite(vector)] = np.nan
    return np.clip(vector, -1e30, 1e30).astype(np.float32)


def prefix_features(source: Source, counts: Sequence[int] = PREFIX_COUNTS) -> tuple[np.ndarray, np.ndarray]:
    """Feature vectors of several prefixes: (counts (K,) int64, features (K, 114) float32).

    The counts are those of `counts` below the number of detections, ascending, and that number itself.
    Row k equals `extract_features(source, counts[k])` bit for bit. An empty source gives K = 0.
    """
    length = len(source)
    kept = sorted({int(c) for c in counts if 0 < int(c) < length} | ({length} if length else set()))
    rows = [extract_features(source, n) for n in kept]
    return np.array(kept, np.int64), np.array(rows, np.float32).reshape(len(kept), len(FEATURE_NAMES))


def _features(time, band, mag, mag_err) -> dict[str, float]:
    photometry = read_photometry(time, band, mag, mag_err)
    with np.errstate(all="ignore"):
        values = nonparametric_features(photometry, band_curves(photometry))
        parametric, bazin = parametric_features(photometry)
        values |= parametric
        if bazin is not None:
            values |= multi_bazin_features(scaled(photometry.bands[photometry.reference]), bazin)
        values |= thermal_features(photometry)
        values |= gp_2d_features(photometry)
    return values
