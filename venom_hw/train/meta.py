"""The original's side file `<checkpoint>_meta.json`: training history and held-out pulses, written and read."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from venom_hw.atomic import write_atomically

from .errors import TrainError

HISTORY_KEYS = ("training_history", "history", "train_history")
VALIDATION_KEYS = ("validation_indices", "val_indices", "val_idx")


@dataclass(frozen=True)
class TrainingMeta:
    """history: one dict an epoch; validation_indices (V,) int64 into the loaded pulses; extra: all other keys."""

    history: list[dict]
    validation_indices: np.ndarray
    extra: dict


def meta_path(checkpoint: Path) -> Path:
    """model.safetensors -> model_meta.json beside it."""
    checkpoint = Path(checkpoint)
    return checkpoint.with_name(f"{checkpoint.stem}_meta.json")


def write_meta(checkpoint: Path, history: Sequence[dict], validation_indices) -> Path:
    """Write the side file of a checkpoint, atomically; its path."""
    content = {
        "training_history": list(history),
        "validation_indices": np.asarray(validation_indices).tolist(),
    }
    return write_atomically(meta_path(checkpoint), json.dumps(content))


def read_meta(checkpoint: Path) -> TrainingMeta:
    """The side file of a checkpoint, ours or the original's.

    A history of lists by name ({"train_loss": [...]}) becomes a list of epochs. Raises TrainError with file and field.
    """
    path = meta_path(checkpoint)
    if not path.is_file():
        raise TrainError(f"{path}: no such file; expected it beside {Path(checkpoint).name}")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise TrainError(f"{path}: not JSON ({error})") from error
    if not isinstance(content, dict):
        raise TrainError(f"{path}: a JSON {type(content).__name__}, expected an object")
    history = _first(content, HISTORY_KEYS, path)
    indices = _first(content, VALIDATION_KEYS, path)
    fine = isinstance(indices, list) and all(type(k) is int and k >= 0 for k in indices)
    if not fine or len(set(indices)) != len(indices):
        raise TrainError(f"{path}: field 'validation_indices': expected different whole numbers, 0 or more")
    extra = {k: v for k, v in content.items() if k not in HISTORY_KEYS + VALIDATION_KEYS}
    return TrainingMeta(_epochs(history, path), np.array(indices, np.int64), extra)


def _first(content: dict, names: tuple[str, ...], path: Path):
    for name in names:
        if name in content:
            return content[name]
    raise TrainError(f"{path}: no field '{names[0]}'; found {', '.join(content) or 'nothing'}")


def _epochs(history, path: Path) -> list[dict]:
    if isinstance(history, list) and all(isinstance(h, dict) for h in history):
        return history
    if isinstance(history, dict) and all(isinstance(v, list) for v in history.values()):
        if len({len(v) for v in history.values()}) <= 1:
            return [dict(zip(history, row, strict=True)) for row in zip(*history.values(), strict=True)]
    raise TrainError(f"{path}: field 'training_history': expected a list of epochs, or lists of one length by name")
