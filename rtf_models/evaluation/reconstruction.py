"""Light curves as the decoder gives them back, beside what the encoder saw."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from rtf_models.checkpoint import Checkpoint
from rtf_models.data.dataset import collate_fn
from rtf_models.data.source import Source
from rtf_models.embedding import sorted_batches
from rtf_models.model import evaluating, reconstruction_terms

from .errors import EvaluationError

CHANNELS = ("log1p_days", "log1p_days_since_previous", "logflux", "logflux_err", "band")
CHUNK = 16  # batches prepared at a time, sorted by length among themselves


@dataclass(frozen=True)
class Reconstruction:
    """One source: what went in and what came out, L detections.

    true, decoded (L, 4) float32 in the network's own (scaled) units; band (L,) int64 0 g, 1 r, 2 i; band_logits (L, 3);
    latent (D,); errors (5,) of the CHANNELS.
    """

    object_id: str
    label: int
    true: np.ndarray
    decoded: np.ndarray
    band: np.ndarray
    band_logits: np.ndarray
    latent: np.ndarray
    errors: np.ndarray

    def __len__(self) -> int:
        return len(self.band)


def channel_errors(x: Tensor, pad_mask: Tensor, decoded: Tensor, band_logits: Tensor) -> Tensor:
    """Mean squared error of each continuous channel and mean cross-entropy of the band, by source: (B, 5).

    x (B, L, C), pad_mask (B, L) True = padding, decoded (B, L, 4), band_logits (B, L, 3): of `model(...)`.
    """
    squared, cross_entropy, _, valid = reconstruction_terms(x, pad_mask, decoded, band_logits)
    return torch.cat([squared, cross_entropy[..., None]], -1).sum(1) / valid.sum(1, keepdim=True).clamp(min=1)


def reconstruct(
    checkpoint: Checkpoint,
    sources: Iterable[Source],
    *,
    counts: int | None = None,
    batch_size: int = 256,
    device: str | torch.device | None = None,
    progress: bool = False,
) -> Iterator[Reconstruction]:
    """Encode and decode sources (their first `counts` detections), in their order, without dropout or sampling.

    A few thousand are held at a time. Raises EvaluationError for counts below 1.
    """
    if counts is not None and counts < 1:
        raise EvaluationError(f"counts = {counts}: expected 1 or more detections")
    device = torch.device(device) if device is not None else next(checkpoint.model.parameters()).device
    checkpoint.model.to(device)
    chunk: list[tuple[Source, dict]] = []
    for source in tqdm(sources, desc="reconstruct", unit="source", disable=not progress, leave=False):
        item = checkpoint.inputs.prepare(source, counts)
        item = {k: torch.from_numpy(v) if isinstance(v, np.ndarray) else v for k, v in item.items()}
        chunk.append((source, item | {"label_fine": -1, "label_coarse": -1, "obj_id": source.object_id}))
        if len(chunk) >= CHUNK * batch_size:
            yield from _decoded(checkpoint.model, chunk, batch_size, device)
            chunk = []
    if chunk:
        yield from _decoded(checkpoint.model, chunk, batch_size, device)


@torch.no_grad()
def _decoded(model, chunk, batch_size: int, device: torch.device) -> list[Reconstruction]:
    results: list[Reconstruction | None] = [None] * len(chunk)
    lengths = [item["seq_len"] for _, item in chunk]
    for rows in sorted_batches(lengths, batch_size):
        batch = collate_fn([chunk[i][1] for i in rows])
        named = ("x", "pad_mask", "images", "gp_features")
        inputs = {name: batch[name].to(device) for name in named if name in batch}
        with evaluating(model):
            decoded, logits, extras = model(**inputs)
        errors = channel_errors(inputs["x"], inputs["pad_mask"], decoded, logits)
        latent = extras["mu" if model.mode == "vae" else "z"]
        arrays = [part.float().cpu().numpy() for part in (decoded, logits, latent, errors)]
        for row, index in enumerate(rows):
            source, n, x = chunk[index][0], lengths[index], chunk[index][1]["x"].numpy()
            results[index] = Reconstruction(
                source.object_id, int(source.label), x[:n, :4], arrays[0][row, :n], x[:n, 4:7].argmax(1),
                arrays[1][row, :n], arrays[2][row], arrays[3][row].astype(np.float64),
            )  # fmt: skip
    return results
