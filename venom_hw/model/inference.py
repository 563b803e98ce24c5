"""A checkpoint on the library that inference runs on here."""

from __future__ import annotations

from venom_hw.backend import choose_backend

from .checkpoint import VenomCheckpoint


def on_chosen_backend(checkpoint: VenomCheckpoint) -> VenomCheckpoint:
    """The checkpoint itself (PyTorch), or its MLX twin where `venom_hw.backend.choose_backend` says so: by
    $VENOM_BACKEND, else on Apple silicon. Its `predict` gives the same energies to float32's precision.

    Raises venom_hw.backend.BackendError for a library that is unknown or cannot run here.
    """
    if choose_backend() == "torch":
        return checkpoint
    from .mlx_network import from_torch

    return from_torch(checkpoint)
