"""The pulses that a figure shows: those of a folder that the model was not trained on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from venom_hw.detector import PulseSet, Window, load_pulse_set, stratified_split
from venom_hw.flow.model_files import PRETRAINED
from venom_hw.model import CheckpointError, VenomCheckpoint, load_checkpoint


@dataclass(frozen=True)
class HeldOut:
    """pulses: the whole folder at the checkpoint's window; train_idx (calibrations may use these) and val_idx, by the
    split that the checkpoint was trained with."""

    pulses: PulseSet
    train_idx: np.ndarray
    val_idx: np.ndarray

    @property
    def shown(self) -> PulseSet:
        return self.pulses.select(self.val_idx)


def find_checkpoint(model: str) -> Path:
    """A float checkpoint's file: a path, a folder with a model.safetensors, or the name of a shipped model.

    Raises CheckpointError naming what there is.
    """
    shipped = {path.stem: path for path in sorted(PRETRAINED.glob("*.safetensors"))}
    for path in (Path(model), Path(model) / "model.safetensors"):
        if path.is_file():
            return path
    if model in shipped:
        return shipped[model]
    raise CheckpointError(
        f"model '{model}': expected a file, a folder of a training run, or one of {', '.join(shipped)}"
    )


def load_model(model: str) -> tuple[Path, VenomCheckpoint]:
    """The checkpoint's path and the checkpoint. Raises CheckpointError."""
    path = find_checkpoint(model)
    return path, load_checkpoint(path)


def load_held_out(checkpoint: VenomCheckpoint, folder: Path, limit: int | None = None) -> HeldOut:
    """Pulses of a folder, split as in the training; `limit`: at most so many held-out pulses of a line.

    The split's seed, its fraction and the clip of peak heights come from the checkpoint: another clip would give
    another split. Raises DataError.
    """
    settings = checkpoint.training.get("settings", {})
    pulses = load_pulse_set(
        folder, window=Window.from_dict(checkpoint.window), peak_sigma=float(settings.get("peak_sigma", 2.0))
    )
    train_idx, val_idx = stratified_split(
        pulses.wl_ids, float(settings.get("validation", 0.15)), int(settings.get("split_seed", 0))
    )
    if limit is not None:
        lines = pulses.wl_ids[val_idx]
        val_idx = np.sort(np.concatenate([val_idx[lines == k][:limit] for k in np.unique(lines)]))
    return HeldOut(pulses, train_idx, val_idx)
