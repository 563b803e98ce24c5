"""Anomaly scores that mean the same for every source: how unlike the training set a light curve is.

The original's score, squared error plus band cross-entropy, is ruled by the time channels and by how many detections a
source has. Here each channel's error is compared with that of training sources of the same number of detections, and
the fingerprint with the cloud of training fingerprints.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

import numpy as np
import torch
from scipy.stats import norm

from rtf_models.checkpoint import Checkpoint
from rtf_models.classes import ClassScheme
from rtf_models.data.source import Source
from rtf_models.errors import require
from venom_hw.atomic import write_atomically

from .errors import EvaluationError
from .metrics import roc_auc
from .reconstruction import CHANNELS, reconstruct

SCORES = ("reconstruction", "mahalanobis", "class_mahalanobis", "combined")
CALIBRATION = "anomaly_calibration.json"  # beside a model
PER_KNOT, KNOTS = 50, 8
FLOOR = 1e-12


@dataclass(frozen=True)
class Observed:
    """What scores are made of, for N sources: errors (N, 5) of the channels, latents (N, D), lengths (N,), labels (N,)
    coarse ids (-1 unknown), object_ids (N,).
    """

    errors: np.ndarray
    latents: np.ndarray
    lengths: np.ndarray
    labels: np.ndarray
    object_ids: np.ndarray

    @classmethod
    def of(cls, errors, latents, lengths, labels=None, object_ids=None) -> Observed:
        """From arrays or lists; labels and ids may be unknown. Raises EvaluationError for shapes that do not fit."""
        errors, latents, lengths = np.asarray(errors, np.float64), np.asarray(latents), np.asarray(lengths)
        n = len(lengths)
        if errors.shape != (n, len(CHANNELS)) or latents.ndim != 2 or len(latents) != n:
            raise EvaluationError(
                f"errors {errors.shape}, latents {latents.shape}, lengths {lengths.shape}: expected "
                f"(N, {len(CHANNELS)}), (N, D), (N,)"
            )
        labels = np.full(n, -1) if labels is None else np.asarray(labels)
        return cls(errors, latents, lengths, labels, np.full(n, "") if object_ids is None else np.asarray(object_ids))

    def __len__(self) -> int:
        return len(self.lengths)

    def select(self, rows: np.ndarray) -> Observed:
        return Observed(*(getattr(self, f.name)[rows] for f in fields(self)))


def observe(
    checkpoint: Checkpoint,
    sources: Iterable[Source],
    *,
    scheme: ClassScheme | None = None,
    counts: int | None = None,
    batch_size: int = 256,
    device: str | torch.device | None = None,
    progress: bool = False,
) -> Observed:
    """Encode and decode sources. Raises EvaluationError where there are none."""
    scheme = scheme or getattr(sources, "scheme", None) or checkpoint.scheme
    rows = [
        (one.errors, one.latent, len(one), scheme.coarse_id(one.label), one.object_id)
        for one in reconstruct(
            checkpoint, sources, counts=counts, batch_size=batch_size, device=device, progress=progress
        )
    ]
    if not rows:
        raise EvaluationError("no sources to score: expected at least one")
    return Observed.of(*zip(*rows, strict=True))


@dataclass(frozen=True)
class AnomalyScorer:
    """Calibrated scores. Made by `fit`; plain arrays, kept as JSON beside a checkpoint.

    knots (K,) log of numbers of detections; center, scale (K, 5): median and 1.4826 MAD of the log errors there.
    latent_mean (D,), whitening (D, D): of all fingerprints; class_means (C, D), class_whitening (D, D): within classes
    (C = 0 where nothing is labelled). reference: the scores of the reference sources, sorted, by name;
    standard: their median and 1.4826 MAD.
    """

    knots: np.ndarray
    center: np.ndarray
    scale: np.ndarray
    latent_mean: np.ndarray
    whitening: np.ndarray
    class_means: np.ndarray
    class_whitening: np.ndarray
    reference: dict[str, np.ndarray] = field(default_factory=dict)
    standard: dict[str, tuple[float, float]] = field(default_factory=dict)

    @classmethod
    def fit(cls, train: Observed, reference: Observed | None = None) -> AnomalyScorer:
        """Calibrate on training sources. reference: other ordinary sources (a validation split), whose scores say what
        is common; without it the training sources themselves, whose latent distances are a little too small.

        Raises EvaluationError for fewer than ten sources, MissingPackage without scikit-learn (covariances shrunk
        after Ledoit and Wolf 2004).
        """
        if len(train) < 10:
            raise EvaluationError(f"{len(train)} sources to calibrate anomaly scores on: expected ten or more")
        knots, center, scale = _by_length(np.log(train.errors + FLOOR), np.log(train.lengths))
        classes = [k for k in np.unique(train.labels) if k >= 0 and (train.labels == k).sum() > 1]
        means = np.array([train.latents[train.labels == k].mean(0) for k in classes], np.float64)
        within = train.latents.astype(np.float64)
        if classes:
            within = np.concatenate([within[train.labels == k] - m for k, m in zip(classes, means, strict=True)])
        raw = cls(knots, center, scale, train.latents.mean(0, np.float64), _whitening(train.latents),
                  means.reshape(len(classes), train.latents.shape[1]), _whitening(within))  # fmt: skip
        return raw._referred(train if reference is None else reference)

    def _referred(self, reference: Observed) -> AnomalyScorer:
        raw = self._raw(reference)
        standard = {name: _robust(values) for name, values in raw.items()}
        half = AnomalyScorer(*(getattr(self, f.name) for f in fields(self)[:7]), standard=standard)
        raw["combined"] = half._combined(raw)
        standard["combined"] = _robust(raw["combined"])
        sorted_scores = {name: np.sort(values) for name, values in raw.items()}
        return AnomalyScorer(*(getattr(self, f.name) for f in fields(self)[:7]), sorted_scores, standard)

    def channel_z(self, observed: Observed) -> np.ndarray:
        """(N, 5): log error of each channel in robust standard deviations of sources with as many detections."""
        x = np.log(observed.lengths)
        logs = np.log(observed.errors + FLOOR)
        center, scale = (
            np.stack([np.interp(x, self.knots, table[:, c]) for c in range(len(CHANNELS))], 1)
            for table in (self.center, self.scale)
        )
        return (logs - center) / scale

    def _raw(self, observed: Observed) -> dict[str, np.ndarray]:
        z = np.maximum(self.channel_z(observed), 0.0)
        latents = observed.latents.astype(np.float64)
        result = {
            "reconstruction": np.sqrt((z**2).mean(1)),
            "mahalanobis": np.linalg.norm((latents - self.latent_mean) @ self.whitening, axis=1),
        }
        if len(self.class_means):
            white = latents @ self.class_whitening
            centers = self.class_means @ self.class_whitening
            distances = np.stack([np.linalg.norm(white - c, axis=1) for c in centers])
            result["class_mahalanobis"] = distances.min(0)
        return result

    def _combined(self, raw: dict[str, np.ndarray]) -> np.ndarray:
        latent = "class_mahalanobis" if "class_mahalanobis" in raw else "mahalanobis"
        parts = [(raw[name] - self.standard[name][0]) / self.standard[name][1] for name in ("reconstruction", latent)]
        return np.mean(parts, axis=0)

    def scores(self, observed: Observed) -> dict[str, np.ndarray]:
        """Scores (N,), larger is stranger, and p_value (N,): the share of ordinary sources at least as strange.

        reconstruction: root mean square of the channels' positive z. mahalanobis: distance of the fingerprint from the
        mean of all; class_mahalanobis: from the nearest class mean, in units within the classes (where there are
        labels). combined: mean of the robust z of reconstruction and the finer of the two distances.
        """
        raw = self._raw(observed)
        raw["combined"] = self._combined(raw)
        reference = self.reference["combined"]
        above = len(reference) - np.searchsorted(reference, raw["combined"], side="left")
        return raw | {"p_value": (1.0 + above) / (1.0 + len(reference))}

    def score(self, errors: np.ndarray, latents: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """(N,) combined scores, for a stream: errors (N, 5) of the CHANNELS, latents (N, D), detections (N,)."""
        return self.scores(Observed.of(errors, latents, lengths))["combined"]

    def to_dict(self) -> dict:
        """For JSON."""
        return {name: _plain(value) for name, value in asdict(self).items()}

    def save(self, path: str | Path) -> Path:
        """Write as JSON, atomically; the path."""
        return write_atomically(path, json.dumps(self.to_dict()) + "\n")

    @classmethod
    def load(cls, path: str | Path) -> AnomalyScorer:
        """Raises EvaluationError for a file that `save` did not write."""
        try:
            return cls.from_dict(json.loads(Path(path).read_text(encoding="utf-8")), path)
        except (OSError, json.JSONDecodeError) as error:
            raise EvaluationError(f"{path}: {error}; expected anomaly scores that `anomaly` calibrated") from error

    @classmethod
    def from_dict(cls, content: dict, source: str | Path = "anomaly scores") -> AnomalyScorer:
        """Raises EvaluationError for what `to_dict` did not make; `source` names it."""
        try:
            arrays = [np.array(content[f.name], np.float64) for f in fields(cls)[:7]]
            d = len(arrays[3])
            arrays[5] = arrays[5].reshape(-1, d)
            reference = {name: np.array(values) for name, values in content["reference"].items()}
            standard = {name: tuple(map(float, pair)) for name, pair in content["standard"].items()}
            return cls(*arrays, reference, standard)
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            what = f"{type(error).__name__} {error}"
            raise EvaluationError(f"{source}: {what}; expected anomaly scores that `anomaly` calibrated") from error


def _plain(value):
    if isinstance(value, dict):
        return {name: _plain(part) for name, part in value.items()}
    return value.tolist() if isinstance(value, np.ndarray) else list(value)


def _robust(values: np.ndarray) -> tuple[float, float]:
    """Median and 1.4826 MAD, the latter never zero."""
    median = float(np.median(values))
    scale = float(np.median(np.abs(values - median)) / norm.ppf(0.75))
    return median, scale if scale > FLOOR else max(float(np.std(values)), 1.0 if np.ptp(values) == 0 else FLOOR)


def _by_length(logs: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Median and robust scale of each column in groups of equal size along x, at the groups' median x."""
    groups = np.array_split(np.argsort(x, kind="stable"), int(np.clip(len(x) // PER_KNOT, 1, KNOTS)))
    at: dict[float, list[np.ndarray]] = {}
    for rows in groups:  # groups of one length are one knot
        at.setdefault(float(np.median(x[rows])), []).append(rows)
    knots, center, scale = [], [], []
    for knot in sorted(at):
        rows = np.concatenate(at[knot])
        pairs = [_robust(logs[rows, c]) for c in range(logs.shape[1])]
        knots.append(knot)
        center.append([pair[0] for pair in pairs])
        scale.append([pair[1] for pair in pairs])
    return np.array(knots), np.array(center), np.array(scale)


def _whitening(latents: np.ndarray) -> np.ndarray:
    """W (D, D) with W W^T = inverse covariance, shrunk towards a sphere as Ledoit and Wolf do."""
    require("sklearn", "rtf")
    from sklearn.covariance import ledoit_wolf

    covariance, _ = ledoit_wolf(np.asarray(latents, np.float64))
    values, vectors = np.linalg.eigh(covariance)
    return vectors / np.sqrt(np.maximum(values, max(values.max(), FLOOR) * 1e-9))


def held_out_auc(
    train: Observed, test: Observed, scheme: ClassScheme, reference: Observed | None = None, classes=None
) -> dict[str, dict]:
    """For each coarse class: scores calibrated without it, and the AUC with which they find its test sources among the
    others. Classes of fewer than two test sources are left out.

    Result by class name: n, others, the AUC of each of SCORES, and of the original's score (original). The network
    itself may have seen the class in training: its caller knows.
    """
    result = {}
    for k, name in enumerate(scheme.coarse):
        positive = test.labels == k
        if (classes is not None and name not in classes) or positive.sum() < 2 or positive.all():
            continue
        rest = train.select(train.labels != k)
        other = None if reference is None else reference.select(reference.labels != k)
        if len(rest) < 10:
            continue
        scores = AnomalyScorer.fit(rest, other if other is not None and len(other) >= 10 else None).scores(test)
        original = test.errors[:, :4].mean(1) + test.errors[:, 4]
        result[name] = {
            "n": int(positive.sum()),
            "others": int((~positive).sum()),
            **{score: roc_auc(positive, scores[score]) for score in SCORES if score in scores},
            "original": roc_auc(positive, original),
        }
    return result
