"""Pretrained weights of the image backbone, from a local file: Galaxy Zoo's Zoobot or ImageNet, as timm saves them.

Nothing is downloaded. Zoobot's file is `model.safetensors` of mwalmsley/zoobot-encoder-convnext_pico on Hugging Face;
that of timm/convnext_pico.d1_in1k has the same names, with a classifier that is left out.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from rtf_models.errors import CheckpointError

from .convnext import ConvNeXt

STEM = "stem.0.weight"  # the first tensor; whatever stands before this name is a prefix of all
CLASSIFIER = "head.fc."


def load_backbone(backbone: ConvNeXt, path: str | os.PathLike) -> list[str]:
    """Copy a file's weights into the backbone; names of the file's tensors that were left out (a classifier's).

    A prefix ("encoder.", "timm_model.", "image_tower.cnn.", ...) is found and stripped; tensors without it belong to
    something else and are left out too.

    Raises:
        CheckpointError: cannot be read, or does not fit: every missing, unknown and differently shaped tensor is named.
    """
    path = Path(path)
    state = _read(path)
    stems = [name for name in state if name == STEM or name.endswith("." + STEM)]
    if len(stems) != 1:
        raise CheckpointError(f"{path}: {len(stems)} tensors are named '{STEM}' (under any prefix), expected one: "
                              "ConvNeXt-pico as timm saves it")  # fmt: skip
    prefix = stems[0].removesuffix(STEM)
    wanted = backbone.state_dict()
    found, left_out = {}, []
    for name, tensor in state.items():
        short = name.removeprefix(prefix)
        if not name.startswith(prefix) or short.startswith(CLASSIFIER):
            left_out.append(name)
        elif short in wanted and tensor.dim() == 2 and wanted[short].shape == (*tensor.shape, 1, 1):
            found[short] = tensor[..., None, None]  # a linear layer is a 1x1 convolution
        else:
            found[short] = tensor
    wrong = [f"'{name}' is missing" for name in wanted if name not in found]
    wrong += [f"'{name}' is unknown" for name in found if name not in wanted]
    wrong += [
        f"'{name}' has shape {tuple(tensor.shape)}, expected {tuple(wanted[name].shape)}"
        for name, tensor in found.items()
        if name in wanted and tensor.shape != wanted[name].shape
    ]
    if wrong:
        raise CheckpointError(f"{path}: not the weights of ConvNeXt-pico ({len(wrong)} tensors): " + "; ".join(wrong))
    if bad := [name for name, tensor in found.items() if not bool(tensor.isfinite().all())]:
        raise CheckpointError(f"{path}: not finite: {', '.join(bad)}")
    backbone.load_state_dict(found)
    return left_out


def _read(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file (weights are read from a local file, nothing is downloaded)")
    if path.suffix == ".safetensors":
        try:
            return load_file(path)
        except (SafetensorError, OSError) as error:
            raise CheckpointError(f"{path}: not a safetensors file ({error})") from error
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # zip, pickle and torch each raise their own kinds for files that are something else
        raise CheckpointError(f"{path}: cannot be read as plain tensors ({str(error).splitlines()[0]})") from error
    if isinstance(state, Mapping) and isinstance(state.get("state_dict"), Mapping):
        state = state["state_dict"]
    if not isinstance(state, Mapping):
        raise CheckpointError(f"{path}: holds a {type(state).__name__}, expected a state dict")
    return {name: value for name, value in state.items() if isinstance(value, Tensor)}
