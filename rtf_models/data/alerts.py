"""Alert packets to detections and sources.

A packet's own `candidate` and the detections among its `prv_candidates` are used; upper limits and forced photometry
(`fp_hists`, since schema 4.0) are not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import DataError
from .metadata import metadata_row
from .source import N_METADATA, Source
from .stamp import CUTOUTS, NoStamp, packet_stamps

_POSITIVE, _NEGATIVE = {"t", "1", 1}, {"f", "0", 0}  # True and False are 1 and 0
_SAME = 1e-6  # days: two detections in one band closer than this are one


@dataclass(frozen=True)
class Detections:
    """Detections of one packet or several, sorted by time.

    Attributes:
        candid: (L,) int64, the survey's number of a detection, 0 where it has none.
        jd: (L,) float64 days. band: (L,) int64, 0 g, 1 r, 2 i. mag, mag_err: (L,) float32, AB mag.
        positive: (L,) bool, brighter than the template (isdiffpos).
        metadata: (L, 30) float32, NaN where missing.
        packet: (L,) int64, which packet (its own number in a list of packets) a detection is the trigger of; -1 for
            one of the history (prv_candidates).
    """

    candid: np.ndarray
    jd: np.ndarray
    band: np.ndarray
    mag: np.ndarray
    mag_err: np.ndarray
    positive: np.ndarray
    metadata: np.ndarray
    packet: np.ndarray

    def __len__(self) -> int:
        return len(self.jd)

    def take(self, places: np.ndarray) -> Detections:
        """Some of them, in the order of `places`."""
        return Detections(*(getattr(self, name)[places] for name in self.__dataclass_fields__))


def _numbers(record: Mapping, name: str) -> tuple | None:
    """(jd, band, mag, mag_err, positive, candid) of a candidate record; None for an upper limit (it has no magpsf)."""
    if record.get("magpsf") is None:
        return None
    values = []
    for field in ("jd", "magpsf", "sigmapsf"):
        value = record.get(field)
        if not isinstance(value, int | float | np.number) or isinstance(value, bool) or not np.isfinite(value):
            raise DataError(name, field, f"{value!r}", "a finite number")
        values.append(float(value))
    if record.get("fid") not in (1, 2, 3):
        raise DataError(name, "fid", f"{record.get('fid')!r}", "1 (g), 2 (r) or 3 (i)")
    if values[2] < 0:
        raise DataError(name, "sigmapsf", f"{values[2]}", "0 or more")
    sign = record.get("isdiffpos")
    if sign is not None and sign not in _POSITIVE and sign not in _NEGATIVE:
        raise DataError(name, "isdiffpos", f"{sign!r}", "t, 1 (positive) or f, 0 (negative)")
    candid = record.get("candid")
    return (values[0], int(record["fid"]) - 1, values[1], values[2], sign is None or sign in _POSITIVE,
            int(candid) if isinstance(candid, int | np.integer) else 0)


def packet_detections(packet: Mapping, *, use_history: bool = True, name: str = "", number: int = 0,
                      notes: Counter | None = None) -> Detections:
    """The detections of one packet: its `candidate` and, with `use_history`, those of its `prv_candidates`.

    Upper limits are not detections. A damaged entry of the history is left out and counted in `notes`.

    Args:
        name: what the packet is called in errors; default: its objectId and candid.
        number: goes into `.packet` of the candidate.

    Raises:
        DataError: the candidate has no finite jd, magpsf and sigmapsf, or no fid of 1 to 3.
    """
    candidate = packet.get("candidate")
    name = name or f"packet {packet.get('objectId')}/{packet.get('candid')}"
    if not isinstance(candidate, Mapping):
        raise DataError(name, "candidate", "missing", "a packet's candidate record")
    own = _numbers(candidate, name)
    if own is None:
        raise DataError(name, "magpsf", "missing in the candidate", "a detection")
    records, rows, numbers = [candidate], [own], [number]
    for record in (packet.get("prv_candidates") or ()) if use_history else ():
        try:
            row = _numbers(record, name)
        except DataError:
            if notes is not None:
                notes["damaged entries of prv_candidates left out"] += 1
            continue
        if row is not None:
            records.append(record)
            rows.append(row)
            numbers.append(-1)
    jd, band, mag, mag_err, positive, candid = (np.array(x) for x in zip(*rows, strict=True))
    found = Detections(candid.astype(np.int64), jd.astype(np.float64), band.astype(np.int64), mag.astype(np.float32),
                       mag_err.astype(np.float32), positive.astype(bool),
                       np.stack([metadata_row(record) for record in records]), np.array(numbers, np.int64))
    return found.take(np.lexsort((found.band, found.jd)))


@dataclass
class _Seen:
    """Every detection of an object so far, each once, in the order in which packets brought them.

    parts: the detections that each packet brought. kept: which of them belong to the light curve. newest: (jd, band) of
    the last one that does.
    """

    parts: list[Detections]
    kept: list[np.ndarray]
    newest: tuple[float, int] = (-np.inf, 0)
    repeated: int = 0
    negative: int = 0
    late: int = 0

    def add(self, packet: Detections, keep_negative: bool) -> None:
        """The detections of the next packet. Of copies in one packet its own candidate counts, else the one with the
        most metadata; of copies in several, the first packet's."""
        own = packet.packet >= 0
        rank = np.isfinite(packet.metadata).sum(axis=1) + own * (N_METADATA + 1)
        new = _first_of_each(packet.take(np.argsort(-rank, kind="stable")))
        self.repeated += len(packet) - len(new)
        if self.parts:
            again = _same(new, _joined(self.parts)).any(axis=1)
            self.repeated += int(again.sum())
            new = new.take(np.flatnonzero(~again))
        new = new.take(np.lexsort((new.band, new.jd)))
        wanted = new.positive | keep_negative
        jd, band = self.newest
        late = wanted & ((new.jd < jd) | ((new.jd == jd) & (new.band < band)))
        self.negative += int((~wanted).sum())
        self.late += int(late.sum())
        self.parts.append(new)
        self.kept.append(wanted & ~late)
        if self.kept[-1].any():
            last = np.flatnonzero(self.kept[-1])[-1]
            self.newest = float(new.jd[last]), int(new.band[last])


