"""Which float model a figure is about, and what can be wrong with it."""

from __future__ import annotations

from venom_hw.datapath import DatapathError
from venom_hw.detector import DataError
from venom_hw.evaluation import EvaluationError
from venom_hw.evaluation.models import find_checkpoint, load_model
from venom_hw.flow.model_files import ModelError as FilesError
from venom_hw.interchange.onnx_graph import ImportRefused
from venom_hw.model import CheckpointError, ModelError
from venom_hw.quantize.checkpoint import CheckpointError as QuantisedError

__all__ = ["INPUT_ERRORS", "find_checkpoint", "load_model"]

# What can be wrong with the models and folders that a user names.
INPUT_ERRORS = (
    CheckpointError, DataError, DatapathError, EvaluationError, FilesError, ImportRefused, ModelError, OSError,
    QuantisedError,
)  # fmt: skip
