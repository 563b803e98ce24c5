"""Which alerts have had their fingerprint: the last so many."""

from __future__ import annotations

import numpy as np


class RecentAlerts:
    """Remembers at least the last `capacity` candids that were added, and at most twice as many.

    Two sets, the newer and the older: when the newer is full it becomes the older. Constant time, bounded memory, and
    the content follows from the candids added, in order.
    """

    def __init__(self, capacity: int):
        self.capacity = capacity
        self.changes: list[int] = []
        self._newer: set[int] = set()
        self._older: set[int] = set()

    def __contains__(self, candid: int) -> bool:
        return candid in self._newer or candid in self._older

    def __len__(self) -> int:
        return len(self._newer) + len(self._older)

    def add(self, candid: int) -> None:
        if self.capacity == 0:
            return
        self.changes.append(candid)
        self._newer.add(candid)
        if len(self._newer) >= self.capacity:
            self._older, self._newer = self._newer, set()

    def replay(self, candids: np.ndarray) -> None:
        """Adds the candids of a saved list of changes."""
        for candid in candids.tolist():
            self.add(candid)
        self.changes = []

    def whole(self) -> dict[str, np.ndarray]:
        """Two sorted arrays: {"newer", "older"}."""
        return {"newer": np.array(sorted(self._newer), np.int64), "older": np.array(sorted(self._older), np.int64)}

    def restore(self, newer: np.ndarray, older: np.ndarray) -> None:
        self._newer, self._older = set(newer.tolist()), set(older.tolist())
        self.changes = []
