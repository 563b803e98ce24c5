"""Tensors of a file into a network: strictly, and with errors that say which tensor is wrong."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

from rtf_models.errors import CheckpointError


def load_tensors(path: Path, model: nn.Module, tensors: Mapping[str, torch.Tensor]) -> None:
    """Copies the tensors of file `path` into the model; CheckpointError names the first that is missing, unknown, of
    another shape or not finite.
    """
    own = model.state_dict()
    if missing := sorted(set(own) - set(tensors)):
        raise CheckpointError(f"{path}: tensor '{missing[0]}' is missing ({len(missing)} in all)")
    if unknown := sorted(set(tensors) - set(own)):
        raise CheckpointError(f"{path}: unknown tensor '{unknown[0]}' ({len(unknown)} in all)")
    for name, tensor in tensors.items():
        if tensor.shape != own[name].shape:
            raise CheckpointError(
                f"{path}: tensor '{name}' has shape {tuple(tensor.shape)}, expected {tuple(own[name].shape)}"
            )
        check_finite(path, name, tensor)
    model.load_state_dict(with_versions(model, tensors))


def with_versions(model: nn.Module, tensors: Mapping[str, torch.Tensor]) -> OrderedDict[str, torch.Tensor]:
    """The tensors as a state dict that says which behaviour they belong to: the model's own, as it is constructed. (A
    state dict without versions is taken as the original's.)
    """
    state = OrderedDict(tensors)
    state._metadata = model.state_dict()._metadata  # where torch keeps them
    return state


def check_finite(path: Path, name: str, tensor: torch.Tensor) -> None:
    """CheckpointError if the tensor holds an infinity or NaN; `path` is where it comes from or goes to."""
    if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
        raise CheckpointError(f"{path}: tensor '{name}' holds values that are not finite")
