"""Are a file's tensors those of a network? Imports nothing of the project: any room may use it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

Tensors = Mapping[str, Tensor]


def check_tensors(path: Path, own: Tensors, tensors: Tensors, error: type[ValueError]) -> None:
    """Raises `error` naming the first tensor that file `path` lacks (`own`: the network's), or that is unknown, of
    another shape or not finite.
    """
    if missing := sorted(set(own) - set(tensors)):
        raise error(f"{path}: tensor '{missing[0]}' is missing ({len(missing)} in all)")
    if unknown := sorted(set(tensors) - set(own)):
        raise error(f"{path}: unknown tensor '{unknown[0]}' ({len(unknown)} in all)")
    for name, tensor in tensors.items():
        if tensor.shape != own[name].shape:
            raise error(f"{path}: tensor '{name}' has shape {tuple(tensor.shape)}, expected {tuple(own[name].shape)}")
        check_finite(path, name, tensor, error)


def check_finite(path: Path, name: str, tensor: Tensor, error: type[ValueError]) -> None:
    """Raises `error` if the tensor holds an infinity or NaN; `path` is where it comes from or goes to."""
    if not bool(tensor.isfinite().all()):
        raise error(f"{path}: tensor '{name}' holds values that are not finite")
