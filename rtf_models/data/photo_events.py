"""photo_events npz files: photometry only, (L, 15) of float32, as the original's companion project makes them."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from ..errors import DataError
from .npz_member import keys, open_npz, read_member
from .source import Source

ZERO_POINT = 23.9  # AB mag of 1 uJy
COLUMNS = ("dt", "dt_prev", "band_id", "logflux", "logflux_err")  # the first five of fifteen
SMALLEST = 200


def read_events(path: str | os.PathLike) -> tuple[np.ndarray, int]:
    """The (L, 15) float32 table and the label of a file.

    Raises:
        DataError: the file is damaged or not of this format.
    """
    path = Path(path)
    with open_npz(path) as archive:
        if (size := path.stat().st_size) < SMALLEST:
            raise DataError(path, None, f"{size} bytes", f"a photo_events file, at least {SMALLEST} bytes")
        data, label = read_member(path, archive, "data"), read_member(path, archive, "label")
        columns = read_member(path, archive, "columns") if "columns" in keys(archive) else np.array(COLUMNS)
    if data.ndim != 2 or data.shape[1] < 8 or not len(data) or data.dtype.kind != "f":
        raise DataError(path, "data", f"shape {data.shape}, {data.dtype}", "(L, 15) float32, L > 0")
    found = tuple(str(x) for x in columns.ravel()[:5])
    if found != COLUMNS:
        raise DataError(path, "columns", f"{found}", f"{COLUMNS} first")
    data = data.astype(np.float32)
    if not np.isfinite(data[:, :5]).all() or (data[:, :2] < 0).any():
        raise DataError(path, "data", "numbers that are not finite, or negative times", "finite photometry")
    if (data[:, 4] < 0).any():
        raise DataError(path, "data", "negative errors (logflux_err)", "0 or more")
    if not np.isin(data[:, 2], (0, 1, 2)).all():
        raise DataError(path, "data", f"bands {np.unique(data[:, 2])[:5].tolist()}", "0, 1 or 2")
    if label.size != 1 or label.dtype.kind not in "iu":
        raise DataError(path, "label", f"shape {label.shape}, {label.dtype}", "one whole number")
    return data, int(label.item())


def read_photo_events(path: str | os.PathLike) -> Source:
    """A source from a photo_events file; its times are days since the first event."""
    path = Path(path)
    data, label = read_events(path)
    if (np.diff(data[:, 0]) < 0).any():
        raise DataError(path, "data", "events not in order of time", "ascending dt")
    return Source(object_id=path.stem, time=data[:, 0].astype(np.float64), band=data[:, 2].astype(np.int64),
                  mag=ZERO_POINT - 2.5 * data[:, 3].astype(np.float64), mag_err=2.5 * data[:, 4].astype(np.float64),
                  label=label)
