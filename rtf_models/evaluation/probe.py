"""The linear probe: what logistic regression on frozen fingerprints knows about the class."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace

import numpy as np

from rtf_models.classes import ClassScheme
from rtf_models.embedding import Embeddings
from rtf_models.errors import require

from .errors import EvaluationError
from .metrics import classification_metrics

LEVELS = ("coarse", "fine")
BROKEN_ID = "BAD"  # what the original wrote in place of a source that it could not read, labelled as class 0


@dataclass(frozen=True)
class Probe:
    """A fitted classifier of fingerprints: trained, the class ids that it knows, of n_classes; converged or stopped."""

    model: object
    trained: tuple[int, ...]
    n_classes: int
    converged: bool

    def probabilities(self, embeddings: np.ndarray) -> np.ndarray:
        """(N, n_classes) float64; the column of a class that it never saw is zero."""
        result = np.zeros((len(embeddings), self.n_classes))
        result[:, list(self.trained)] = self.model.predict_proba(np.asarray(embeddings, np.float64))
        return result


def fit_probe(
    embeddings: np.ndarray,
    labels: np.ndarray,
    n_classes: int,
    *,
    C: float = 1.0,
    max_iter: int = 2000,
    balanced: bool = False,
) -> Probe:
    """Standardised multinomial logistic regression of labels (N,) on embeddings (N, D), L2 penalty 1/C.

    balanced: classes weigh the same whatever their numbers. Raises EvaluationError for fewer than two classes and for
    values that are not finite, MissingPackage without scikit-learn.
    """
    require("sklearn", "rtf")
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    embeddings = np.asarray(embeddings, np.float64)
    if not np.isfinite(embeddings).all():
        bad = int((~np.isfinite(embeddings)).any(1).sum())
        raise EvaluationError(f"{bad} of {len(embeddings)} embeddings are not finite: expected numbers")
    trained = tuple(int(k) for k in np.unique(labels))
    if len(trained) < 2:
        raise EvaluationError(f"training has {len(trained)} of {n_classes} classes: expected two or more to tell apart")
    regression = LogisticRegression(C=C, max_iter=max_iter, class_weight="balanced" if balanced else None)
    model = make_pipeline(StandardScaler(), regression)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        model.fit(embeddings, labels)
    stopped = any(issubclass(w.category, ConvergenceWarning) for w in caught)
    return Probe(model, trained, n_classes, converged=not stopped)


def labels_of(embeddings: Embeddings, level: str, scheme: ClassScheme) -> np.ndarray:
    """(N,) int64 ids of the level "coarse" or "fine"; -1 where unknown, not of the scheme, or never read."""
    labels = np.asarray(getattr(embeddings, f"labels_{level}"), np.int64)
    broken = np.asarray(embeddings.obj_ids).astype(str) == BROKEN_ID
    return np.where(broken | (labels < 0) | (labels >= len(getattr(scheme, level))), -1, labels)


def with_scheme(embeddings: Embeddings, scheme: ClassScheme) -> Embeddings:
    """The same fingerprints, their coarse labels those that the scheme gives to the fine ones."""
    coarse = [scheme.coarse_id(int(k)) for k in embeddings.labels_fine]
    return replace(embeddings, labels_coarse=np.array(coarse, np.int64))


def linear_probe(
    train: Embeddings,
    test: Embeddings,
    scheme: ClassScheme,
    *,
    C: float = 1.0,
    max_iter: int = 2000,
    balanced: bool = False,
    bootstrap: int = 0,
    seed: int = 0,
) -> dict:
    """Fit on `train`, judge on `test`, for the coarse and the fine classes of the scheme.

    Sources without a label, and the original's "BAD" rows, take no part; `unknown` counts them. Result: n_train,
    n_test, unknown {train, test}, coarse and fine: what `classification_metrics` returns with `converged`, or None
    where the training fingerprints have fewer than two classes of that level (both None: EvaluationError).
    """
    result: dict = {}
    for level in LEVELS:
        fitted = probe_of_level(train, scheme, level, C=C, max_iter=max_iter, balanced=balanced)
        result[level] = judge(fitted, test, scheme, level, bootstrap=bootstrap, seed=seed)
    if result["coarse"] is None and result["fine"] is None:
        raise EvaluationError(
            f"{len(train)} training and {len(test)} test fingerprints: expected two labelled classes or more in "
            "training and labelled sources in the test"
        )
    known = {name: labels_of(part, "fine", scheme) >= 0 for name, part in (("train", train), ("test", test))}
    counts = {f"n_{name}": int(mask.sum()) for name, mask in known.items()}
    return {**counts, "unknown": {name: int((~mask).sum()) for name, mask in known.items()}, **result}


def probe_of_level(train: Embeddings, scheme: ClassScheme, level: str, **options) -> Probe | None:
    """`fit_probe` on the labelled fingerprints of a level; None where there are fewer than two classes."""
    labels = labels_of(train, level, scheme)
    known = labels >= 0
    if len(np.unique(labels[known])) < 2:
        return None
    return fit_probe(train.embeddings[known], labels[known], len(getattr(scheme, level)), **options)


def judge(
    probe: Probe | None, test: Embeddings, scheme: ClassScheme, level: str, *, bootstrap: int = 0, seed: int = 0
) -> dict | None:
    """`classification_metrics` of a probe on the labelled fingerprints; None without a probe or labels."""
    labels = labels_of(test, level, scheme)
    known = labels >= 0
    if probe is None or not known.any():
        return None
    metrics = classification_metrics(
        labels[known],
        probe.probabilities(test.embeddings[known]),
        getattr(scheme, level),
        trained=probe.trained,
        bootstrap=bootstrap,
        seed=seed,
    )
    return {**metrics, "converged": probe.converged}
