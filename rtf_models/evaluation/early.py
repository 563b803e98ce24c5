"""Early classification: what the fingerprints of the first N detections know about the class."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from tqdm import tqdm

from rtf_models.checkpoint import Checkpoint
from rtf_models.classes import ClassScheme
from rtf_models.data.source import Source
from rtf_models.embedding import Embeddings, embed_sources
from rtf_models.features.extract import PREFIX_COUNTS
from rtf_models.model import evaluating

from .errors import EvaluationError
from .metrics import classification_metrics
from .probe import LEVELS, judge, labels_of, probe_of_level, with_scheme

COUNTS = PREFIX_COUNTS  # where features of a prefix are exact
ALL = "all"


def early_classification(
    checkpoint: Checkpoint,
    train_sources: Iterable[Source],
    test_sources: Iterable[Source],
    counts: Sequence[int] = COUNTS,
    *,
    scheme: ClassScheme | None = None,
    C: float = 1.0,
    balanced: bool = False,
    bootstrap: int = 0,
    seed: int = 0,
    batch_size: int = 256,
    device: str | torch.device | None = None,
    allow_future_features: bool = False,
    progress: bool = False,
) -> list[dict]:
    """For each N of `counts`, and for "all": training and test sources cut to their first N detections, embedded, a
    linear probe fitted on the one and judged on the other.

    Rows: detections (N or "all"), n_train, n_test, coarse and fine (of all test sources, shorter ones whole),
    at_least: {n_test, coarse, fine} of the test sources with N detections or more only, head: the network's own class
    head on the coarse classes where it has one (else None). Detections count after the horizon of the inputs.
    scheme: the class names (default: the test sources' own, else the checkpoint's).

    A network that takes light-curve features as its files hold them (inputs.features == "file", as the original) would
    see the future at every N, for they were computed from whole curves. It gets what the first N detections alone have
    made: features of the prefix where the folder has some, else none. allow_future_features hands over the whole
    curve's, to repeat the original's numbers; the rows then say future_features = True.
    Raises EvaluationError for counts below 1 and for too few labelled sources.
    """
    counts = sorted({int(n) for n in counts})
    if counts and counts[0] < 1:
        raise EvaluationError(f"count {counts[0]}: expected 1 detection or more")
    future = allow_future_features and checkpoint.inputs.features == "file"
    scheme = scheme or getattr(test_sources, "scheme", None) or checkpoint.scheme
    options = {"batch_size": batch_size, "device": device, "reconstruct": False, "progress": progress}
    samples = [_Prefixes(checkpoint, sources, scheme, future, options) for sources in (train_sources, test_sources)]
    rows = []
    for n in tqdm([*counts, ALL], desc="early", unit="count", disable=not progress, leave=False):
        train, test = (sample.first(n) for sample in samples)
        enough = np.ones(len(test), bool) if n == ALL else samples[1].whole.lengths >= n
        rows.append(
            {
                "detections": n,
                "n_train": int((labels_of(train, "fine", scheme) >= 0).sum()),
                **_judged(checkpoint, train, test, scheme, enough, C, balanced, bootstrap, seed),
                "future_features": future and n != ALL,
            }
        )
    if all(rows[-1][level] is None for level in LEVELS):
        raise EvaluationError(
            f"{len(samples[0].sources)} training and {len(samples[1].sources)} test sources: expected two labelled "
            "classes or more in training and labelled sources in the test"
        )
    return rows


class _Prefixes:
    """Sources and the fingerprints of their prefixes; a source is embedded anew only where the cut shortens it."""

    def __init__(self, checkpoint: Checkpoint, sources: Iterable[Source], scheme: ClassScheme, future: bool,
                 options: dict):  # fmt: skip
        self.checkpoint, self.scheme, self.future, self.options = checkpoint, scheme, future, options
        self.sources = list(tqdm(sources, desc="read", unit="source", disable=not options["progress"], leave=False))
        if not self.sources:
            raise EvaluationError("no sources: expected some to train the probe on and some to judge it")
        self.whole = with_scheme(embed_sources(checkpoint, self.sources, **options), scheme)

    def first(self, n: int | str) -> Embeddings:
        if n == ALL:
            return self.whole
        longer = np.flatnonzero(self.whole.lengths > n)
        if not len(longer):
            return self.whole
        sources = [self.sources[i] for i in longer]
        cut = embed_sources(self.checkpoint, sources, counts=n, allow_future_features=self.future, **self.options)
        fields = {name: getattr(self.whole, name).copy() for name in ("embeddings", "recon_errors", "lengths")}
        for name, values in fields.items():
            values[longer] = getattr(cut, name)
        whole = self.whole
        return Embeddings(**fields, labels_fine=whole.labels_fine, labels_coarse=whole.labels_coarse,
                          obj_ids=whole.obj_ids)  # fmt: skip


def _judged(checkpoint, train, test, scheme, enough, C, balanced, bootstrap, seed) -> dict:
    """coarse, fine, n_test, at_least and head of a row."""
    result: dict = {"n_test": int((labels_of(test, "fine", scheme) >= 0).sum())}
    long = test.select(enough)
    at_least: dict = {"n_test": int((labels_of(long, "fine", scheme) >= 0).sum())}
    for level in LEVELS:
        probe = probe_of_level(train, scheme, level, C=C, balanced=balanced)
        result[level] = judge(probe, test, scheme, level, bootstrap=bootstrap, seed=seed)
        at_least[level] = judge(probe, long, scheme, level, bootstrap=bootstrap, seed=seed)
    return {**result, "at_least": at_least, "head": head_metrics(checkpoint, test, scheme, bootstrap, seed)}


@torch.no_grad()
def head_metrics(
    checkpoint: Checkpoint, test: Embeddings, scheme: ClassScheme, bootstrap: int = 0, seed: int = 0
) -> dict | None:
    """The network's own class head judged on fingerprints; None without one for this scheme's coarse classes."""
    head = getattr(checkpoint.model, "cls_head", None)
    labels = labels_of(test, "coarse", scheme)
    if head is None or tuple(checkpoint.scheme.coarse) != tuple(scheme.coarse) or not (labels >= 0).any():
        return None
    if checkpoint.model.num_classes != len(scheme.coarse):
        return None
    weight = next(head.parameters())
    latent = torch.from_numpy(np.asarray(test.embeddings, np.float32)).to(weight.device)
    with evaluating(head):
        probabilities = head(latent).softmax(1).cpu().numpy()
    known = labels >= 0
    return classification_metrics(labels[known], probabilities[known], scheme.coarse, bootstrap=bootstrap, seed=seed)
