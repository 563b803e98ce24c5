"""What a run was trained on, written down: a run that is resumed must have the same data."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from rtf_models.data.source import Source
from rtf_models.data.splits import SPLITS
from venom_hw.atomic import write_atomically

from .data import TrainingData
from .errors import TrainError

FORMAT = "rtf/training-data/1"
FILE = "data.json"
SHOWN = 3  # objects named in a message
ARRAYS = ("time", "band", "mag", "mag_err", "metadata", "features", "feature_counts", "has_image")


def record_data(data: TrainingData) -> dict:
    """splits (object_ids, lengths, labels, sha256 of all numbers but the images), inputs, classes; their sha256."""
    record = {
        "splits": {split: _split(getattr(data, split)) for split in SPLITS},
        "real": data.real,
        "inputs": data.inputs.to_dict(),
        "classes": data.scheme.to_dict(),
    }
    digest = hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()
    return {"format": FORMAT, "sha256": digest} | record


def write_record(folder: Path, record: dict) -> Path:
    return write_atomically(folder / FILE, json.dumps(record))


def check_same_data(folder: Path, known: str | None, record: dict) -> None:
    """Raises TrainError, saying what changed, unless `known` is the record's hash; None (a run of before hashes were
    kept) passes.
    """
    if known is None or known == record["sha256"]:
        return
    try:
        old = json.loads((folder / FILE).read_text(encoding="utf-8"))
        changes = _changes(old, record) if old.get("sha256") == known else []
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        changes = []
    what = "; ".join(changes) or f"sha256 {known[:12]}, now {record['sha256'][:12]}"
    raise TrainError(
        f"{folder}: the data are not those that this run was started with ({what}). Bring the old data back to go on, "
        "or train anew in another --output-dir"
    )


def _split(sources: Sequence[Source]) -> dict:
    digest = hashlib.sha256()
    for source in sources:
        for name in ARRAYS:
            values = getattr(source, name)
            if values is not None:
                values = np.ascontiguousarray(values)
                digest.update(f"{name}{values.dtype}{values.shape}".encode())
                digest.update(values)
    return {
        "object_ids": [source.object_id for source in sources],
        "lengths": [len(source) for source in sources],
        "labels": [int(source.label) for source in sources],
        "sha256": digest.hexdigest(),
    }


def _changes(old: dict, new: dict) -> list[str]:
    """What differs, in words."""
    found = []
    for split in SPLITS:
        a, b = old["splits"][split], new["splits"][split]
        if a == b:
            continue
        gone, come = _missing(a, b), _missing(b, a)
        parts = [f"{len(names)} {what}: {_names(names)}" for names, what in ((gone, "gone"), (come, "new")) if names]
        before = {k: rest for k, *rest in zip(a["object_ids"], a["lengths"], a["labels"], strict=True)}
        now = {k: rest for k, *rest in zip(b["object_ids"], b["lengths"], b["labels"], strict=True)}
        both = [k for k in now if k in before]
        for index, what in ((0, "of another length"), (1, "with another label")):
            if names := [k for k in both if before[k][index] != now[k][index]]:
                parts.append(f"{len(names)} {what}: {_names(names)}")
        counts = f"{len(a['object_ids'])} sources, now {len(b['object_ids'])}"
        found.append(f"{split}: {counts}, {', '.join(parts) or 'with other numbers or in another order'}")
    for name, what in (("inputs", "input statistics"), ("classes", "classes"), ("real", "real sources")):
        if not found and old[name] != new[name]:
            found.append(f"other {what}")
    return found


def _missing(a: dict, b: dict) -> list[str]:
    there = set(b["object_ids"])
    return [k for k in a["object_ids"] if k not in there]


def _names(names: Sequence[str]) -> str:
    return ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")
