"""Which implementation does the steps: the C++ kernel on a CPU, PyTorch's batched operations elsewhere."""

from __future__ import annotations

import torch

from . import step_kernel
from .errors import TrainArrayError
from .grouped import GroupedEngine
from .layout import Layout
from .step_kernel import KernelEngine

ENGINES = ("auto", "kernel", "torch")


def choose_engine(name: str, layout: Layout, loss: str, device: torch.device, threads: int = 1):
    """Raises TrainArrayError for an unknown name or a kernel that cannot be had on this device."""
    if name not in ENGINES:
        raise TrainArrayError(f"engine '{name}': expected one of {', '.join(ENGINES)}")
    if name == "kernel" and device.type != "cpu":
        raise TrainArrayError(f"engine 'kernel' on {device}: expected the device cpu, or engine 'torch'")
    if name == "torch" or device.type != "cpu" or (name == "auto" and step_kernel.library() is None):
        return GroupedEngine(layout, loss)
    return KernelEngine(layout, loss, threads)
