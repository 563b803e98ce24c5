"""Detections as the stream keeps them: rows of one packed NumPy type."""

from __future__ import annotations

import numpy as np

from ..data.source import N_METADATA, Source

SAME = 1e-6  # days (0.09 s): detections in one band closer than this are one


def row_type(metadata: bool) -> np.dtype:
    """25 bytes a detection, 145 with the 30 metadata values: jd days, candid (0 = not known), mag, mag_err, band."""
    fields = [("jd", "<f8"), ("candid", "<i8"), ("mag", "<f4"), ("mag_err", "<f4"), ("band", "i1")]
    return np.dtype([*fields, ("metadata", "<f4", (N_METADATA,))] if metadata else fields)


def merged(known: np.ndarray, new: np.ndarray, jd: float = np.inf) -> tuple[np.ndarray, np.ndarray]:
    """Two sets of rows (each sorted by time and without repeats) as one, sorted, and which of `new` went in.

    A detection is known by its exposure: time (to SAME) and band. Where both have it, the richer row wins: the one with
    more metadata (an alert's own candidate has all of it, the same detection in a later packet's history only half).
    A latecomer does not go in, as in preprocessing (`data.alerts.light_curve`): a new row before the newest one that
    was known of the time up to `jd`, the alert's, would change what the first detections were.
    """
    if not len(known):
        return new, np.ones(len(new), bool)
    at = _places(known, new)
    fresh = at < 0
    taken = fresh & ~_late(known, new, jd)
    rows = known if not taken.any() else np.concatenate([known, new[taken]])
    again = np.flatnonzero(~fresh)
    if len(again) and "metadata" in known.dtype.names:
        old, other = (np.isfinite(x["metadata"]).sum(axis=1) for x in (known[at[again]], new[again]))
        if len(richer := again[other > old]):
            rows = rows.copy()
            rows[at[richer]] = new[richer]
            taken[richer] = True
    return (rows if rows is known else _sorted(rows)), taken


def same_exposure(rows: np.ndarray, jd: float, band: int) -> np.ndarray:
    """Which rows are of the exposure at `jd` in `band`."""
    return np.flatnonzero((np.abs(rows["jd"] - jd) <= SAME) & (rows["band"] == band))


def _places(known: np.ndarray, new: np.ndarray) -> np.ndarray:
    """For each of `new` the place of its exposure in `known`, -1 for none."""
    if len(known) * len(new) <= 1 << 16:
        same = (np.abs(new["jd"][:, None] - known["jd"]) <= SAME) & (new["band"][:, None] == known["band"])
        return np.where(same.any(axis=1), same.argmax(axis=1), -1)
    out = np.full(len(new), -1)
    for k, row in enumerate(new):
        if len(found := same_exposure(known, row["jd"], row["band"])):
            out[k] = found[0]
    return out


def _late(known: np.ndarray, new: np.ndarray, jd: float) -> np.ndarray:
    """Which of `new` are before the newest of `known` that is not later than `jd`."""
    end = int(np.searchsorted(known["jd"], jd, side="right"))
    if not end:
        return np.zeros(len(new), bool)
    newest = known[end - 1]
    return (new["jd"] < newest["jd"]) | ((new["jd"] == newest["jd"]) & (new["band"] < newest["band"]))


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
