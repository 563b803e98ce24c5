"""Detections as the stream keeps them: rows of one packed NumPy type."""

from __future__ import annotations

import numpy as np

from ..data.source import N_METADATA, Source


def row_type(metadata: bool) -> np.dtype:
    """25 bytes a detection, 145 with the 30 metadata values: jd days, candid (0 = not known), mag, mag_err, band."""
    fields = [("jd", "<f8"), ("candid", "<i8"), ("mag", "<f4"), ("mag_err", "<f4"), ("band", "i1")]
    return np.dtype([*fields, ("metadata", "<f4", (N_METADATA,))] if metadata else fields)


def moment(jd: np.ndarray) -> np.ndarray:
    """Times as whole millionths of a day (0.09 s): what tells exposures apart."""
    return np.rint(jd * 1e6).astype(np.int64)


def merged(known: np.ndarray, new: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Two sets of rows (each without repeats) as one, sorted by time, and which of `new` went in.

    A detection is known by its exposure: moment and band. Where both have it, the richer row wins: the one with more
    metadata (an alert's own candidate has all of it, the same detection in a later packet's history only half).
    """
    if not len(known):
        return new, np.ones(len(new), bool)
    place = {key: k for k, key in enumerate(_exposures(known))}
    at = np.array([place.get(key, -1) for key in _exposures(new)], np.int64)
    fresh = at < 0
    if not fresh.all() and "metadata" in known.dtype.names:
        old = np.isfinite(known["metadata"][at[~fresh]]).sum(axis=1)
        richer = np.isfinite(new["metadata"][~fresh]).sum(axis=1) > old
        if richer.any():
            known = known.copy()
            places = np.flatnonzero(~fresh)[richer]
            known[at[places]] = new[places]
            taken = fresh.copy()
            taken[places] = True
            return _sorted(np.concatenate([known, new[fresh]])), taken
    if not fresh.any():
        return known, fresh
    return _sorted(np.concatenate([known, new[fresh]])), fresh


def _exposures(rows: np.ndarray) -> zip:
    return zip(moment(rows["jd"]).tolist(), rows["band"].tolist(), strict=True)


def _sorted(rows: np.ndarray) -> np.ndarray:
    """By time, then by band: the order does not tell which came first."""
    return rows[np.lexsort((rows["band"], rows["jd"]))]


def window(rows: np.ndarray, jd: float, days: float | None, longest: int | None) -> np.ndarray:
    """The rows that an alert of time `jd` may know: not later than it, not older than `days`, the last `longest`."""
    end = int(np.searchsorted(rows["jd"], jd, side="right"))
    start = 0 if days is None else int(np.searchsorted(rows["jd"], jd - days, side="left"))
    return rows[max(start, end - longest if longest else 0) : end]


def source_of(object_id: str, rows: np.ndarray, image: tuple[np.ndarray, int] | None = None) -> Source:
    """The rows (at least one, sorted) as a Source. image: (3, 63, 63), and which of the rows it shows."""
    extra: dict = {}
    if "metadata" in rows.dtype.names:
        extra["metadata"] = np.ascontiguousarray(rows["metadata"])
    if image is not None:
        pixels, place = image
        extra |= {"images": lambda _: pixels, "has_image": np.arange(len(rows)) == place}
    return Source(object_id=object_id, time=np.ascontiguousarray(rows["jd"]), band=rows["band"].astype(np.int64),
                  mag=np.ascontiguousarray(rows["mag"]), mag_err=np.ascontiguousarray(rows["mag_err"]), **extra)
