"""Light curves of the Bright Transient Survey in one npz file."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..classes import bts_label
from ..errors import DataError
from .npz_member import open_npz, read_member
from .source import Source

KEYS = ("object_id", "type", "offsets", "mjd", "fid", "mag", "magerr")


def read_bts(path: str | Path) -> list[Source]:
    """The sources of a file with object_id (N,), type (N,), offsets (N+1,), mjd, fid (1 g, 2 r, 3 i), mag, magerr.

    Source n is rows offsets[n]:offsets[n+1]. Rows of the same time and band are one detection (the first is kept).
    Labels are fine ids of `classes.BTS`, -1 for a type that is in no class.

    Raises:
        DataError: no such file, or arrays that do not go together.
    """
    with open_npz(path) as archive:
        data = {key: read_member(path, archive, key) for key in KEYS}
    offsets, rows = data["offsets"].astype(np.int64), len(data["mjd"])
    for key, length in {"type": len(data["object_id"]), "offsets": len(data["object_id"]) + 1, "fid": rows,
                        "mag": rows, "magerr": rows}.items():
        if data[key].shape != (length,):
            raise DataError(path, key, f"shape {data[key].shape}", f"({length},)")
    if offsets[0] != 0 or offsets[-1] != rows or (np.diff(offsets) < 1).any():
        raise DataError(path, "offsets", f"from {offsets[0]} to {offsets[-1]}", f"ascending from 0 to {rows}")
    sources = []
    for k, object_id in enumerate(data["object_id"]):
        part = slice(offsets[k], offsets[k + 1])
        time, fid = data["mjd"][part], data["fid"][part].astype(np.int64)
        _, first = np.unique(np.stack([time, fid]), axis=1, return_index=True)  # sorted by time, then band
        sources.append(Source(object_id=str(object_id), time=time[first], band=fid[first] - 1,
                              mag=data["mag"][part][first], mag_err=data["magerr"][part][first],
                              label=bts_label(str(data["type"][k]))))
    return sources