def _joined(parts: Sequence[Detections]) -> Detections:
    return Detections(*(np.concatenate([getattr(x, name) for x in parts]) for name in Detections.__dataclass_fields__))


def _same(one: Detections, other: Detections) -> np.ndarray:
    """(L, M) bool: the same candid, or the same band and closer than _SAME."""
    candid = (one.candid[:, None] == other.candid) & (one.candid[:, None] != 0)
    return candid | ((one.band[:, None] == other.band) & (np.abs(one.jd[:, None] - other.jd) <= _SAME))


def _first_of_each(found: Detections) -> Detections:
    same = _same(found, found)
    keep: list[int] = []
    for k in range(len(found)):
        if not same[k, keep].any():
            keep.append(k)
    return found.take(np.array(keep, np.int64))


def light_curve(parts: Sequence[Detections], *, keep_negative: bool = False,
                notes: Counter | None = None) -> Detections:
    """The detections of an object's packets as they became known, sorted by time; `notes` counts what is left out.

    The packets are taken in the order of their own alerts' times. Each brings the detections that no earlier one had
    (a detection is known by its candid, or by band and time). A latecomer, earlier than the newest detection that was
    known before its packet came, is left out: put in its place, it would change what the first detections were for
    everyone who looked at them then. So the first n detections follow from the packets up to theirs alone.
    """
    own = [(float(x.jd[x.packet >= 0][0]), int(x.candid[x.packet >= 0][0])) for x in parts]
    seen = _Seen([], [])
    for k in sorted(range(len(parts)), key=own.__getitem__):
        seen.add(parts[k], keep_negative)
    if notes is not None:
        counts = {"repeated detections left out": seen.repeated, "negative detections left out": seen.negative,
                  "latecomers left out (an alert's history had earlier detections than were known before)": seen.late}
        notes.update({key: count for key, count in counts.items() if count})
    found = _joined(seen.parts)
    return found.take(np.flatnonzero(np.concatenate(seen.kept)))


def source_from_alerts(object_id: str, packets: Sequence[Mapping], *, use_history: bool = True,
                       keep_negative: bool = False, label: int = -1, images: bool = True,
                       stamps: Callable[[int], np.ndarray] | None = None, notes: Counter | None = None) -> Source:
    """The light curve of an object from its packets, in any order.

    Repeated detections (the same candid, or the same band and time) go in once; latecomers of a later packet's history
    do not go in (`light_curve`), so that another future leaves the first n detections as they are. Detections of
    negative difference flux (isdiffpos) are left out unless `keep_negative`: their magnitude is of a fading, not of
    light.

    Args:
        packets: as `read_packets` gives them, all of this object.
        use_history: take the detections of prv_candidates too (they have no stamps and about half of the metadata).
        images: whether the stamps are decoded, to know which are whole.
        stamps: packet number -> (3, 63, 63), where they are to be read again; default: the packets' compressed bytes
            stay in memory.
        notes: counts what was left out.

    Raises:
        DataError: no packets, a damaged one, or no detection left.
    """
    notes = Counter() if notes is None else notes
    if not packets:
        raise DataError(f"object {object_id}", None, "no packets", "at least one")
    parts = [packet_detections(packet, use_history=use_history, number=k, notes=notes)
             for k, packet in enumerate(packets)]
    found = light_curve(parts, keep_negative=keep_negative, notes=notes)
    if not len(found):
        raise DataError(f"object {object_id}", "isdiffpos", "all detections are negative", "a positive detection")
    extra = _images(packets, found, stamps, notes) if images else {}
    return Source(object_id=object_id, time=found.jd, band=found.band, mag=found.mag, mag_err=found.mag_err,
                  label=label, metadata=found.metadata, **extra)


def _images(packets, found: Detections, stamps, notes: Counter) -> dict:
    has_image = np.zeros(len(found), bool)
    for k in np.flatnonzero(found.packet >= 0):
        try:
            packet_stamps(packets[found.packet[k]])
            has_image[k] = True
        except NoStamp as error:
            notes[_short(error)] += 1
    if not has_image.any():
        return {}
    if stamps is None:
        stamps = PacketStamps([packets[n] if n >= 0 else None for n in found.packet])
        return {"images": stamps, "has_image": has_image}
    return {"images": Renumbered(stamps, found.packet), "has_image": has_image}


def _short(error: NoStamp) -> str:
    """The kind of a stamp's trouble, for counting."""
    text = str(error)
    if "clipped" in text:
        return "stamps clipped by an edge: no image"
    return "stamps missing: no image" if text.endswith("missing") else "stamps damaged: no image"


class PacketStamps:
    """Stamps of packets in memory, decoded when asked for."""

    def __init__(self, packets: Sequence[Mapping | None]):
        self._cutouts = [None if x is None else {key: x.get(key) for key in CUTOUTS} for x in packets]

    def __call__(self, index: int) -> np.ndarray:
        return packet_stamps(self._cutouts[index])


@dataclass(frozen=True)
class Renumbered:
    """Stamps by detection, from stamps by packet number."""

    stamps: Callable[[int], np.ndarray]
    packet: np.ndarray

    def __call__(self, index: int) -> np.ndarray:
        return self.stamps(int(self.packet[index]))
