"""From an alert packet to what the stream needs of it: who and when, and its detections as rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ..data.alerts import packet_detections
from .detections import SAME, row_type

FIELDS = ("objectId", "candid", "candidate", "prv_candidates")


class BrokenPacket(ValueError):
    """An alert that cannot be encoded; the message says why."""


@dataclass(frozen=True)
class Alert:
    """One alert: object_id, candid, jd (days) and band of its own exposure; rows (L,) of `row_type`, sorted by time,
    each exposure once, none later than the alert: its own detection and those of its `prv_candidates`. Negative
    differences and upper limits are not among them, so L may be 0. own: its own detection is among them.
    """

    object_id: str
    candid: int
    jd: float
    band: int
    rows: np.ndarray
    own: bool


def alert_of(packet: Mapping, *, metadata: bool) -> Alert:
    """Reads a packet; metadata: with the 30 values of each detection. Raises BrokenPacket or DataError."""
    object_id, candid = packet.get("objectId"), packet.get("candid")
    if not isinstance(object_id, str) or not object_id:
        raise BrokenPacket(f"field 'objectId' is {object_id!r}, expected a name")
    if isinstance(candid, bool) or not isinstance(candid, int) or not -(2**63) <= candid < 2**63:
        raise BrokenPacket(f"field 'candid' is {candid!r}, expected a whole number of 64 bits")
    found = packet_detections(packet)
    jd, band = float(found.jd[found.packet >= 0][0]), int(found.band[found.packet >= 0][0])
    # of the copies of an exposure the packet's own candidate is kept: its metadata are complete
    order = np.lexsort((found.jd, found.band))
    exposure = np.zeros(len(order), np.int64)
    exposure[order[1:]] = np.cumsum((np.diff(found.jd[order]) > SAME) | (np.diff(found.band[order]) != 0))
    order = np.lexsort((found.packet < 0, exposure))
    chosen = np.sort(order[np.append(True, np.diff(exposure[order]) != 0)])
    chosen = chosen[found.positive[chosen] & (found.jd[chosen] <= jd)]
    rows = np.zeros(len(chosen), row_type(metadata))
    for name in rows.dtype.names:
        rows[name] = getattr(found, name)[chosen]
    return Alert(object_id, candid, jd, band, rows, bool((found.packet[chosen] >= 0).any()))
