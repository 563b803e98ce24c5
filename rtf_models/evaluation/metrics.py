"""How good class probabilities are: accuracy, balanced accuracy, area under the ROC curve, with intervals.

A class that a sample lacks makes no score undefined: means run over the classes that are there, and the result says
which those are. Numbers that do not exist (no class present) are None, so that the JSON stays valid.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.stats import rankdata

from .errors import EvaluationError

SCORES = ("accuracy", "balanced_accuracy", "roc_auc")


def roc_auc(positive: np.ndarray, scores: np.ndarray) -> float | None:
    """Area under the ROC curve: the probability that a positive scores above a negative, ties counting half.

    positive (N,) bool, scores (N,). None where one of the two kinds is absent. Mann and Whitney 1947.
    """
    positive = np.asarray(positive, bool)
    n_positive = int(positive.sum())
    n_negative = len(positive) - n_positive
    if not n_positive or not n_negative:
        return None
    ranks = rankdata(scores)
    return float((ranks[positive].sum() - n_positive * (n_positive + 1) / 2) / (n_positive * n_negative))


def balanced_accuracy(labels: np.ndarray, predicted: np.ndarray) -> float:
    """Mean over the classes that occur in labels (N,) of the share that predicted (N,) has right."""
    right = labels == predicted
    return float(np.mean([right[labels == k].mean() for k in np.unique(labels)]))


def classification_metrics(
    labels: np.ndarray,
    probabilities: np.ndarray,
    classes: Sequence[str],
    *,
    trained: Sequence[int] | None = None,
    bootstrap: int = 0,
    level: float = 0.95,
    seed: int = 0,
) -> dict:
    """Judge class probabilities (N, K) against labels (N,), ids into the K class names.

    Balanced accuracy is the mean recall over the classes that occur in `labels`. The AUC is the macro mean of
    one-class-against-the-rest areas over the classes that occur and that the classifier knows (`trained`, ids; default
    all): `auc_classes` names them. bootstrap: resamples for `intervals` of the given level.
    Raises EvaluationError for arrays that do not fit or labels outside 0..K-1.
    """
    labels, probabilities = np.asarray(labels), np.asarray(probabilities, np.float64)
    if probabilities.shape != (len(labels), len(classes)):
        raise EvaluationError(
            f"probabilities of shape {probabilities.shape}: expected ({len(labels)}, {len(classes)}), "
            "labels by classes"
        )
    if not len(labels):
        raise EvaluationError("no labelled sources to judge: expected at least one")
    if labels.min() < 0 or labels.max() >= len(classes):
        raise EvaluationError(f"labels from {labels.min()} to {labels.max()}: expected 0 to {len(classes) - 1}")
    known = set(range(len(classes)) if trained is None else trained)
    present = np.unique(labels)
    judged = [int(k) for k in present if k in known and len(present) > 1]
    counts = _confusion(labels, probabilities.argmax(1), len(classes))
    areas = {k: roc_auc(labels == k, probabilities[:, k]) for k in judged}
    predicted = counts.sum(0)
    result = {
        "n": len(labels),
        **dict(zip(SCORES, _scores(labels, probabilities, judged), strict=True)),
        "auc_classes": [classes[k] for k in judged],
        "missing_in_test": [name for k, name in enumerate(classes) if k not in present],
        "missing_in_training": [name for k, name in enumerate(classes) if k not in known],
        "per_class": {
            classes[k]: {
                "n": int(counts[k].sum()),
                "recall": float(counts[k, k] / counts[k].sum()),
                "precision": float(counts[k, k] / predicted[k]) if predicted[k] else None,
                "roc_auc": areas.get(int(k)),
            }
            for k in present
        },
        "confusion": counts.tolist(),
    }
    if bootstrap:
        result["intervals"] = _intervals(labels, probabilities, present, judged, bootstrap, level, seed)
    return result


def _confusion(labels: np.ndarray, predicted: np.ndarray, n: int) -> np.ndarray:
    """Counts (K, K): true class by predicted class."""
    return np.bincount(labels * n + predicted, minlength=n * n).reshape(n, n)


def _scores(labels, probabilities, judged) -> tuple[float, float, float | None]:
    predicted = probabilities.argmax(1)
    areas = [roc_auc(labels == k, probabilities[:, k]) for k in judged]
    return (
        float((predicted == labels).mean()),
        balanced_accuracy(labels, predicted),
        float(np.mean(areas)) if areas else None,
    )


def _intervals(labels, probabilities, present, judged, resamples: int, level: float, seed: int) -> dict:
    """Percentile intervals. Accuracy hangs on how common the classes are, so all sources are drawn alike for it; for
    the other two every resample has every class as often.
    """
    random = np.random.default_rng(seed)
    hits = probabilities.argmax(1) == labels
    members = [np.flatnonzero(labels == k) for k in present]
    rows = np.concatenate([random.choice(part, (resamples, len(part))) for part in members], axis=1)
    edges = np.cumsum([0, *map(len, members)])
    columns = {int(k): slice(a, b) for k, a, b in zip(present, edges[:-1], edges[1:], strict=True)}
    right = hits[rows]  # (resamples, N); the columns of a class are the same in all
    drawn = {
        "accuracy": random.binomial(len(labels), hits.mean(), resamples) / len(labels),
        "balanced_accuracy": np.mean([right[:, part].mean(1) for part in columns.values()], axis=0),
        "roc_auc": None,
    }
    areas = []
    for k in judged:
        n = columns[k].stop - columns[k].start
        ranks = rankdata(probabilities[rows, k], axis=1)[:, columns[k]].sum(1)
        areas.append((ranks - n * (n + 1) / 2) / (n * (len(labels) - n)))
    if areas:
        drawn["roc_auc"] = np.mean(areas, axis=0)
    ends = [(1 - level) / 2, (1 + level) / 2]
    return {name: None if v is None else np.quantile(v, ends).tolist() for name, v in drawn.items()}
