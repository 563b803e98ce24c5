"""Light curves as the decoder gives them back, beside what the encoder saw."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from tqdm import tqdm

from rtf_models.checkpoint import Checkpoint
from rtf_models.data.dataset import collate_fn
from rtf_models.data.source import Source
from rtf_models.embedding import sorted_batches

from .errors import EvaluationError

CHANNELS = ("log1p_days", "log1p_days_since_previous", "logflux", "logflux_err", "band")


@dataclass(frozen=True)
class Reconstruction:
    """One source: what went in and what came out, L detections.

    true, decoded (L, 4) float32 in the network's own (scaled) units; band (L,) int64 0 g, 1 r, 2 i; band_logits (L, 3);
    latent (D,).
    """

    object_id: str
    label: int
    true: np.ndarray
    decoded: np.ndarray
    band: np.ndarray
    band_logits: np.ndarray
    latent: np.ndarray

    def __len__(self) -> int:
        return len(self.band)

    def channel_errors(self) -> np.ndarray:
        """(5,) float64: mean squared error of each channel, and the band's mean cross-entropy (CHANNELS)."""
        squares = ((self.decoded.astype(np.float64) - self.true) ** 2).mean(0)
        logits = self.band_logits.astype(np.float64)
        logits -= logits.max(1, keepdims=True)
        entropy = np.log(np.exp(logits).sum(1)) - logits[np.arange(len(logits)), self.band]
        return np.append(squares, entropy.mean())


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
    model = checkpoint.model
    device = torch.device(device) if device is not None else next(model.parameters()).device
    training = model.training
    model.to(device).eval()
    chunk: list[tuple[Source, dict]] = []
    try:
        for source in tqdm(sources, desc="reconstruct", unit="source", disable=not progress, leave=False):
            item = checkpoint.inputs.prepare(source, counts)
            item |= {"label_fine": -1, "label_coarse": -1, "obj_id": source.object_id}
            chunk.append((source, item))
            if len(chunk) >= 16 * batch_size:
                yield from _decoded(model, chunk, batch_size, device)
                chunk = []
        if chunk:
            yield from _decoded(model, chunk, batch_size, device)
    finally:
        model.train(training)


def _decoded(model, chunk, batch_size: int, device: torch.device) -> list[Reconstruction]:
    results: list[Reconstruction | None] = [None] * len(chunk)
    lengths = [item["seq_len"] for _, item in chunk]
    for rows in sorted_batches(lengths, batch_size):
        batch = collate_fn([chunk[i][1] for i in rows])
        named = ("x", "pad_mask", "images", "gp_features")
        inputs = {name: batch[name].to(device) for name in named if name in batch}
        with torch.no_grad():
            latent = model.embed(**inputs).float().cpu().numpy()
            decoded, logits = (part.float().cpu().numpy() for part in model(**inputs)[:2])
        for row, index in enumerate(rows):
            source, item = chunk[index]
            n, x = lengths[index], np.asarray(item["x"], np.float32)
            results[index] = Reconstruction(
                source.object_id, int(source.label), x[:n, :4], decoded[row, :n], x[:n, 4:7].argmax(1),
                logits[row, :n], latent[row],
            )  # fmt: skip
    return results
