"""Anomaly scores, calibrated on training sources; how well they find a class that they have not seen."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from .common import (
    add_checkpoint,
    add_machine,
    add_output,
    load_model,
    make_parser,
    model_facts,
    open_data,
    run_command,
    write_report,
)

EPILOG = """\
reconstruction: error of each channel (two times, flux, its error, band) in robust standard deviations of training
sources with as many detections; root mean square of the positive ones. mahalanobis: distance of the fingerprint from
the training cloud, class_mahalanobis: from the nearest class. combined: mean of the robust z of reconstruction and
distance; its p_value is the share of validation sources at least as strange (of training sources where there is no
val/).

The table says how well each score, calibrated without a class, finds that class among the others (ROC-AUC). The network
itself has seen the class unless it was trained without it.

--output-dir gets anomaly.json, anomaly.md, anomaly.png, anomaly_scores.csv (every source of the split, the strangest
first) and anomaly_calibration.json. With --calibration RUN/anomaly_calibration.json it lies beside the model as well,
where `encode` looks for it to score a stream.

examples:
  python -m rtf_models anomaly --checkpoint bts-ae --data-dir data/bts --output-dir analysis/anomaly
  python -m rtf_models anomaly --checkpoint runs/ae_dim64 --data-dir data/bts --held-out other --output-dir analysis/a
"""


def parser() -> argparse.ArgumentParser:
    p = make_parser("anomaly", __doc__, EPILOG)
    add_checkpoint(p)
    p.add_argument("--data-dir", type=Path, required=True, help="data folder with train/ and the split to score")
    add_output(p)
    p.add_argument("--split", default="test", help="split to score (default test)")
    p.add_argument("--held-out", nargs="+", metavar="CLASS", help="coarse classes to find (default: each in turn)")
    p.add_argument("--detections", type=int, metavar="N", help="only the first N detections of each source")
    p.add_argument("--calibration", type=Path, metavar="FILE", help="also write the calibration there")
    add_machine(p)
    return p


def main(argv: list[str] | None = None) -> int:
    return run_command(parser(), _work, argv)


def _work(args: argparse.Namespace) -> int:
    from venom_hw.atomic import write_atomically

    from ...data.folder import open_split
    from ...errors import NoData
    from ..anomaly import CALIBRATION, AnomalyScorer, held_out_auc, observe
    from ..errors import EvaluationError

    checkpoint = load_model(args, args.data_dir)
    test_sources = open_data(args, args.split)
    scheme = test_sources.scheme
    if wrong := [name for name in args.held_out or [] if name not in scheme.coarse]:
        raise EvaluationError(f"--held-out {wrong[0]}: expected one of {', '.join(scheme.coarse)}")
    options = {"counts": args.detections, "batch_size": args.batch_size, "device": args.device, "scheme": scheme,
               "progress": not args.quiet}
    train = observe(checkpoint, open_data(args, "train"), **options)
    try:
        reference = None if args.split == "val" else observe(checkpoint, open_split(args.data_dir, "val"), **options)
    except NoData:
        reference = None
    test = observe(checkpoint, test_sources, **options)
    scorer = AnomalyScorer.fit(train, reference)
    scores = scorer.scores(test)
    found = held_out_auc(train, test, scheme, reference, args.held_out)
    content = {
        "model": model_facts(checkpoint),
        "split": args.split,
        "detections": args.detections,
        "reference": "train" if reference is None else "val",
        "n": {"train": len(train), "reference": len(train if reference is None else reference), "test": len(test)},
        "held_out": found,
        "strangest": _strangest(test, scores, scheme, 20),
    }
    write_atomically(args.output_dir / "anomaly_scores.csv", scores_csv(test, scores, scheme))
    scorer.save(args.output_dir / CALIBRATION)
    if args.calibration:
        scorer.save(args.calibration)
        print(f"calibration: {args.calibration}")
    print(f"scores of all sources: {args.output_dir / 'anomaly_scores.csv'}; {CALIBRATION} beside it")
    figures = {"anomaly": anomaly_figure(test, scores, scheme)}
    return write_report(args.output_dir, "anomaly", content, anomaly_markdown(content), figures)


def _strangest(test, scores, scheme, n: int) -> list[dict]:
    order = scores["combined"].argsort()[::-1][:n]
    return [
        {"object_id": str(test.object_ids[i]), "class": scheme.coarse_name(int(test.labels[i])),
         "detections": int(test.lengths[i]), **{name: float(values[i]) for name, values in scores.items()}}
        for i in order
    ]  # fmt: skip


def scores_csv(test, scores, scheme) -> str:
    """A line a source, the strangest first."""
    lines = [",".join(["object_id", "class", "detections", *scores])]
    for row in _strangest(test, scores, scheme, len(test)):
        numbers = [f"{row[name]:.6g}" for name in scores]
        lines.append(",".join([row["object_id"], row["class"], str(row["detections"]), *numbers]))
    return "\n".join(lines) + "\n"


def anomaly_markdown(content: dict) -> str:
    """ROC-AUC by held-out class and score, and the strangest sources."""
    from ..anomaly import SCORES
    from ..markdown import number, table

    names = (*SCORES, "original")
    rows = [[name, str(r["n"]), *(number(r.get(score)) for score in names)] for name, r in content["held_out"].items()]
    parts = [f"## Finding a class that the scores have not seen (ROC-AUC)\n\n"
             f"{table(['class', 'sources', *names], rows)}"]
    parts.append("original: squared error plus band cross-entropy, uncalibrated. The network has seen the class.\n")
    rows = [[r["object_id"], r["class"], str(r["detections"]), number(r["combined"], 2), number(r["p_value"], 4)]
            for r in content["strangest"][:10]]  # fmt: skip
    header = ["object", "class", "detections", "combined", "p"]
    parts.append(f"## The strangest sources of {content['split']}\n\n{table(header, rows)}")
    return "\n".join(parts)


def anomaly_figure(test, scores, scheme):
    """Histograms of the combined score by class, and reconstruction against latent distance."""
    import numpy as np
    from matplotlib.figure import Figure

    from ..figure import PALETTE, UNKNOWN_COLOUR

    figure = Figure(figsize=(11, 4.5), layout="constrained")
    left, right = figure.subplots(1, 2)
    combined = np.minimum(scores["combined"], np.percentile(scores["combined"], 99))
    bins = np.linspace(combined.min(), combined.max() + 1e-9, 40)
    for k in (-1, *range(len(scheme.coarse))):
        rows = test.labels == k
        if not rows.any():
            continue
        colour = UNKNOWN_COLOUR if k < 0 else PALETTE[k % len(PALETTE)]
        label = f"{scheme.coarse_name(k)} ({rows.sum()})"
        left.hist(combined[rows], bins, histtype="step", density=True, lw=1.5, color=colour, label=label)
        right.scatter(scores["reconstruction"][rows], scores["mahalanobis"][rows], s=8, lw=0, color=colour)
    left.set(xlabel="combined score (clipped at the 99th percentile)", ylabel="density by class")
    left.legend(fontsize=8)
    right.set(xlabel="reconstruction, rms of positive z", ylabel="Mahalanobis distance of the fingerprint")
    return figure


if __name__ == "__main__":
    sys.exit(main())
