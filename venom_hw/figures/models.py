"""Which float model a figure is about."""

from __future__ import annotations

from pathlib import Path

from venom_hw.datapath import DatapathError
from venom_hw.detector import DataError
from venom_hw.evaluation import EvaluationError
from venom_hw.flow.model_files import PRETRAINED
from venom_hw.flow.model_files import ModelError as FilesError
from venom_hw.interchange.onnx_graph import ImportRefused
from venom_hw.model import CheckpointError, ModelError, VenomCheckpoint, load_checkpoint
from venom_hw.quantize.checkpoint import CheckpointError as QuantisedError

# What can be wrong with the models and folders that a user names.
INPUT_ERRORS = (
    CheckpointError, DataError, DatapathError, EvaluationError, FilesError, ImportRefused, ModelError, OSError,
    QuantisedError,
)  # fmt: skip


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


def load_model(model: str) -> tuple[str, VenomCheckpoint]:
    """A name for files and titles, and the checkpoint. Raises CheckpointError."""
    path = find_checkpoint(model)
    name = path.resolve().parent.name if path.stem == "model" else path.stem
    return name, load_checkpoint(path)
