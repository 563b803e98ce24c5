"""Bare weights from elsewhere: safetensors, the original's older files (a PyTorch zip under that suffix), other
names and forms.

VENOM implementations with the same number of parameters differ in how delta is made; multiplied out they are
one graph, and the form is recognised by the tensors' shapes (E = d_inner, N = d_state, R = rank of delta):

    dt_proj (E, E) with bias                         ours
    x_proj (R, E), then dt_proj (E, R) with bias     folded: dt_proj @ x_proj
    x_proj (R + 2N, E), then dt_proj (E, R)          Mamba's own order [delta, B, C]: split, then folded
    x_proj (E, E) with bias, no dt_proj              renamed
    x_proj (E + 2N, E) and a bias (E,), no dt_proj   split
"""

from __future__ import annotations

import re
import zipfile
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from .errors import CheckpointError
from .network import MKIDEnergySSM

# Other names of the same tensors, applied in this order to the name without a leading "model." or "module.".
ALIASES = (
    (r"^(?:backbone\.)?(?:embed|embedding|in_embed|input)\.(weight|bias)$", r"backbone.input_proj.\1"),
    (r"^backbone\.(?:blocks|mamba)\.", "backbone.layers."),
    (r"^(layers|input_proj|norm)\.", r"backbone.\1."),
    (r"^backbone\.(?:norm_f|final_norm|out_norm)\.", "backbone.norm."),
    (r"^(backbone\.layers\.\d+)\.(?:mixer|ssm|mamba|block)\.", r"\1."),
    (r"\.(?:conv1d|dw_conv)\.", ".conv."),
    (r"\.conv_(weight|bias)$", r".conv.\1"),
    (r"\.(?:A_log|log_A)$", ".log_neg_A"),
    (r"\.(?:dt_bias|delta_bias)$", ".dt_proj.bias"),
    (r"\.delta_proj\.", ".dt_proj."),
    (r"\.(?:dt_down|dt_in|dt_x)\.", ".x_proj."),
    (
        r"^head\.(?:attn_query|attention_query|attn\.query|attn\.weight|attention\.weight|score\.weight|pool\.query)$",
        "head.query",
    ),
    (r"^head\.(?:mlp|net|layers)\.0\.", "head.fc1."),
    (r"^head\.(?:mlp|net)\.2\.", "head.fc2."),
    (r"^head\.(?:mlp|net)\.4\.", "head.fc3."),
    (r"^head\.layers\.1\.", "head.fc2."),
    (r"^head\.layers\.2\.", "head.fc3."),
)


@dataclass(frozen=True)
class WeightsReport:
    """What became of a file's tensors: placed (model names), folded (what was done), unplaced (names in the file)."""

    placed: list[str]
    folded: list[str]
    unplaced: list[str]


def read_tensors(path) -> dict[str, Tensor]:
    """Tensors of a safetensors file, or of a PyTorch zip whatever its suffix. Raises CheckpointError."""
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file")
    try:
        if zipfile.is_zipfile(path):
            # The one place where PyTorch's own format is read: weights_only refuses all but tensors and containers.
            # An open file, because torch.load trusts the suffix of a path.
            with path.open("rb") as file:
                loaded = torch.load(file, map_location="cpu", weights_only=True)
        else:
            loaded = load_file(path)
    except (SafetensorError, OSError, RuntimeError, ValueError, KeyError, EOFError) as error:
        raise CheckpointError(f"{path}: {error}; expected safetensors or a PyTorch zip of tensors") from error
    except Exception as error:  # the unpickler has an exception type of its own
        if type(error).__name__ != "UnpicklingError":
            raise
        raise CheckpointError(
            f"{path}: holds more than tensors, refused ({str(error).partition(chr(10))[0]})"
        ) from error
    for key in ("state_dict", "model_state_dict", "model"):
        if isinstance(loaded, dict) and isinstance(loaded.get(key), dict):
            loaded = loaded[key]
    if not isinstance(loaded, dict) or not loaded or not all(isinstance(v, Tensor) for v in loaded.values()):
        raise CheckpointError(f"{path}: expected a dictionary of tensors by name")
    return loaded


def canonical_name(name: str) -> str:
    """This project's name of a tensor, as far as it can be told from the name alone."""
    name = re.sub(r"^(?:model|module|_orig_mod)\.", "", name)
    for pattern, replacement in ALIASES:
        name = re.sub(pattern, replacement, name)
    return name


