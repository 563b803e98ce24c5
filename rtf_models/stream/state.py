"""The stream's state as bytes: whole, or the changes since the commit before. NumPy arrays and JSON, no pickle."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Sequence

import numpy as np

from .errors import JournalError
from .history import Changes, History
from .recent import RecentAlerts


def changed_state(history: History, recent: RecentAlerts, position: dict) -> bytes:
    """What has changed since the last call of `changed_state` or `whole_state`; `position` is the stream's own word."""
    content = _pack(history.changes, history.type)
    content["recent"] = np.array(recent.changes, np.int64)
    return _close(content, position, history, recent)


def whole_state(history: History, recent: RecentAlerts, position: dict) -> bytes:
    """All of it."""
    content = _pack(history.whole(), history.type)
    content |= recent.whole()
    return _close(content, position, history, recent)


def _close(content: dict, position: dict, history: History, recent: RecentAlerts) -> bytes:
    content["position"] = _text(position)
    out = io.BytesIO()
    np.savez(out, **content)
    history.changes, recent.changes = Changes(), []
    return out.getvalue()


def restore(states: Sequence[bytes], history: History, recent: RecentAlerts) -> list[dict]:
    """Brings empty memories to the last commit; the stream's positions, a whole one and its changes, in order.

    Raises JournalError if a state is not what was written.
    """
    positions = []
    for number, state in enumerate(states):
        try:
            with np.load(io.BytesIO(state), allow_pickle=False) as content:
                history.replay(_unpack(content, history.type))
                if number == 0:
                    recent.restore(content["newer"], content["older"])
                else:
                    recent.replay(content["recent"])
                positions.append(json.loads(bytes(content["position"])))
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise JournalError(f"state file {number + 1} of {len(states)}: {type(error).__name__} ({error}); "
                               "expected it as encode wrote it") from error
    return positions


def _text(content) -> np.ndarray:
    return np.frombuffer(json.dumps(content).encode(), np.uint8)


def _pack(changes: Changes, kind: np.dtype) -> dict[str, np.ndarray]:
    counts = [len(rows) for rows in changes.rows]
    rows = np.concatenate(changes.rows) if changes.rows else np.empty(0, kind)
    return {"object_ids": _text(changes.object_ids), "jds": np.array(changes.jds, np.float64),
            "counts": np.array(counts, np.int64), "rows": rows}


def _unpack(content, kind: np.dtype) -> Changes:
    rows, counts = content["rows"], content["counts"]
    if rows.dtype != kind:
        raise ValueError(f"rows of {rows.dtype}, expected {kind}")
    ends = np.cumsum(counts)
    pieces = [rows[end - count : end] for end, count in zip(ends, counts, strict=True)]
    return Changes(json.loads(bytes(content["object_ids"])), content["jds"].tolist(), pieces)
