"""Which float model a judgement, a figure or a comparison is about."""

from __future__ import annotations

from pathlib import Path

from venom_hw.flow.model_files import PRETRAINED
from venom_hw.model import CheckpointError, VenomCheckpoint, load_checkpoint


def find_checkpoint(model: str | Path) -> Path:
    """A float checkpoint's file: a path, a folder with a model.safetensors, or the name of a shipped model.

    Raises CheckpointError naming what there is.
    """
    shipped = {path.stem: path for path in sorted(PRETRAINED.glob("*.safetensors"))}
    for path in (Path(model), Path(model) / "model.safetensors"):
        if path.is_file():
            return path
    if str(model) in shipped:
        return shipped[str(model)]
    raise CheckpointError(
        f"model '{model}': expected a file, a folder of a training run, or one of {', '.join(shipped)}"
    )


def load_model(model: str | Path) -> tuple[str, VenomCheckpoint]:
    """A name for files and titles, and the checkpoint. Raises CheckpointError."""
    path = find_checkpoint(model)
    name = path.resolve().parent.name if path.stem == "model" else path.stem
    return name, load_checkpoint(path)


def float_model(model: str | Path | VenomCheckpoint) -> VenomCheckpoint:
    """A checkpoint, or that of what `find_checkpoint` finds. Raises CheckpointError."""
    return model if isinstance(model, VenomCheckpoint) else load_checkpoint(find_checkpoint(model))
