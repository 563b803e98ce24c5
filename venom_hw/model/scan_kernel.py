"""Compiles scan_kernel.cpp once, keeps the library in a cache folder, and calls it (CPU, float32 and float64).

Cache: $VENOM_CACHE, else $XDG_CACHE_HOME/venom-hw, else ~/.cache/venom-hw. The file name carries a hash of the
source, the compiler's version, the flags and the processor, so that nothing stale is ever loaded. Without a
working compiler `library()` returns None, after one warning that says why, and the scans of `scan_torch` are
used: same results, slower.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
import warnings
from pathlib import Path

import torch
from torch import Tensor

SOURCE = Path(__file__).with_name("scan_kernel.cpp")
FLAGS = ("-std=c++20", "-O3", "-march=native", "-fopenmp", "-fPIC", "-shared")
SUFFIX = {torch.float32: "float32", torch.float64: "float64"}
FUNCTIONS = {
    "selective_forward": 8,
    "selective_backward": 12,
    "linear_forward": 4,
    "linear_backward": 6,
}  # pointers


class KernelUnavailable(RuntimeError):
    """The kernel cannot be compiled or loaded here."""


def cache_folder() -> Path:
    """Folder of compiled kernels (need not exist)."""
    if folder := os.environ.get("VENOM_CACHE"):
        return Path(folder)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "venom-hw"


def _compiler() -> tuple[str, str]:
    """Path and version line of the C++ compiler ($CXX, else g++, c++, clang++)."""
    names = [os.environ["CXX"]] if os.environ.get("CXX") else ["g++", "c++", "clang++"]
    for name in names:
        if path := shutil.which(name):
            answer = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=60)
            return path, answer.stdout.partition("\n")[0]
    raise KernelUnavailable(f"no C++ compiler found (looked for {', '.join(names)}; Debian: apt install g++)")


def _processor() -> str:
    """What -march=native depends on: a cache folder may be shared by several machines."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return "".join(
        next((x for x in lines if x.startswith(key)), "") for key in ("model name", "flags", "Features")
    )


def build(folder: Path | None = None) -> Path:
    """The shared library, compiled into `folder` (default: the cache) unless it is there. Raises KernelUnavailable."""
    path, version = _compiler()
    key = "\0".join([SOURCE.read_text(encoding="utf-8"), path, version, *FLAGS, _processor()])
    folder = cache_folder() if folder is None else Path(folder)
    library = folder / f"scan-{hashlib.sha256(key.encode()).hexdigest()[:20]}.so"
    if library.is_file():
        return library
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix="scan-", suffix=".tmp", dir=folder)
    except OSError as error:
        raise KernelUnavailable(
            f"cannot write to {folder} ({error}); VENOM_CACHE names another folder"
        ) from error
    os.close(handle)
    try:
        done = subprocess.run(
            [path, *FLAGS, str(SOURCE), "-o", temporary], capture_output=True, text=True, timeout=300
        )
        if done.returncode:
            lines = [x for x in done.stderr.splitlines() if "error" in x] or done.stderr.splitlines()[-1:]
            raise KernelUnavailable(f"{path} failed on {SOURCE.name}: {lines[0] if lines else 'no message'}")
        os.chmod(temporary, 0o755)
        os.replace(temporary, library)
    finally:
        Path(temporary).unlink(missing_ok=True)
    return library


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
