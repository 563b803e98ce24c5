"""From sources to fingerprints, a micro-batch at a time: what the stream needs of a trained network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from ..checkpoint import Checkpoint
from ..data.dataset import collate_fn
from ..data.source import Source
from ..embedding import sorted_batches
from ..evaluation.anomaly import AnomalyScorer
from ..evaluation.reconstruction import channel_errors
from ..features import extract_features
from ..model.compressor import evaluating
from .calibration import FILE, StreamCalibration
from .errors import StreamError

ON_CPU = 2048  # padded positions of a batch: small enough for the caches of a core


class Encoder(Protocol):
    """What the stream asks of whatever makes its fingerprints.

    dim: D. model_hash: hexadecimal SHA-256 of the model's file. metadata, images: what its sources must bring.
    days, longest: how far back a fingerprint looks, and at how many detections at most; None: no limit.
    """

    dim: int
    model_hash: str
    metadata: bool
    images: bool
    days: float | None
    longest: int | None

    def prepare(self, source: Source) -> Any:
        """One source's network inputs. Raises ValueError if there can be none."""

    def encode(self, items: Sequence[Any]) -> tuple[np.ndarray, np.ndarray]:
        """Fingerprints (N, D) float32 and anomaly scores (N,) float32 (NaN: none) of prepared sources."""


class CheckpointEncoder:
    """A checkpoint as an Encoder.

    Args:
        checkpoint: any that `load_checkpoint` gives.
        scorer: calibrated anomaly scores of this very checkpoint (a StreamCalibration, or the evaluation's scorer);
            None: the scores are NaN, and the decoder, whose reconstruction they need, does not run.
        images: look at cutouts if the network takes them; else it is told that there are none.
        features: compute light-curve features (about 15 ms an alert) if the network takes them; else it is told that
            they are missing.
        device: where to compute.

    Raises:
        StreamError: the scorer was calibrated on fingerprints of another size.
    """

    def __init__(self, checkpoint: Checkpoint, *, scorer: StreamCalibration | AnomalyScorer | None = None,
                 images: bool = True, features: bool = True, device: str = "cpu", positions: int | None = None):
        self.model, self.inputs, self.scorer = checkpoint.model.to(device), checkpoint.inputs, scorer
        self.device = torch.device(device)
        self.dim = self.model.latent_dim
        self.model_hash = checkpoint.sha256
        self.metadata = self.inputs.metadata != "none"
        self.images = self.inputs.images and images
        self.features = self.inputs.features != "none" and features
        self.days = self.inputs.horizon
        self.longest = min(self.inputs.max_len or self.model.max_len, self.model.max_len)
        self._positions = positions or (ON_CPU if self.device.type == "cpu" else 64 * ON_CPU)
        self._check(checkpoint, scorer)

    def _check(self, checkpoint: Checkpoint, scorer: StreamCalibration | AnomalyScorer | None) -> None:
        if isinstance(scorer, StreamCalibration) and scorer.model != checkpoint.sha256:
            raise StreamError(f"anomaly calibration of the model {scorer.model[:16]}, the checkpoint is "
                              f"{checkpoint.sha256[:16]}; expected the calibration of this model")
        plain = scorer.scorer if isinstance(scorer, StreamCalibration) else scorer
        if plain is not None and len(plain.latent_mean) != self.dim:
            raise StreamError(f"anomaly calibration of fingerprints of {len(plain.latent_mean)} numbers, the model's "
                              f"have {self.dim}; expected the calibration of this model")

    def prepare(self, source: Source) -> dict:
        """{"x" (L, C), "seq_len" [, "images"] [, "gp_features"]} as tensors."""
        if self.features:
            vector = extract_features(source)[None]
            source = replace(source, features=vector, feature_counts=np.array([len(source)]))
        item = self.inputs.prepare(source)
        for name in ("x", "images", "gp_features"):
            if name in item:
                item[name] = torch.from_numpy(item[name])
        return item | {"label_fine": -1, "label_coarse": -1, "obj_id": ""}

    @torch.inference_mode()
    def encode(self, items: Sequence[dict]) -> tuple[np.ndarray, np.ndarray]:
        """Batches of similar lengths; the results in the order of the items."""
        latent = np.empty((len(items), self.dim), np.float32)
        errors = np.full((len(items), 5), np.nan)
        lengths = np.array([item["seq_len"] for item in items], np.int64)
        with evaluating(self.model):
            for rows in sorted_batches(lengths, len(items), self._positions):
                batch = collate_fn([items[i] for i in rows])
                inputs = {name: batch[name].to(self.device) for name in ("x", "pad_mask", "images", "gp_features")
                          if name in batch}
                z, _ = self.model.encode(**inputs)
                latent[rows] = z.float().cpu().numpy()
                if self.scorer is not None:
                    decoded = self.model.decode(z, inputs["x"].shape[1], inputs["pad_mask"])
                    errors[rows] = channel_errors(inputs["x"], inputs["pad_mask"], *decoded).cpu().numpy()
        if self.scorer is None:
            return latent, np.full(len(items), np.nan, np.float32)
        return latent, self.scorer.score(errors, latent, lengths).astype(np.float32)


def find_scorer(checkpoint: Checkpoint, calibration: Path | None) -> StreamCalibration | None:
    """The calibration that is named, or the one beside the model; None if there is none. Raises StreamError."""
    if calibration is None and checkpoint.path is not None:
        beside = checkpoint.path.parent / FILE
        calibration = beside if beside.is_file() else None
    return None if calibration is None else StreamCalibration.load(calibration)
