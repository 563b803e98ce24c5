"""The quantised checkpoint: one real safetensors file that rebuilds the quantised network exactly, from the
file alone.

Tensors: the network's parameters, on their grids, float32.  Header metadata ``venom`` = JSON {"format",
"name", "model" (sizes, max_steps, weight_frac), "formats" (tensor name -> bits, frac, signed, rounding
and, where there is one, minimum), "recipe", "window", "normalisation", "training", "data"}.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from venom_hw.atomic import write_atomically

from .calibrate import build_network
from .formats import TensorFormat
from .network import QuantVenom
from .shape import NetworkShape

QUANTISED_FORMAT = "venom-hw/quantised/1"
HEADER = "venom"


class CheckpointError(ValueError):
    """A file is not a checkpoint of this kind, or is damaged; the message names the file and what was
    expected.
    """


@dataclass
class QuantisedCheckpoint:
    """A quantised network and everything needed to rebuild, export and describe it."""

    name: str
    network: QuantVenom
    formats: dict[str, TensorFormat]
    recipe: dict[str, Any]
    window: dict[str, Any]
    normalisation: dict[str, Any]
    training: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)

    def header(self) -> dict[str, Any]:
        return {
            "format": QUANTISED_FORMAT,
            "name": self.name,
            "model": asdict(self.network.shape),
            "formats": {k: v.to_dict() for k, v in self.formats.items()},
            "recipe": self.recipe,
            "window": self.window,
            "normalisation": self.normalisation,
            "training": self.training,
            "data": self.data,
        }


def write_tensors(
    path: str | os.PathLike, tensors: Mapping[str, torch.Tensor], header: Mapping[str, Any]
) -> Path:
    """Write a safetensors file atomically, ``header`` as JSON under the key ``venom``."""
    contiguous = {k: v.detach().contiguous().clone() for k, v in tensors.items()}
    data = save(contiguous, metadata={HEADER: json.dumps(header, sort_keys=True)})
    return write_atomically(path, data)


def read_tensors(path: str | os.PathLike, expected: str) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """(tensors, header) of a safetensors file whose header has ``"format": expected``."""
    try:
        with safe_open(str(path), framework="pt") as file:
            header = json.loads((file.metadata() or {}).get(HEADER, "{}"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except FileNotFoundError:
        raise CheckpointError(f"{path}: no such file") from None
    except (SafetensorError, json.JSONDecodeError) as error:
        raise CheckpointError(f"{path}: not a safetensors file of this project ({error})") from None
    if header.get("format") != expected:
        raise CheckpointError(f"{path}: format is {header.get('format')!r}, expected {expected!r}")
    return tensors, header


def save_quantised(path: str | os.PathLike, checkpoint: QuantisedCheckpoint) -> Path:
    """Write the checkpoint; the network's parameters are put on their grids first."""
    checkpoint.network.snap()
    tensors = {k: v.to(torch.float32) for k, v in checkpoint.network.state_dict().items()}
    return write_tensors(path, tensors, checkpoint.header())


def load_quantised(path: str | os.PathLike) -> QuantisedCheckpoint:
    """Rebuild a quantised network (float32) from its file.  Raises CheckpointError naming the file."""
    tensors, header = read_tensors(path, QUANTISED_FORMAT)
    missing = [
        k for k in ("name", "model", "formats", "recipe", "window", "normalisation") if k not in header
    ]
    if missing:
        raise CheckpointError(f"{path}: header lacks {', '.join(missing)}")
    formats = {k: TensorFormat.from_dict(v) for k, v in header["formats"].items()}
    try:
        network = build_network(NetworkShape(**header["model"]), formats, tensors)
    except (ValueError, TypeError) as error:
        raise CheckpointError(f"{path}: {error}") from None
    return QuantisedCheckpoint(
        header["name"],
        network,
        formats,
        header["recipe"],
        header["window"],
        header["normalisation"],
        header.get("training", {}),
        header.get("data", {}),
    )
