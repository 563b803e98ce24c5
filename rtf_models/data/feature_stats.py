"""feature_stats_day100.npz, the original's channel statistics of photo_events folders."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..errors import DataError
from .npz_member import READ_ERRORS

STATS_FILE = "feature_stats_day100.npz"


def read_feature_stats(path: str | Path) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation, (4,) float32 each: the first four of the file's flattened `mean` and `std`.

    Raises:
        DataError: no such file, or one without these numbers.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = [np.asarray(file[key], np.float32).ravel()[:4] for key in ("mean", "std")]
    except READ_ERRORS as error:
        raise DataError(path, None, f"cannot be read ({error})", "npz with arrays 'mean' and 'std'") from error
    for key, values in zip(("mean", "std"), arrays, strict=True):
        if len(values) < 4 or not np.isfinite(values).all() or (key == "std" and values.min() < 0):
            raise DataError(path, key, f"{values.tolist()}", "at least 4 finite numbers")
    return arrays[0], arrays[1]
