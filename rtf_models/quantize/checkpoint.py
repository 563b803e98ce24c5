"""The quantised checkpoint: one safetensors file that rebuilds encoder and inputs exactly, from the file alone.

Tensors: the encoder's parameters, on their grids, float32.  Header: format, name, mode, shape, formats (tensor name ->
bits, frac, signed, rounding), recipe, inputs (InputSpec), classes (ClassScheme), training.
"""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from rtf_models.classes import ClassScheme
from rtf_models.data.inputs import InputSpec
from rtf_models.errors import CheckpointError
from venom_hw.quantize.checkpoint import CheckpointError as FileError
from venom_hw.quantize.checkpoint import read_tensors, write_tensors
from venom_hw.quantize.formats import TensorFormat

from .calibrate import build_encoder
from .network import QuantEncoder
from .shape import EncoderShape

QUANTISED_FORMAT = "rtf/quantised/1"
FILE_NAME = "quantised.safetensors"  # not model.safetensors: that is a float checkpoint's
FIELDS = ("name", "mode", "shape", "formats", "recipe", "inputs", "classes")


@dataclass
class QuantisedCheckpoint:
    """A quantised encoder and what is needed to use it.  It stands where a float ``Checkpoint`` does in
    ``embed_sources(..., reconstruct=False)``; put the model in float64 for the exact integers.
    """

    name: str
    mode: str
    model: QuantEncoder
    formats: dict[str, TensorFormat]
    recipe: dict[str, Any]
    inputs: InputSpec
    scheme: ClassScheme
    training: dict[str, Any] = field(default_factory=dict)

    @property
    def scale(self) -> float:
        """What one unit of the int8 fingerprint is worth."""
        return float(self.formats["q_z"].lsb)

    def codes(self, fingerprints: np.ndarray) -> np.ndarray:
        """The integers (int8 for up to 8 bits, else int16) of fingerprints (N, D)."""
        kind = np.int8 if self.formats["q_z"].bits <= 8 else np.int16
        return np.rint(np.asarray(fingerprints, np.float64) / self.scale).astype(kind)

    def header(self) -> dict[str, Any]:
        return {
            "format": QUANTISED_FORMAT,
            "name": self.name,
            "mode": self.mode,
            "shape": asdict(self.model.shape),
            "formats": {k: v.to_dict() for k, v in self.formats.items()},
            "recipe": self.recipe,
            "inputs": self.inputs.to_dict(),
            "classes": self.scheme.to_dict(),
            "training": self.training,
        }


def save_quantised(path: str | os.PathLike, checkpoint: QuantisedCheckpoint) -> Path:
    """Write the checkpoint; the encoder's parameters are put on their grids first.  Returns the path."""
    checkpoint.model.float().snap()
    return write_tensors(path, checkpoint.model.state_dict(), checkpoint.header())


def load_quantised(path: str | os.PathLike) -> QuantisedCheckpoint:
    """Rebuild a quantised encoder (float32, evaluation mode) from its file.  Raises CheckpointError naming the file."""
    try:
        tensors, header = read_tensors(path, QUANTISED_FORMAT)
    except FileError as error:
        raise CheckpointError(str(error)) from None
    missing = [k for k in FIELDS if k not in header]
    if missing:
        raise CheckpointError(f"{path}: header lacks {', '.join(missing)}")
    try:
        formats = {k: TensorFormat.from_dict(v) for k, v in header["formats"].items()}
        network = build_encoder(EncoderShape(**header["shape"]), formats, tensors).eval()
        inputs, scheme = InputSpec.from_dict(header["inputs"]), ClassScheme.from_dict(header["classes"], path)
    except (ValueError, TypeError, KeyError) as error:
        raise CheckpointError(f"{path}: {error}") from None
    rest = header["recipe"], inputs, scheme, header.get("training", {})
    return QuantisedCheckpoint(header["name"], header["mode"], network, formats, *rest)
