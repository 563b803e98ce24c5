"""From an alert packet to what the stream needs of it: who and when, and its detections as rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ..data.metadata import METADATA_FIELDS, NO_VALUE, metadata_row
from .detections import row_type

BAND_OF = {1: 0, 2: 1, 3: 2}  # fid: g, r, i
POSITIVE = ("t", "1", "T", True, 1)  # isdiffpos: the source is brighter than in the reference image


class BrokenPacket(ValueError):
    """An alert that cannot be encoded; the message says why."""


@dataclass(frozen=True)
class Alert:
    """One alert: object_id, candid, jd (days) of its own exposure; rows (L,) of `row_type`, sorted by time, each
    exposure once, none later than the alert: its own detection and those of its `prv_candidates`. Negative differences
    and upper limits are not among them, so L may be 0.
    """

    object_id: str
    candid: int
    jd: float
    rows: np.ndarray


def alert_of(packet: Mapping, *, metadata: bool) -> Alert:
    """Reads a packet; metadata: with the 30 values of each detection. Raises BrokenPacket naming the field."""
    candidate = packet.get("candidate")
    if not isinstance(candidate, Mapping):
        raise BrokenPacket(f"field 'candidate' is {type(candidate).__name__}, expected a record")
    object_id, candid = packet.get("objectId"), packet.get("candid", candidate.get("candid"))
    if not isinstance(object_id, str) or not object_id:
        raise BrokenPacket(f"field 'objectId' is {object_id!r}, expected a name")
    if not isinstance(candid, int) or not -(2**63) <= candid < 2**63:
        raise BrokenPacket(f"field 'candid' is {candid!r}, expected a whole number of 64 bits")
    jd = _number(candidate, "jd")
    previous = packet.get("prv_candidates") or []
    own = _usable(candidate, own=True)
    entries = [candidate] if own else []
    seen = {(jd, candidate["fid"])}
    for entry in previous:  # the packet's own detection goes first: its metadata are complete
        if _usable(entry, own=False) and entry["jd"] <= jd and (key := (entry["jd"], entry["fid"])) not in seen:
            seen.add(key)
            entries.append(entry)
    return Alert(object_id, candid, jd, _rows(entries, metadata))


def _number(entry: Mapping, field: str) -> float:
    value = entry.get(field)
    if isinstance(value, bool) or not isinstance(value, int | float) or not np.isfinite(value):
        raise BrokenPacket(f"field 'candidate.{field}' is {value!r}, expected a number")
    return float(value)


def _usable(entry: Mapping, own: bool) -> bool:
    """A detection above the reference. An alert's own candidate must be one or a negative; others may be anything."""
    if own:
        for field in ("magpsf", "sigmapsf"):
            _number(entry, field)
        if entry.get("fid") not in BAND_OF:
            raise BrokenPacket(f"field 'candidate.fid' is {entry.get('fid')!r}, expected 1 (g), 2 (r) or 3 (i)")
    mag, error = entry.get("magpsf"), entry.get("sigmapsf")
    if mag is None or error is None or entry.get("isdiffpos") not in POSITIVE or entry.get("fid") not in BAND_OF:
        return False
    jd = entry.get("jd")
    return jd is not None and bool(np.isfinite(jd) and np.isfinite(mag) and np.isfinite(error))


def _rows(entries: list[Mapping], metadata: bool) -> np.ndarray:
    rows = np.zeros(len(entries), row_type(metadata))
    if not entries:
        return rows
    rows["jd"] = [e["jd"] for e in entries]
    rows["candid"] = [e.get("candid") or 0 for e in entries]
    rows["mag"] = [e["magpsf"] for e in entries]
    rows["mag_err"] = [e["sigmapsf"] for e in entries]
    rows["band"] = [BAND_OF[e["fid"]] for e in entries]
    if metadata:
        rows["metadata"] = _metadata(entries)
    return rows[np.lexsort((rows["band"], rows["jd"]))]


def _metadata(entries: list[Mapping]) -> np.ndarray:
    """(L, 30): `metadata_row` of each, at once where all values are numbers or None, as in every real packet."""
    try:
        values = np.array([[e.get(name) for name in METADATA_FIELDS] for e in entries], np.float32)
    except (TypeError, ValueError):
        return np.stack([metadata_row(e) for e in entries])
    values[(values == np.float32(NO_VALUE)) | ~np.isfinite(values)] = np.nan
    return values
