"""Quantisation-aware fine-tuning of the encoder towards the float model's fingerprints.

Forward values are exactly the quantised network's, the backward pass is straight-through.  What a step sees (which
light curves, how long a prefix of each) is a function of seed and step alone, so a resumed run goes on as if it had
never stopped.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import torch

from rtf_models.checkpoint import Checkpoint
from rtf_models.data.dataset import SourceDataset, collate_fn
from rtf_models.data.source import Source
from rtf_models.model.losses import N_CONTINUOUS, reconstruction_terms
from rtf_models.train.buckets import epoch_batches
from venom_hw.quantize.qat import fingerprint, train_steps

from .fold import BOTTLENECK
from .network import QuantEncoder

HASHED = ("time", "band", "mag", "mag_err", "metadata", "features", "feature_counts")  # fields of a Source: its data


@torch.no_grad()
def float_latent(
    model: torch.nn.Module,
    x: torch.Tensor,
    pad_mask: torch.Tensor | None,
    images: None = None,
    gp_features: torch.Tensor | None = None,
) -> torch.Tensor:
    """What the quantised encoder approximates (B, D): z (ae), mu (vae), the latent before the codebook (vqvae)."""
    model.eval()
    cls = model.fuse(model.encode_sequence(x, pad_mask), None, gp_features)
    return getattr(model, BOTTLENECK[model.mode])(cls)


def inputs_of(batch: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    """The tensors of a collated batch that an encoder takes."""
    return {name: batch[name] for name in ("x", "pad_mask", "gp_features") if name in batch}


class Batches:
    """Batches of similar length; ``at(step)`` is a function of the step alone."""

    def __init__(self, data: SourceDataset, size: int, seed: int) -> None:
        self.data, self.size, self.seed = data, min(size, len(data)), seed
        self.steps = -(-len(data) // self.size)
        self._epoch: tuple[int, list[list[int]]] = (-1, [])

    def at(self, step: int) -> dict[str, Any]:
        """Collated batch of a step."""
        epoch, place = divmod(step, self.steps)
        if self._epoch[0] != epoch:
            self.data.set_epoch(epoch)
            self._epoch = epoch, epoch_batches(self.data.lengths(), self.size, seed=self.seed, epoch=epoch)
        return collate_fn([self.data[k] for k in self._epoch[1][place]])


def data_hash(sources: Iterable[Source]) -> str:
    """SHA-256 (hex) of what sources hold: names, labels, photometry, metadata, features; their order counts."""
    digest = hashlib.sha256()
    for source in sources:
        digest.update(json.dumps([str(source.object_id), source.label, len(source)]).encode())
        for name in HASHED:
            value = getattr(source, name)
            digest.update(f"{name} {None if value is None else value.shape}".encode())
            if value is not None:
                digest.update(np.ascontiguousarray(value).tobytes())
    return digest.hexdigest()


def loss_function(
    z: torch.Tensor, target: torch.Tensor, variance: torch.Tensor, batch: Mapping[str, Any], model: torch.nn.Module,
    settings: Mapping[str, Any],
) -> torch.Tensor:  # fmt: skip
    """distill * mean |z - target|^2 / variance + recon * reconstruction loss of the float decoder from z."""
    loss = settings["distill"] * (z - target).square().mean() / variance
    if settings["recon"]:
        x, pad = batch["x"], batch["pad_mask"]
        terms = reconstruction_terms(x, pad, *model.decode(z, x.shape[1], pad))
        n = terms[3].sum().clamp(min=1)
        loss = loss + settings["recon"] * (terms[0].sum() / (N_CONTINUOUS * n) + terms[1].sum() / n)
    return loss


def fine_tune(
    network: QuantEncoder,
    checkpoint: Checkpoint,
    sources: Any,
    settings: Mapping[str, Any],
    *,
    resume: str | os.PathLike | None = None,
    save_every: int = 50,
    progress: Callable[[int, float], None] | None = None,
) -> list[float]:
    """Train ``network`` (float32, in place) on sources; returns the loss of each step.

    ``resume``: file of the training state; if it belongs to this very run it is continued.
    """
    model = checkpoint.model.eval().requires_grad_(False)
    data = SourceDataset(sources, checkpoint.inputs, random_truncate=bool(settings["prefixes"]), seed=settings["seed"])
    batches = Batches(data, int(settings["batch"]), int(settings["seed"]))
    first = [batches.at(k) for k in range(min(4, batches.steps))]
    targets = torch.cat([float_latent(model, **inputs_of(b)) for b in first])
    variance = targets.var(0).mean()
    facts = {"sources": data_hash(sources), "inputs": checkpoint.inputs.to_dict(), "float": checkpoint.sha256}
    key = fingerprint({**settings, **facts}, network, len(data))

    def loss_of(step: int) -> torch.Tensor:
        batch = batches.at(step)
        inputs = inputs_of(batch)
        target = float_latent(model, **inputs)
        return loss_function(network(*network.arguments(**inputs)), target, variance, batch, model, settings)

    trained = dict(network.named_parameters())
    options = dict(resume=resume, save_every=save_every, progress=progress)
    losses = train_steps(network, trained, loss_of, settings, key, **options)
    network.snap()
    return losses


def relative_error(z: np.ndarray, target: np.ndarray) -> float:
    """rms of z - target in units of the target's rms distance from its mean."""
    return float(np.sqrt(np.mean((z - target) ** 2) / np.mean(target.var(0))))
