"""Which library computes (PyTorch or MLX) and on which device, by detection or by name.

`VENOM_BACKEND=torch|mlx` chooses the library; empty or unset: MLX on Apple silicon where it can run an operation, else
PyTorch. `VENOM_DEVICE=cpu|cuda|mps` says what device "auto" means. Nothing heavy is imported until it is asked for, and
this module imports nothing of the project: any room may use it.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import platform

BACKENDS = ("torch", "mlx")
DEVICES = ("auto", "cpu", "cuda", "mps")
BACKEND_VARIABLE, DEVICE_VARIABLE = "VENOM_BACKEND", "VENOM_DEVICE"


class BackendError(RuntimeError):
    """A library or a device that was asked for is unknown or cannot be used here; the message says what can."""


@functools.cache
def mlx_runs() -> bool:
    """Can MLX be imported and compute? (False in sessions without a usable Metal device, and where it is missing.)"""
    if importlib.util.find_spec("mlx") is None:
        return False
    try:
        import mlx.core as mx

        return float(mx.sum(mx.ones(2))) == 2.0
    except Exception:  # a broken installation fails in ways of its own; whatever it says, it does not run
        return False


def on_apple_silicon() -> bool:
    return platform.system() == "Darwin" and platform.machine() == "arm64"


def choose_backend(name: str | None = None) -> str:
    """"torch" or "mlx": `name`, else $VENOM_BACKEND, else by detection. Raises BackendError."""
    source = "backend" if name else BACKEND_VARIABLE
    name = name or os.environ.get(BACKEND_VARIABLE, "")
    if not name:
        return "mlx" if on_apple_silicon() and mlx_runs() else "torch"
    if name not in BACKENDS:
        raise BackendError(f"{source} = '{name}': expected one of {', '.join(BACKENDS)}")
    if name == "mlx" and not mlx_runs():
        raise BackendError(
            f"{source} = 'mlx': MLX cannot run here; expected an installation of it "
            "(pip install mlx on Apple silicon, pip install 'mlx[cpu]' on Linux), or 'torch'"
        )
    return name


def require_torch(what: str) -> None:
    """Raises BackendError if $VENOM_BACKEND names another library than the one that `what` ("training") runs on."""
    name = os.environ.get(BACKEND_VARIABLE, "")
    if name and choose_backend(name) != "torch":
        raise BackendError(
            f"{BACKEND_VARIABLE} = '{name}': {what} runs on PyTorch (on Apple silicon with its MPS device); "
            "expected 'torch' or no such variable. MLX is for inference of a finished checkpoint"
        )


def usable_devices() -> tuple[str, ...]:
    """What PyTorch can compute on here, the fastest first; "cpu" is always the last."""
    import torch

    found = []
    if torch.cuda.is_available():
        found.append("cuda")
    if torch.backends.mps.is_available():
        found.append("mps")
    return (*found, "cpu")


def choose_device(name: str = "auto") -> str:
    """The PyTorch device: `name`, or for "auto" $VENOM_DEVICE, else CUDA, else Apple MPS, else the CPU.

    A CUDA device may carry its number ("cuda:1"). Raises BackendError for one that is unknown or not there.
    """
    source = "device"
    if name == "auto" and os.environ.get(DEVICE_VARIABLE):
        name, source = os.environ[DEVICE_VARIABLE], DEVICE_VARIABLE
    kind, _, number = name.partition(":")
    if kind not in DEVICES or (number and not (kind == "cuda" and number.isdecimal())):
        raise BackendError(f"{source} = '{name}': expected one of {', '.join(DEVICES)}, or cuda:<number>")
    usable = usable_devices()
    if kind == "auto":
        return usable[0]
    if kind not in usable:
        raise BackendError(f"{source} = '{name}': not available here; expected one of {', '.join(usable)}")
    if number:
        import torch

        if int(number) >= torch.cuda.device_count():
            raise BackendError(f"{source} = '{name}': there are {torch.cuda.device_count()} CUDA devices, from cuda:0")
    return name
