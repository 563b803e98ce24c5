"""Tensors of a file into a network: strictly, and with errors that say which tensor is wrong."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

from rtf_models.errors import CheckpointError
from venom_hw.tensor_check import check_tensors


def load_tensors(path: Path, model: nn.Module, tensors: Mapping[str, torch.Tensor]) -> None:
    """Copies the tensors of file `path` into the model; CheckpointError names the first that is missing, unknown, of
    another shape or not finite.
    """
    check_tensors(path, model.state_dict(), tensors, CheckpointError)
    model.load_state_dict(with_versions(model, tensors))


def with_versions(model: nn.Module, tensors: Mapping[str, torch.Tensor]) -> OrderedDict[str, torch.Tensor]:
    """The tensors as a state dict that says which behaviour they belong to: the model's own, as it is constructed. (A
    state dict without versions is taken as the original's.)
    """
    state = OrderedDict(tensors)
    state._metadata = model.state_dict()._metadata  # where torch keeps them
    return state
