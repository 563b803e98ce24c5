"""The two scans of the model, on the fastest implementation that there is for the tensors at hand.

`implementation` chooses: "auto" (the C++ kernel on a CPU, else PyTorch), "kernel", "torch". The environment variable
VENOM_SCAN sets what "auto" means.
"""

from __future__ import annotations

import os

from torch import Tensor

from . import scan_kernel, scan_torch
from .errors import ModelError

IMPLEMENTATIONS = ("auto", "kernel", "torch")


def _module(implementation: str, tensors: tuple[Tensor, ...]):
    if implementation == "auto":
        implementation = os.environ.get("VENOM_SCAN") or "auto"
    if implementation not in IMPLEMENTATIONS:
        raise ModelError(
            f"scan implementation '{implementation}': expected one of {', '.join(IMPLEMENTATIONS)}"
        )
    if implementation == "torch":
        return scan_torch
    usable = scan_kernel.takes(*tensors) and scan_kernel.library() is not None
    if implementation == "kernel" and not usable:
        kinds = sorted({f"{v.dtype} on {v.device}" for v in tensors})
        raise ModelError(
            f"the scan kernel is not available for {', '.join(kinds)} (needs a C++ compiler, a CPU, one type)"
        )
    return scan_kernel if usable else scan_torch


def linear_scan(a: Tensor, b: Tensor, implementation: str = "auto") -> Tensor:
    """h[t] = a[t] h[t-1] + b[t], h before the first sample 0 (so a[0] is not used).

    a, b, and the result: (batch, length, ...), the same operation as mambapy's pscan. Raises ModelError on
    other shapes.
    """
    if a.shape != b.shape or a.dim() < 2 or 0 in a.shape:
        raise ModelError(
            f"linear_scan: a {tuple(a.shape)}, b {tuple(b.shape)}: expected one shape (batch, length, ...), not empty"
        )
    return _module(implementation, (a, b)).LinearScan.apply(a, b)


def selective_scan(
    x: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, implementation: str = "auto"
) -> tuple[Tensor, Tensor]:
    """The recurrence of Mamba (Gu and Dao 2023, arXiv 2312.00752) from a zero state.

        h[t] = exp(delta[t] A) h[t-1] + delta[t] B[t] x[t],   y[t] = sum over states of C[t] h[t]

    x, delta: (batch, length, d_inner); A: (d_inner, d_state); B, C: (batch, length, d_state).
    Returns y (batch, length, d_inner) and the last h (batch, d_inner, d_state), which carries no gradient.
    Raises ModelError on shapes that do not fit.
    """
    if x.dim() != 3 or 0 in x.shape:
        raise ModelError(
            f"selective_scan: x has shape {tuple(x.shape)}, expected (batch, length, d_inner), not empty"
        )
    batch, length, d_inner = x.shape
    d_state = A.shape[-1]
    expected = {
        "delta": (delta, x.shape),
        "A": (A, (d_inner, d_state)),
        "B": (B, (batch, length, d_state)),
        "C": (C, (batch, length, d_state)),
    }
    for name, (value, shape) in expected.items():
        if tuple(value.shape) != tuple(shape):
            raise ModelError(
                f"selective_scan: {name} has shape {tuple(value.shape)}, expected {tuple(shape)}"
            )
    return _module(implementation, (x, delta, A, B, C)).SelectiveScan.apply(x, delta, A, B, C)
