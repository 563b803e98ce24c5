"""Which source is for training, validation and testing."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from venom_hw.atomic import write_atomically

from ..errors import DataError

SPLITS = ("train", "val", "test")
SPLITS_FILE = "splits.csv"
FRACTIONS = (0.70, 0.15, 0.15)


def _sizes(count: int) -> tuple[int, int, int]:
    """70/15/15 of `count`; from three on, each split gets at least one."""
    if count < 3:
        return count, 0, 0
    held = max(1, round(FRACTIONS[1] * count))
    return count - 2 * held, held, held


def stratified_split(labels: Sequence[int], seed: int = 0) -> np.ndarray:
    """A split name for each source, (N,) str: 70/15/15 of each label, drawn with the seed."""
    labels = np.asarray(labels, np.int64)
    names = np.empty(len(labels), "<U5")
    for label in np.unique(labels):
        places = np.flatnonzero(labels == label)
        places = np.random.default_rng([seed, int(label) + 1]).permutation(places)
        names[places] = np.repeat(SPLITS, _sizes(len(places)))
    return names


def temporal_split(first_times: Sequence[float]) -> np.ndarray:
    """A split name for each source, (N,) str: the earliest 70 % to train, the latest 15 % to test."""
    order = np.argsort(np.asarray(first_times, np.float64), kind="stable")
    names = np.empty(len(order), "<U5")
    names[order] = np.repeat(SPLITS, _sizes(len(order)))
    return names


def write_splits(path: str | Path, splits: Mapping[str, str]) -> Path:
    """Writes splits.csv with the columns obj_id, split."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["obj_id", "split"])
    writer.writerows(splits.items())
    return write_atomically(path, text.getvalue())


def read_splits(path: str | Path) -> dict[str, str]:
    """{object id: split} of a splits.csv.

    Raises:
        DataError: no such file, columns missing, a split that is not train, val or test, an id in two splits.
    """
    try:
        with open(path, newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(path, None, f"cannot be read ({error})", "a CSV file with columns obj_id, split") from error
    found: dict[str, str] = {}
    for line, row in enumerate(rows, start=2):
        object_id, split = row.get("obj_id"), row.get("split")
        if not object_id or not split:
            raise DataError(path, f"line {line}", "no obj_id or no split", "columns obj_id, split")
        if split not in SPLITS:
            raise DataError(path, f"line {line}", f"split '{split}'", " | ".join(SPLITS))
        if not is_plain_name(object_id):
            raise DataError(path, f"line {line}", f"obj_id {object_id!r}", "an object's name, usable as a file name")
        if found.setdefault(object_id, split) != split:
            raise DataError(path, f"line {line}", f"'{object_id}' in {found[object_id]} and {split}", "one split an id")
    if not found:
        raise DataError(path, None, "no rows", "columns obj_id, split")
    return found


def splits_of_folder(folder: str | Path) -> dict[str, str]:
    """{object id: split} of what a data folder has: by its splits.csv, and by where its files lie.

    Raises:
        DataError: an object in two splits, or a splits.csv that cannot be read.
    """
    folder = Path(folder)
    path = folder / SPLITS_FILE
    found = read_splits(path) if path.is_file() else {}
    for split in SPLITS:
        for file in sorted((folder / split).glob("*.npz")):
            if found.setdefault(file.stem, split) != split:
                raise DataError(folder, None, f"'{file.stem}' in {found[file.stem]} and {split}",
                                "each object in one split (remove the file of the wrong one, or make the folder anew)")
    return found


def with_new(known: Mapping[str, str], new: Mapping[str, str], folder: str | Path) -> dict[str, str]:
    """Both together. DataError where an object would change its split."""
    for object_id, split in new.items():
        if known.get(object_id, split) != split:
            raise DataError(folder, None, f"'{object_id}' is in {known[object_id]} and would be in {split} now",
                            "an object that keeps its split (or another output folder)")
    return {**known, **new}


def is_plain_name(name: str) -> bool:
    """Whether an object's name can be a file's name, so that no data leads outside the output folder."""
    return bool(name) and not name.startswith(".") and not set(name) & set("/\\\0\n") and len(name) < 200
