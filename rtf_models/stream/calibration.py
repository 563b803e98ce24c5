"""Anomaly scores of a stream: calibrated at every number of detections, because most alerts have few.

The evaluation's `AnomalyScorer` is fitted to whole light curves. A single detection is unlike any of them, and would
always be strange. Here it is fitted to the first 1, 2, 3 ... detections of the training sources, and its combined score
is then compared with that of validation sources cut to as many detections: 0 is ordinary for that number, 1 a robust
standard deviation more.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from scipy.stats import norm

from venom_hw.atomic import write_atomically

from ..checkpoint import Checkpoint
from ..data.source import Source
from ..evaluation.anomaly import AnomalyScorer, Observed, observe
from .errors import StreamError

FORMAT = "rtf-stream-calibration-1"
FILE = "stream_calibration.json"  # beside a model
COUNTS = (1, 2, 3, 4, 5, 7, 10, 15, 20, 30, 50, 100)
LEAST = 10  # sources that have a number of detections, for it to be calibrated
SMALLEST_SCALE = 1e-6
REFERENCE = 50  # values of the scorer's sorted reference scores that are kept (they are not used here)


@dataclass(frozen=True)
class StreamCalibration:
    """scorer: the evaluation's, fitted to prefixes. knots (K,): log of numbers of detections; center, scale (K,):
    median and 1.4826 MAD of the scorer's combined score there. model: SHA-256 of the checkpoint it belongs to.
    """

    scorer: AnomalyScorer
    knots: np.ndarray
    center: np.ndarray
    scale: np.ndarray
    model: str = ""

    @property
    def dim(self) -> int:
        return len(self.scorer.latent_mean)

    def score(self, errors: np.ndarray, latents: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """(N,) scores: errors (N, 5) of the channels, latents (N, D), detections (N,). Larger is stranger."""
        at = np.log(lengths)
        combined = self.scorer.score(errors, latents, lengths)
        return (combined - np.interp(at, self.knots, self.center)) / np.interp(at, self.knots, self.scale)

    @classmethod
    def fit(cls, checkpoint: Checkpoint, train: Iterable[Source], reference: Iterable[Source], *,
            counts: Sequence[int] = COUNTS, progress: bool = False) -> StreamCalibration:
        """Fitted to training sources, and standardised on others (a validation split).

        Raises:
            StreamError: fewer than ten reference sources at every number of detections.
        """
        scorer = AnomalyScorer.fit(_prefixes(checkpoint, list(train), counts, progress))
        observed = _prefixes(checkpoint, list(reference), counts, progress)
        combined = scorer.score(observed.errors, observed.latents, observed.lengths)
        knots, center, scale = [], [], []
        for count in counts:
            values = combined[observed.lengths == count]
            if len(values) >= LEAST:
                median = float(np.median(values))
                knots.append(np.log(count))
                center.append(median)
                spread = float(np.median(np.abs(values - median)) / norm.ppf(0.75))
                scale.append(max(spread, SMALLEST_SCALE))
        if not knots:
            raise StreamError(f"calibration: fewer than {LEAST} reference sources at any number of detections "
                              f"({', '.join(map(str, counts))}); expected more")
        return cls(scorer, np.array(knots), np.array(center), np.array(scale), checkpoint.sha256)

    def save(self, path: str | Path) -> Path:
        """Write as JSON, atomically; the path."""
        scorer = self.scorer.to_dict()
        for name, values in scorer["reference"].items():  # thousands of sorted values: a stream needs none of them
            scorer["reference"][name] = np.quantile(values, np.linspace(0, 1, REFERENCE)).tolist()
        content = {"format": FORMAT, "model": self.model, "scorer": scorer,
                   **{name: getattr(self, name).tolist() for name in ("knots", "center", "scale")}}
        return write_atomically(path, json.dumps(content) + "\n")

    @classmethod
    def load(cls, path: str | Path) -> StreamCalibration:
        """Raises StreamError for a file that `save` did not write."""
        try:
            content = json.loads(Path(path).read_text(encoding="utf-8"))
            if content["format"] != FORMAT:
                raise ValueError(f"format {content['format']!r}")
            knots, center, scale = (np.array(content[name], np.float64) for name in ("knots", "center", "scale"))
            if not len(knots) == len(center) == len(scale) > 0 or scale.min() <= 0:
                raise ValueError("knots, center and scale do not fit together")
            return cls(AnomalyScorer.from_dict(content["scorer"], path), knots, center, scale, content["model"])
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise StreamError(f"{path}: {type(error).__name__} ({error}); expected a calibration that "
                              "python -m rtf_models calibrate-stream wrote") from error


def _prefixes(checkpoint: Checkpoint, sources: list[Source], counts: Sequence[int], progress: bool) -> Observed:
    """Each source at each of the counts that it has."""
    parts = []
    for count in sorted(set(counts)):
        chosen = [s for s in sources if checkpoint.inputs.length(s, count) == count]
        if len(chosen):
            parts.append(observe(checkpoint, chosen, counts=count, progress=progress))
    if not parts:
        raise StreamError("calibration: no sources; expected a training and a validation split")
    return Observed(*(np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(Observed)))
