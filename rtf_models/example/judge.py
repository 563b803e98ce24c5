"""What the example says of a run: reconstruction, probes, accuracy against the number of detections; and baselines."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from rtf_models.checkpoint import load_checkpoint
from rtf_models.data.inputs import InputSpec
from rtf_models.data.source import Source
from rtf_models.embedding import Embeddings
from rtf_models.evaluation import early_classification, linear_probe
from rtf_models.evaluation.comparison import run_row
from rtf_models.evaluation.runs import Run
from rtf_models.features.extract import PREFIX_COUNTS
from rtf_models.train.data import TrainingData
from venom_hw.atomic import write_atomically

COUNTS = tuple(n for n in PREFIX_COUNTS if n <= 50)  # few curves of the survey are longer
JUDGED = "judged.json"


def judge_run(folder: Path, data: TrainingData, quiet: bool = False, bootstrap: int = 500) -> dict:
    """row (`comparison.run_row`, on the test split), probe_balanced, early, early_balanced, training. Kept in the
    run's judged.json, and read from there while the checkpoint is the same.

    "balanced" probes weigh the classes alike: they have the better balanced accuracy, plain ones the better accuracy.
    """
    checkpoint, path = load_checkpoint(folder), folder / JUDGED
    if (
        path.is_file()
        and (known := json.loads(path.read_text(encoding="utf-8"))).get("sha256") == checkpoint.sha256
    ):
        return known
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    run = Run(folder, summary)
    train, test = data.train[: data.real], data.test
    result = {
        "sha256": checkpoint.sha256,
        "row": run_row(run, test, bootstrap=bootstrap),
        "probe_balanced": linear_probe(
            run.embeddings("train"), run.embeddings("test"), data.scheme, balanced=True, bootstrap=bootstrap
        ),
        "training": {
            k: summary[k]
            for k in ("best_epoch", "epochs", "seconds", "n_params", "test_metrics", "criterion")
        },
    }
    for name, balanced in (("early", False), ("early_balanced", True)):
        result[name] = early_classification(
            checkpoint, train, test, COUNTS, balanced=balanced, progress=not quiet
        )
    write_atomically(path, json.dumps(result, indent=1))
    return result


def majority(data: TrainingData) -> dict:
    """Always the commonest coarse class of the training split: its accuracy and balanced accuracy on the test split."""
    labels = {
        k: np.array([data.scheme.coarse_id(s.label) for s in getattr(data, k)]) for k in ("train", "test")
    }
    known = {k: v[v >= 0] for k, v in labels.items()}
    commonest = int(np.bincount(known["train"]).argmax())
    classes = len(np.unique(known["test"]))
    return {
        "class": data.scheme.coarse[commonest],
        "accuracy": float((known["test"] == commonest).mean()),
        "balanced_accuracy": 1 / classes,
    }


def feature_probe(data: TrainingData, counts: tuple[int | str, ...] = (*COUNTS, "all")) -> list[dict] | None:
    """The same probes on the 114 causal light-curve features instead of a fingerprint; None where there are none.

    A row a count: detections, plain and balanced (`linear_probe` results).
    """
    if not any(s.features is not None for s in data.train):
        return None
    train, test = data.train[: data.real], data.test
    inputs = InputSpec.fit(train, features="causal", feature_mask=True)
    rows = []
    for n in counts:
        first = None if n == "all" else n
        a, b = (_feature_vectors(inputs, part, data, first) for part in (train, test))
        plain, balanced = (linear_probe(a, b, data.scheme, balanced=flag) for flag in (False, True))
        rows.append({"detections": n, "plain": plain, "balanced": balanced})
    return rows


def _feature_vectors(
    inputs: InputSpec, sources: list[Source], data: TrainingData, n: int | None
) -> Embeddings:
    """The scaled features of the first n detections in the place of fingerprints."""
    items = [inputs.prepare(s, n) for s in sources]
    fine = np.array([s.label for s in sources], np.int64)
    return Embeddings(
        embeddings=np.stack([item["gp_features"] for item in items]).astype(np.float32),
        recon_errors=np.full(len(items), np.nan, np.float32),
        labels_fine=fine,
        labels_coarse=np.array([data.scheme.coarse_id(int(k)) for k in fine], np.int64),
        obj_ids=np.array([s.object_id for s in sources]),
        lengths=np.array([item["seq_len"] for item in items], np.int64),
    )