def _fold_delta(tensors: dict[str, tuple[str, Tensor]], prefix: str, e: int, n: int) -> list[str]:
    """Bring one block's delta, B and C into our form, in place; returns a line of explanation for each change."""
    x_name, dt_name = f"{prefix}.x_proj.weight", f"{prefix}.dt_proj.weight"
    if x_name not in tensors:
        return []
    source, x_proj = tensors[x_name]
    said, rows = [], x_proj.shape[0]
    rank = tensors[dt_name][1].shape[-1] if dt_name in tensors else e
    if x_proj.dim() != 2 or x_proj.shape[1] != e or rows not in (rank, rank + 2 * n):
        return []
    if f"{prefix}.x_proj.bias" in tensors and (dt_name in tensors or rows != e):
        return []
    del tensors[x_name]
    if rows == rank + 2 * n:
        tensors[f"{prefix}.B_proj.weight"] = (source, x_proj[rank : rank + n])
        tensors[f"{prefix}.C_proj.weight"] = (source, x_proj[rank + n :])
        x_proj = x_proj[:rank]
        said.append(f"{source} split into delta ({rank} rows), B_proj and C_proj ({n} rows each)")
    if dt_name in tensors:
        dt_source, dt_proj = tensors[dt_name]
        x_proj = (dt_proj.double() @ x_proj.double()).to(dt_proj.dtype)
        said.append(f"{dt_source} ({e}, {rank}) times {source} folded into dt_proj ({e}, {e})")
    else:
        said.append(f"{source} taken as dt_proj")
    tensors[dt_name] = (source, x_proj)
    if (bias := tensors.pop(f"{prefix}.x_proj.bias", None)) is not None:
        tensors[f"{prefix}.dt_proj.bias"] = bias
    return said


def _reshaped(name: str, tensor: Tensor, shape: torch.Size) -> Tensor | None:
    """The tensor in our shape if only its layout differs: MLX convolutions (E, K, 1), a query of shape (1, D)
    or (D, 1).
    """
    if tensor.shape == shape:
        return tensor
    if name.endswith("conv.weight") and tensor.dim() == 3 and tensor.transpose(1, 2).shape == shape:
        return tensor.transpose(1, 2)
    if name.endswith("conv.weight") and tensor.dim() == 2 and tensor.unsqueeze(1).shape == shape:
        return tensor.unsqueeze(1)
    if name == "head.query" and tensor.numel() == shape.numel():
        return tensor.reshape(shape)
    return None


def load_weights(model: MKIDEnergySSM, path, strict: bool = True) -> WeightsReport:
    """Fill a model from a file of weights.

    Raises CheckpointError, and leaves the model as it was, if a tensor of the model is missing or has another
    shape, or (when `strict`) if one of the file has no place.
    """
    return place_tensors(model, read_tensors(path), str(path), strict)


def place_tensors(
    model: MKIDEnergySSM, found: dict[str, Tensor], source: str = "tensors", strict: bool = True
) -> WeightsReport:
    """`load_weights` of tensors that are in memory already."""
    tensors = {canonical_name(name): (name, value) for name, value in found.items()}
    if len(tensors) != len(found):
        raise CheckpointError(f"{source}: two tensors mean the same one of this model: {sorted(found)}")
    folded = []
    for k, layer in enumerate(model.backbone.layers):
        folded += _fold_delta(tensors, f"backbone.layers.{k}", layer.d_inner, layer.d_state)
    own = model.state_dict()
    state, wrong = {}, []
    for name, target in own.items():
        if name not in tensors:
            continue
        original, value = tensors[name]
        fitted = _reshaped(name, value, target.shape)
        if fitted is None:
            wrong.append(
                f"'{original}' has shape {tuple(value.shape)}, expected {tuple(target.shape)} for {name}"
            )
        else:
            state[name] = fitted
    unplaced = sorted(original for name, (original, _) in tensors.items() if name not in own)
    missing = sorted(set(own) - set(state))
    problems = wrong + [f"no tensor for {name}" for name in missing if not any(name in w for w in wrong)]
    if problems or (strict and unplaced):
        left = f"; could not place: {', '.join(unplaced)}" if unplaced else ""
        raise CheckpointError(
            f"{source}: {'; '.join(problems) or 'tensors that this model does not have'}{left}"
        )
    model.load_state_dict({k: v.to(own[k].dtype) for k, v in state.items()})
    return WeightsReport(sorted(state), folded, unplaced)
