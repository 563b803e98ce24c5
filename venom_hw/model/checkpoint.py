"""Float checkpoints: one safetensors file that rebuilds a trained model, with its window and normalisation, on its own.

The header's metadata key `venom` holds JSON: format, model (sizes), window, normalisation, training, data.
Nothing is pickled.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from venom_hw.atomic import write_atomically
from venom_hw.tensor_check import check_tensors

from .errors import CheckpointError
from .network import MKIDEnergySSM

FORMAT = "venom-hw/float/1"
SIZES = ("d_model", "d_state", "n_layers", "d_conv", "expand", "d_head_hidden")
NORMALISATION = {"iq_mean": 2, "iq_std": 2, "energy_offset": 0, "energy_scale": 0}


@dataclass
class VenomCheckpoint:
    """A trained model and what is needed to use it.

    window: `venom_hw.detector.Window.to_dict()` (rate_hz, n_pre, length, ...); normalisation: iq_mean [2] and
    iq_std [2] in counts, energy_offset and energy_scale in eV; training: command, seed, versions, metrics;
    data: preset, version, ...
    """

    model: MKIDEnergySSM
    window: dict[str, Any]
    normalisation: dict[str, Any]
    training: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)

    def standardise(self, counts) -> torch.Tensor:
        """Counts (N, L, 2), any number type -> the network's input, float of the model's type."""
        dtype = self.model.head.query.dtype
        mean = torch.tensor(self.normalisation["iq_mean"], dtype=dtype)
        std = torch.tensor(self.normalisation["iq_std"], dtype=dtype)
        return (torch.as_tensor(counts).to(dtype) - mean) / std

    @torch.no_grad()
    def predict(
        self, counts, recurrent: bool = False, lengths=None, batch: int = 1024
    ) -> tuple[np.ndarray, np.ndarray]:
        """Counts (N, L, 2) int16 -> energy (N,) in eV and log sigma^2 (N,), sigma in eV; float64.

        `recurrent`: sample by sample, as the gateware. `lengths` (N,): valid samples of each window, default all.
        Raises ModelError on other shapes.
        """
        run = self.model.recurrent if recurrent else self.model
        offset, scale = float(self.normalisation["energy_offset"]), float(self.normalisation["energy_scale"])
        parts = []
        for first in range(0, len(counts), batch):
            some = slice(first, first + batch)
            out = run(
                self.standardise(counts[some]), None if lengths is None else torch.as_tensor(lengths[some])
            )
            parts.append(torch.stack(out).double().numpy())
        mu, logvar = np.concatenate(parts, axis=1) if parts else np.empty((2, 0))
        return offset + scale * mu, logvar + 2 * math.log(scale)


def save_checkpoint(path: str | os.PathLike, checkpoint: VenomCheckpoint) -> Path:
    """Write atomically; returns the path. Raises CheckpointError for a window or normalisation that could not
    be read back.
    """
    path = Path(path)
    header = {
        "format": FORMAT,
        "model": dict(checkpoint.model.config),
        "window": dict(checkpoint.window),
        "normalisation": dict(checkpoint.normalisation),
        "training": dict(checkpoint.training),
        "data": dict(checkpoint.data),
    }
    _check_header(path, header)
    tensors = {k: v.detach().to(torch.float32).contiguous() for k, v in checkpoint.model.state_dict().items()}
    write_atomically(path, save(tensors, {"venom": json.dumps(header)}))
    return path


def load_checkpoint(path: str | os.PathLike) -> VenomCheckpoint:
    """Rebuild the model from a file alone. Raises CheckpointError naming the file, the field and what was expected."""
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file")
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{path}: not a safetensors file ({error}); older VENOM files: load_weights"
        ) from error
    if "venom" not in metadata:
        raise CheckpointError(
            f"{path}: no metadata key 'venom': these are bare weights, read them with load_weights"
        )
    try:
        header = json.loads(metadata["venom"])
    except json.JSONDecodeError as error:
        raise CheckpointError(f"{path}: metadata key 'venom' is not JSON ({error})") from error
    _check_header(path, header)
    model = MKIDEnergySSM(**{name: header["model"][name] for name in SIZES})
    check_tensors(path, model.state_dict(), tensors, CheckpointError)
    model.load_state_dict(tensors)
    return VenomCheckpoint(
        model.eval(), header["window"], header["normalisation"], header["training"], header["data"]
    )


def _check_header(path: Path, header: Any) -> None:
    if not isinstance(header, Mapping) or header.get("format") != FORMAT:
        found = header.get("format") if isinstance(header, Mapping) else header
        raise CheckpointError(f"{path}: format {found!r}, expected '{FORMAT}'")
    for name in ("model", "window", "normalisation", "training", "data"):
        if not isinstance(header.get(name), Mapping):
            raise CheckpointError(f"{path}: field '{name}' is {header.get(name)!r}, expected an object")
    for name in SIZES:
        value = header["model"].get(name)
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise CheckpointError(
                f"{path}: field 'model.{name}' is {value!r}, expected a whole number, 1 or more"
            )
    length = header["window"].get("length")
    if isinstance(length, bool) or not isinstance(length, int) or length < 1:
        raise CheckpointError(
            f"{path}: field 'window.length' is {length!r}, expected a whole number, 1 or more"
        )
    for name, count in NORMALISATION.items():
        value = header["normalisation"].get(name)
        numbers = value if count else [value]
        fine = (
            isinstance(numbers, (list, tuple))
            and len(numbers) == (count or 1)
            and all(isinstance(v, (int, float)) and math.isfinite(v) for v in numbers)
        )
        if not fine or (name in ("iq_std", "energy_scale") and min(numbers) <= 0):
            what = f"{count} finite numbers" if count else "a finite number"
            above = ", above zero" if name in ("iq_std", "energy_scale") else ""
            raise CheckpointError(
                f"{path}: field 'normalisation.{name}' is {value!r}, expected {what}{above}"
            )
