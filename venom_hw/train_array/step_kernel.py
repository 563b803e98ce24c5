"""Loss and gradients of many networks by the C++ kernel (CPU, float32 and float64), compiled once into the cache.

`library()` returns None, after one warning, where there is no working compiler; `grouped` then does the same work.
"""

from __future__ import annotations

import ctypes
import functools
import platform
import subprocess
import warnings
from pathlib import Path

import torch
from torch import Tensor

from venom_hw.compiled import KernelUnavailable, compile_library, read_source
from venom_hw.model.block import NORM_EPS

from .batch import Batch
from .errors import TrainArrayError
from .layout import Layout

SOURCE = Path(__file__).with_name("step_kernel.cpp")
FLAGS = ("-std=c++20", "-O3", "-march=native", "-ffp-contract=fast", "-fopenmp", "-fPIC", "-shared")
WIDE = ("-mprefer-vector-width=512",) if platform.machine() in ("x86_64", "AMD64") else ()
SUFFIX = {torch.float32: "float32", torch.float64: "float64"}
LOSSES = ("gaussian_nll", "mse")  # their numbers in the kernel
GLOBALS = (
    "backbone.input_proj.weight",
    "backbone.input_proj.bias",
    "backbone.norm.weight",
    "backbone.norm.bias",
    "head.query",
    "head.fc1.weight",
    "head.fc1.bias",
    "head.fc2.weight",
    "head.fc2.bias",
    "head.fc3.weight",
    "head.fc3.bias",
)
LOCALS = (
    "norm.weight",
    "norm.bias",
    "in_proj.weight",
    "conv.weight",
    "conv.bias",
    "B_proj.weight",
    "C_proj.weight",
    "dt_proj.weight",
    "dt_proj.bias",
    "log_neg_A",
    "D",
    "out_proj.weight",
)


@functools.cache
def library() -> ctypes.CDLL | None:
    """The loaded kernel, or None (with one warning) where it cannot be had."""
    try:
        loaded = ctypes.CDLL(str(compile_library(read_source(SOURCE), "train-step", FLAGS + WIDE, what=SOURCE.name)))
    except (KernelUnavailable, OSError, subprocess.SubprocessError) as error:
        warnings.warn(
            f"fast training step not available, using PyTorch's operations: {error}",
            RuntimeWarning,
            stacklevel=2,
        )
        return None
    for suffix in SUFFIX.values():
        function = getattr(loaded, f"venom_step_{suffix}")
        function.argtypes = [ctypes.c_void_p] * 2 + [ctypes.c_double] + [ctypes.c_void_p] * 9 + [ctypes.c_int]
        function.restype = None
    return loaded


class KernelEngine:
    """Steps of networks of one layout. A pixel's result depends neither on its neighbours nor on `threads`."""

    name = "kernel"

    def __init__(self, layout: Layout, loss: str = "gaussian_nll", threads: int = 1):
        if library() is None:
            raise TrainArrayError(
                "engine 'kernel': it cannot be compiled here; expected a C++ compiler, or engine 'torch'"
            )
        self.layout, self.loss, self.threads = layout, LOSSES.index(loss), threads
        at = dict(zip(layout.names, layout.offsets, strict=True))
        layers = range(layout.sizes["n_layers"])
        offsets = [at[n] for n in GLOBALS] + [at[f"backbone.layers.{k}.{n}"] for k in layers for n in LOCALS]
        if len(offsets) != len(at):
            raise TrainArrayError(f"engine 'kernel': {len(at)} tensors in the model, expected {len(offsets)}")
        self._offsets = (ctypes.c_int64 * len(offsets))(*offsets)

    def _run(self, rows: Tensor, batch: Batch, losses, gradients, outputs) -> None:
        s = self.layout.sizes
        counts = batch.counts.contiguous()
        pixels, n, length, _ = counts.shape
        size = (
            pixels,
            n,
            length,
            s["d_model"],
            s["d_model"] * s["expand"],
            s["d_state"],
            s["d_conv"],
            s["d_head_hidden"],
            s["n_layers"],
            self.layout.count,
            self.loss,
        )
        if (
            counts.dtype != torch.int16
            or rows.shape != (pixels, self.layout.count)
            or rows.device.type != "cpu"
        ):
            raise TrainArrayError(
                f"engine 'kernel': counts {counts.dtype} {tuple(counts.shape)}, parameters "
                f"{tuple(rows.shape)} on {rows.device}: expected int16 and {(pixels, self.layout.count)} on cpu"
            )
        lengths = batch.lengths.to(torch.int64).contiguous()
        if lengths.shape != (pixels, n) or int(lengths.min()) < 1 or int(lengths.max()) > length:
            raise TrainArrayError(
                f"engine 'kernel': lengths {tuple(lengths.shape)} from {int(lengths.min())} to "
                f"{int(lengths.max())}: expected {(pixels, n)} of 1 to {length}"
            )
        mean, std, target = (v.to(rows.dtype).contiguous() for v in (batch.mean, batch.std, batch.target))
        for name, value, shape in (
            ("mean", mean, (pixels, 2)),
            ("std", std, (pixels, 2)),
            ("target", target, (pixels, n)),
        ):
            if tuple(value.shape) != shape:
                raise TrainArrayError(f"engine 'kernel': {name} {tuple(value.shape)}, expected {shape}")
        pointers = (v if v is None else v.data_ptr() for v in (losses, gradients, outputs))
        function = getattr(library(), f"venom_step_{SUFFIX[rows.dtype]}")
        function(
            (ctypes.c_int64 * len(size))(*size),
            self._offsets,
            NORM_EPS,
            rows.data_ptr(),
            counts.data_ptr(),
            mean.data_ptr(),
            std.data_ptr(),
            lengths.data_ptr(),
            target.data_ptr(),
            *pointers,
            self.threads,
        )

    def loss_and_gradient(self, rows: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """Parameters (pixels, count) -> loss (pixels,), its gradient (pixels, count)."""
        rows = rows.contiguous()
        losses, gradients = rows.new_empty(len(rows)), torch.empty_like(rows)
        self._run(rows, batch, losses, gradients, None)
        return losses, gradients

    def predict(self, rows: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """(mu, log sigma^2), each (pixels, batch), standardised; `target` of the batch is not looked at."""
        rows = rows.contiguous()
        out = rows.new_empty(*batch.counts.shape[:2], 2)
        self._run(rows, batch, None, None, out)
        return out[..., 0], out[..., 1]
