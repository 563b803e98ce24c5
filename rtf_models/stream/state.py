"""The stream's state as bytes: whole, or the changes since the commit before. NumPy arrays and JSON, no pickle."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping, Sequence

import numpy as np

from ..data.stamp import CUTOUTS
from .errors import JournalError
from .history import Changes, History
from .recent import RecentAlerts
from .triplets import Triplet, Triplets


def changed_state(history: History, triplets: Triplets, recent: RecentAlerts, position: dict) -> bytes:
    """What has changed since the last call of `changed_state` or `whole_state`; `position` is the stream's own word."""
    content = _pack(history.changes, history.type)
    content |= _pack_triplets(triplets.changes)
    content["recent"] = np.array(recent.changes, np.int64)
    return _close(content, position, history, triplets, recent)


def whole_state(history: History, triplets: Triplets, recent: RecentAlerts, position: dict) -> bytes:
    """All of it."""
    content = _pack(history.whole(), history.type)
    content |= _pack_triplets(triplets.whole()) | recent.whole()
    return _close(content, position, history, triplets, recent)


def _close(content: dict, position: dict, history: History, triplets: Triplets, recent: RecentAlerts) -> bytes:
    content["position"] = _text(position)
    out = io.BytesIO()
    np.savez(out, **content)
    history.changes, recent.changes = Changes(), []
    triplets.changes.clear()
    return out.getvalue()


def restore(states: Sequence[bytes], history: History, triplets: Triplets, recent: RecentAlerts) -> list[dict]:
    """Brings empty memories to the last commit; the stream's positions, a whole one and its changes, in order.

    Raises JournalError if a state is not what was written.
    """
    positions = []
    for number, state in enumerate(states):
        try:
            with np.load(io.BytesIO(state), allow_pickle=False) as content:
                history.replay(_unpack(content, history.type))
                triplets.replay(_unpack_triplets(content))
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


def _pack_triplets(triplets: Mapping[str, Triplet]) -> dict[str, np.ndarray]:
    """{} for none."""
    if not triplets:
        return {}
    every = list(triplets.values())
    return {"triplet_ids": _text(list(triplets)), "triplet_jds": np.array([x.jd for x in every], np.float64),
            "triplet_bands": np.array([x.band for x in every], np.int64),
            "triplet_sizes": np.array([[len(cutout) for cutout in x.cutouts] for x in every], np.int64),
            "triplets": np.frombuffer(b"".join(cutout for x in every for cutout in x.cutouts), np.uint8)}


def _unpack_triplets(content) -> dict[str, Triplet]:
    if "triplets" not in content:
        return {}
    sizes, data = content["triplet_sizes"], content["triplets"].tobytes()
    if sizes.shape[1:] != (len(CUTOUTS),) or (sizes < 1).any() or sizes.sum() != len(data):
        raise ValueError(f"cutouts of sizes {sizes.shape} in {len(data)} bytes")
    ends = np.cumsum(sizes).reshape(sizes.shape)
    cutouts = [tuple(data[end - size : end] for end, size in zip(row_ends, row, strict=True))
               for row_ends, row in zip(ends.tolist(), sizes.tolist(), strict=True)]
    names, jds = json.loads(bytes(content["triplet_ids"])), content["triplet_jds"].tolist()
    every = zip(names, jds, content["triplet_bands"].tolist(), cutouts, strict=True)
    return {name: Triplet(jd, band, three) for name, jd, band, three in every}
