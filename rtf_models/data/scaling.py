"""Statistics of a training set: the numbers of an InputSpec."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..errors import DataError

_NORMAL_IQR = 1.3489795  # interquartile range of the standard normal distribution


def fit_base(rows: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation (4,), (4,) of base channels [(L, 4), ...], clipped to percentiles 0.1 to 99.9."""
    values = np.concatenate(rows).astype(np.float64)
    low, high = np.percentile(values, [0.1, 99.9], axis=0)
    clipped = np.clip(values, low, high)
    mean, std = clipped.mean(axis=0), clipped.std(axis=0)
    return mean, np.where(std > 1e-6, std, 1.0)


def fit_metadata(rows: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Median and scale (30,), (30,) of metadata [(L, 30), ...]; NaN is missing."""
    if not rows:
        raise DataError("training set", "metadata", "missing in every source", "alert metadata in some of them")
    return robust(np.concatenate(rows))


def fit_features(rows: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Median and scale (114,), (114,) of feature vectors [(K, 114), ...]; NaN is missing."""
    if not sum(len(x) for x in rows):
        raise DataError("training set", "features", "missing in every source",
                        "feature vectors in some of them (preprocess --fit-gp)")
    return robust(np.concatenate(rows))


def robust(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Centre and scale of each column of (N, C), NaN left out.

    The centre is the median, the scale the interquartile range in units of a standard deviation. Where most values are
    the same (an interquartile range of 0) it is the standard deviation; where all are, 1. A column without a value gets
    (0, 1).
    """
    values = np.asarray(values, np.float64)
    center, scale = np.zeros(values.shape[1]), np.ones(values.shape[1])
    for k, column in enumerate(values.T):
        column = column[np.isfinite(column)]
        if not column.size:
            continue
        low, center[k], high = np.percentile(column, [25, 50, 75])
        tiny = 1e-6 * max(1.0, abs(center[k]))
        spread = (high - low) / _NORMAL_IQR
        if spread <= tiny:
            spread = column.std()
        scale[k] = spread if spread > tiny else 1.0
    return center, scale
