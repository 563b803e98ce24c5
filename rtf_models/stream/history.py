"""What the stream remembers of objects: their latest detections, of the objects seen last."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from .detections import merged, row_type, window


@dataclass
class Changes:
    """What happened to a history, in order: touch k is of object_ids[k], at time jds[k], and brought rows[k]."""

    object_ids: list[str] = field(default_factory=list)
    jds: list[float] = field(default_factory=list)
    rows: list[np.ndarray] = field(default_factory=list)

    def add(self, object_id: str, jd: float, rows: np.ndarray) -> None:
        self.object_ids.append(object_id)
        self.jds.append(jd)
        self.rows.append(rows)

    def __len__(self) -> int:
        return len(self.object_ids)


class History:
    """Detections of at most `objects` objects and at most `detections` detections in all; the object touched longest
    ago goes first. An object keeps the last `longest` detections of the last `days` days.

    Latecomers stay out (`detections.merged`). A history follows from its touches alone: the same touches in the same
    order give the same history.
    """

    def __init__(self, objects: int, days: float | None, longest: int | None, *, metadata: bool,
                 detections: int | None = None):
        self.objects, self.days, self.longest = objects, days, longest
        self.detections = 50 * objects if detections is None else detections
        self.type = row_type(metadata)
        self.changes = Changes()
        self.count = 0
        self._rows: OrderedDict[str, np.ndarray] = OrderedDict()

    def __len__(self) -> int:
        return len(self._rows)

    def of(self, object_id: str) -> np.ndarray:
        """(L,) rows that are remembered of an object, sorted by time; does not count as a touch."""
        rows = self._rows.get(object_id)
        return np.empty(0, self.type) if rows is None else rows

    def touch(self, object_id: str, jd: float, rows: np.ndarray) -> np.ndarray:
        """Adds the rows of an alert of time `jd`; (L,) all that is then known up to `jd`, for its fingerprint."""
        rows = window(rows, jd, self.days, self.longest)
        all_rows, taken = merged(self.of(object_id), rows, jd)
        seen = window(all_rows, jd, self.days, self.longest)
        if self.objects:
            self.changes.add(object_id, jd, rows[taken])
            self._keep(object_id, all_rows)
        return seen

    def _keep(self, object_id: str, rows: np.ndarray) -> None:
        newest = rows["jd"][-1] if len(rows) else 0.0
        kept = window(rows, newest, self.days, self.longest).copy()  # a copy: no view that keeps a larger array alive
        self.count += len(kept) - len(self.of(object_id))
        self._rows[object_id] = kept
        self._rows.move_to_end(object_id)
        while len(self._rows) > self.objects or (self.count > self.detections and len(self._rows) > 1):
            _, dropped = self._rows.popitem(last=False)
            self.count -= len(dropped)

    def replay(self, changes: Changes) -> None:
        """Repeats the touches of a saved list."""
        for object_id, jd, rows in zip(changes.object_ids, changes.jds, changes.rows, strict=True):
            self.touch(object_id, jd, rows.astype(self.type, copy=False))
        self.changes = Changes()

    def whole(self) -> Changes:
        """Touches that make an empty history equal to this one."""
        items: Iterable[tuple[str, np.ndarray]] = self._rows.items()
        out = Changes()
        for object_id, rows in items:
            out.add(object_id, float(rows["jd"][-1]) if len(rows) else 0.0, rows)
        return out
