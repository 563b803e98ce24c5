"""Light curves of the Bright Transient Survey in one npz file."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..classes import bts_label
from ..errors import DataError
from .npz_member import open_npz, read_member
from .source import Source
from .splits import is_plain_name

# What the arrays hold, by NumPy's letters: U text, i and u whole numbers, f real ones.
_KINDS = {"object_id": "US", "type": "US", "offsets": "iu", "mjd": "f", "fid": "iu", "mag": "f", "magerr": "f"}


def read_bts(path: str | Path) -> list[Source]:
    """The sources of a file with object_id (N,), type (N,), offsets (N+1,), mjd, fid (1 g, 2 r, 3 i), mag, magerr.

    Source n is rows offsets[n]:offsets[n+1]. Rows of the same time and band are one detection (the first is kept).
    Labels are fine ids of `classes.BTS`, -1 for a type that is in no class.

    Raises:
        DataError: no such file, or arrays that do not go together.
    """
    with open_npz(path) as archive:
        data = {key: read_member(path, archive, key) for key in _KINDS}
    for key, kinds in _KINDS.items():
        if data[key].ndim != 1 or data[key].dtype.kind not in kinds:
            raise DataError(path, key, f"shape {data[key].shape}, {data[key].dtype}", f"(N,) of kind {kinds}")
    offsets, rows = data["offsets"].astype(np.int64), len(data["mjd"])
    for key, length in {"type": len(data["object_id"]), "offsets": len(data["object_id"]) + 1, "fid": rows,
                        "mag": rows, "magerr": rows}.items():
        if data[key].shape != (length,):
            raise DataError(path, key, f"shape {data[key].shape}", f"({length},)")
    if offsets[0] != 0 or offsets[-1] != rows or (np.diff(offsets) < 1).any():
        raise DataError(path, "offsets", f"from {offsets[0]} to {offsets[-1]}", f"ascending from 0 to {rows}")
    names = [str(x) for x in data["object_id"]]
    if bad := [x for x in names if not is_plain_name(x)]:
        raise DataError(path, "object_id", f"{bad[0]!r:.60}", "an object's name, usable as a file name")
    if len(set(names)) < len(names):  # it could be in two splits
        twice = next(x for k, x in enumerate(names) if x in names[:k])
        raise DataError(path, "object_id", f"'{twice}' twice", "each object once")
    if (data["magerr"] < 0).any():
        raise DataError(path, "magerr", f"{data['magerr'].min()}", "0 or more")
    sources = []
    for k, object_id in enumerate(names):
        part = slice(offsets[k], offsets[k + 1])
        time, fid = data["mjd"][part], data["fid"][part].astype(np.int64)
        _, first = np.unique(np.stack([time, fid]), axis=1, return_index=True)  # sorted by time, then band
        sources.append(Source(object_id=object_id, time=time[first], band=fid[first] - 1,
                              mag=data["mag"][part][first], mag_err=data["magerr"][part][first],
                              label=bts_label(str(data["type"][k]))))
    return sources
