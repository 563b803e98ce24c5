"""The newest usable image of an object: the alert's own triplet, or, where that is missing, damaged or clipped by an
edge, the newest of earlier alerts of the object. So preprocessing chooses too.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ..data.stamp import CUTOUTS, NoStamp, packet_stamps
from .detections import same_exposure
from .packets import Alert


@dataclass(frozen=True)
class Triplet:
    """The three cutouts of an alert as they came, compressed (some 40 kB), and the detection that they show."""

    jd: float
    band: int
    cutouts: tuple[bytes, ...]

    def image(self) -> np.ndarray:
        """(3, 63, 63) float32 in pixel units."""
        return packet_stamps(dict(zip(CUTOUTS, self.cutouts, strict=True)))

    def place(self, rows: np.ndarray) -> int | None:
        """Which of the rows it shows; None if it shows none of them."""
        places = same_exposure(rows, self.jd, self.band)
        return int(places[-1]) if len(places) else None


class Triplets:
    """Remembers the newest whole triplet of at most `objects` objects; the one that was given longest ago goes first.

    The content follows from the triplets given, in order; `changes` are those since the state was last asked for.
    """

    def __init__(self, objects: int):
        self.objects = objects
        self.changes: OrderedDict[str, Triplet] = OrderedDict()
        self._known: OrderedDict[str, Triplet] = OrderedDict()

    def __len__(self) -> int:
        return len(self._known)

    def newest(self, alert: Alert, packet: Mapping, rows: np.ndarray) -> tuple[np.ndarray, int] | None:
        """The newest image that an alert may know, and which of its rows it shows; None: none is known."""
        if alert.own and len(places := same_exposure(rows, alert.jd, alert.band)):
            try:
                image = packet_stamps(packet)
            except NoStamp:
                pass
            else:
                self._give(alert.object_id, Triplet(alert.jd, alert.band, _cutouts(packet)))
                return image, int(places[-1])
        known = self._known.get(alert.object_id)
        place = known.place(rows) if known is not None else None  # rows have nothing later than the alert
        return None if place is None else (known.image(), place)

    def _give(self, object_id: str, triplet: Triplet) -> None:
        known = self._known.get(object_id)
        if known is None or triplet.jd >= known.jd:
            _put(self._known, object_id, triplet, self.objects)
            _put(self.changes, object_id, triplet, self.objects)

    def replay(self, triplets: Mapping[str, Triplet]) -> None:
        """Takes in a saved list of changes, or all of a saved memory."""
        for object_id, triplet in triplets.items():
            _put(self._known, object_id, triplet, self.objects)
        self.changes.clear()

    def whole(self) -> Mapping[str, Triplet]:
        """All that is remembered, in order."""
        return self._known


def _put(into: OrderedDict[str, Triplet], object_id: str, triplet: Triplet, most: int) -> None:
    into[object_id] = triplet
    into.move_to_end(object_id)
    while len(into) > most:
        into.popitem(last=False)


def _cutouts(packet: Mapping) -> tuple[bytes, ...]:
    found = (packet[name] for name in CUTOUTS)
    return tuple(bytes(x["stampData"] if isinstance(x, Mapping) else x) for x in found)
