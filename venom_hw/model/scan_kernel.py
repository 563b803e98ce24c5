"""Compiles scan_kernel.cpp once, keeps the library in a cache folder, and calls it (CPU, float32 and float64).

The cache is that of `venom_hw.compiled`. Without a working compiler `library()` returns None, after one warning that
says why, and the scans of `scan_torch` are used: same results, slower.
"""

from __future__ import annotations

import ctypes
import functools
import subprocess
import warnings
from pathlib import Path

import torch
from torch import Tensor

from venom_hw.compiled import KernelUnavailable, compile_library, read_source

SOURCE = Path(__file__).with_name("scan_kernel.cpp")
FLAGS = ("-std=c++20", "-O3", "-march=native", "-fopenmp", "-fPIC", "-shared")
SUFFIX = {torch.float32: "float32", torch.float64: "float64"}
FUNCTIONS = {
    "selective_forward": 8,
    "selective_backward": 12,
    "linear_forward": 4,
    "linear_backward": 6,
}  # pointers


def build(folder: Path | None = None) -> Path:
    """The shared library, compiled into `folder` (default: the cache) unless it is there. Raises KernelUnavailable."""
    return compile_library(read_source(SOURCE), "scan", FLAGS, what=SOURCE.name, folder=folder)


@functools.cache
def library() -> ctypes.CDLL | None:
    """The loaded kernel, or None (with one warning) where it cannot be had."""
    try:
        loaded = ctypes.CDLL(str(build()))
    except (KernelUnavailable, OSError, subprocess.SubprocessError) as error:
        warnings.warn(
            f"fast scan not available, using the slower PyTorch one: {error}", RuntimeWarning, stacklevel=2
        )
        return None
    for suffix in SUFFIX.values():
        for name, pointers in FUNCTIONS.items():
            function = getattr(loaded, f"venom_{name}_{suffix}")
            function.argtypes = [ctypes.c_void_p] * pointers + [ctypes.c_int]
            function.restype = None
    return loaded


def takes(*tensors: Tensor) -> bool:
    """Can the kernel work on these tensors (CPU, one of the two floating types, all alike)?"""
    dtype = tensors[0].dtype
    return dtype in SUFFIX and all(v.dtype == dtype and v.device.type == "cpu" for v in tensors)


def _call(name: str, size: tuple[int, ...], *tensors: Tensor) -> None:
    function = getattr(library(), f"venom_{name}_{SUFFIX[tensors[0].dtype]}")
    function((ctypes.c_int64 * len(size))(*size), *(v.data_ptr() for v in tensors), torch.get_num_threads())


class LinearScan(torch.autograd.Function):
    """(a, b) -> h with h[t] = a[t] h[t-1] + b[t]; (batch, length, ...) each."""

    @staticmethod
    def forward(ctx, a: Tensor, b: Tensor) -> Tensor:
        a, b = a.contiguous(), b.contiguous()
        h = torch.empty_like(b)
        ctx.size = (*b.shape[:2], b[0, 0].numel())
        _call("linear_forward", ctx.size, a, b, h)
        ctx.save_for_backward(a, h)
        return h

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gh: Tensor) -> tuple[Tensor, Tensor]:
        a, h = ctx.saved_tensors
        ga, gb = torch.empty_like(a), torch.empty_like(a)
        _call("linear_backward", ctx.size, a, h, gh.contiguous(), ga, gb)
        return ga, gb


class SelectiveScan(torch.autograd.Function):
    """(x, delta, A, B, C) -> (y, last state); shapes as in `scan.selective_scan`."""

    @staticmethod
    def forward(ctx, x: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor) -> tuple[Tensor, Tensor]:
        x, delta, B, C = (v.contiguous() for v in (x, delta, B, C))
        A = A.T.contiguous()  # the kernel's inner loop runs over d_inner
        ctx.size = (*x.shape, B.shape[-1])
        y = torch.empty_like(x)
        h_last = x.new_empty(x.shape[0], *A.shape)
        _call("selective_forward", ctx.size, x, delta, A, B, C, y, h_last)
        ctx.save_for_backward(x, delta, A, B, C)
        h_last = h_last.transpose(1, 2)
        ctx.mark_non_differentiable(h_last)
        return y, h_last

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gy: Tensor, _) -> tuple[Tensor, ...]:
        x, delta, A, B, C = ctx.saved_tensors
        gx, gdelta, gB, gC = (torch.empty_like(v) for v in (x, delta, B, C))
        gA = x.new_empty(x.shape[0], *A.shape)
        _call("selective_backward", ctx.size, x, delta, A, B, C, gy.contiguous(), gx, gdelta, gA, gB, gC)
        return gx, gdelta, gA.sum(0).T, gB, gC
