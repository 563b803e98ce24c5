"""How well quantised fingerprints stand for the float ones: cosine, error, neighbours, what a probe knows from them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch

from rtf_models.checkpoint import Checkpoint
from rtf_models.classes import ClassScheme
from rtf_models.data.source import Source
from rtf_models.embedding import Embeddings, embed_sources
from rtf_models.evaluation.probe import linear_probe

from .checkpoint import QuantisedCheckpoint
from .shape import EncoderError
from .training import float_latent, relative_error

FLOAT, PTQ, QAT = "float", "calibrated", "fine-tuned"
NEIGHBOURS = 10
SCORES = ("accuracy", "balanced_accuracy", "roc_auc")


class FloatLatent(torch.nn.Module):
    """A float model whose ``embed`` is the latent that is quantised (for a VQ-VAE: before the codebook)."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model, self.latent_dim = model, model.latent_dim

    def embed(self, *inputs: torch.Tensor, **named: torch.Tensor) -> torch.Tensor:
        return float_latent(self.model, *inputs, **named)


def float_embeddings(
    checkpoint: Checkpoint, sources: Sequence[Source], counts: int | None = None, **options: Any
) -> Embeddings:
    """Fingerprints of the float model (of a VQ-VAE: its latents before the codebook)."""
    latent = Checkpoint(FloatLatent(checkpoint.model).eval(), checkpoint.inputs, checkpoint.scheme)
    return embed_sources(latent, sources, counts=counts, reconstruct=False, **options)


def quantised_embeddings(
    checkpoint: QuantisedCheckpoint, sources: Sequence[Source], counts: int | None = None, **options: Any
) -> Embeddings:
    """Fingerprints of the quantised model, exact (float64 inside).

    Raises EncoderError naming the first source of more detections than the model's sums are proven for; ``counts``, or
    the ``max_len`` of the checkpoint's inputs, cuts them.
    """
    checkpoint.model.double()
    try:
        checked = LengthChecked(checkpoint, sources, counts)
        return embed_sources(checkpoint, checked, counts=counts, batch_size=64, reconstruct=False, **options)
    finally:
        checkpoint.model.float()


class LengthChecked:
    """Sources, each looked at for its length when it is read."""

    def __init__(self, checkpoint: QuantisedCheckpoint, sources: Sequence[Source], counts: int | None) -> None:
        self.checkpoint, self.sources, self.counts = checkpoint, sources, counts

    def __len__(self) -> int:
        return len(self.sources)

    def __iter__(self) -> Iterator[Source]:
        limit = self.checkpoint.model.shape.max_len
        for source in self.sources:
            length = self.checkpoint.inputs.length(source, self.counts)
            if length > limit:
                raise EncoderError(
                    f"source {source.object_id}: {length} detections; expected at most {limit}, for which the sums of "
                    f"{self.checkpoint.name} are proven (counts={limit} takes the first {limit})"
                )
            yield source


def fidelity(z: np.ndarray, reference: np.ndarray) -> dict[str, float]:
    """Of fingerprints (N, D) against the float ones.

    ``cosine``: of each with its own float one (mean, 1 % quantile, least); ``cosine_centred``: after the mean float
    fingerprint is taken off, so that what all have in common does not count; ``relative_error``: rms difference over
    rms spread; ``neighbours``: share of the 10 nearest by cosine that are the same ten.
    """
    def cosine(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return (a * b).sum(1) / np.maximum(np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1), 1e-12)

    z, reference = np.asarray(z, np.float64), np.asarray(reference, np.float64)
    own, centre = cosine(z, reference), reference.mean(0)
    centred = cosine(z - centre, reference - centre)
    result = {
        "cosine_mean": float(own.mean()),
        "cosine_1_per_cent": float(np.quantile(own, 0.01)),
        "cosine_least": float(own.min()),
        "cosine_centred_mean": float(centred.mean()),
        "cosine_centred_1_per_cent": float(np.quantile(centred, 0.01)),
        "relative_error": relative_error(z, reference),
    }
    k = min(NEIGHBOURS, len(z) - 1)
    if k > 0:
        ours, theirs = (nearest(values, k) for values in (z, reference))
        result["neighbours"] = float(np.mean([len(set(a) & set(b)) / k for a, b in zip(ours, theirs, strict=True)]))
    return result


def nearest(values: np.ndarray, k: int) -> np.ndarray:
    """Rows of the k nearest others by cosine, (N, k)."""
    unit = values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-12)
    similarity = unit @ unit.T
    np.fill_diagonal(similarity, -np.inf)
    return np.argsort(-similarity, axis=1, kind="stable")[:, :k]


def probe_scores(train: Embeddings, test: Embeddings, scheme: ClassScheme) -> dict[str, dict[str, float]] | None:
    """Accuracy, balanced accuracy and AUC of the linear probe by level; None where there are too few classes."""
    try:
        result = linear_probe(train, test, scheme)
    except ValueError:
        return None
    return {
        level: {name: result[level][name] for name in SCORES}
        for level in ("coarse", "fine")
        if result.get(level) is not None
    }
