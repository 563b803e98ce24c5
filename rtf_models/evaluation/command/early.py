"""Accuracy, balanced accuracy and ROC-AUC of a linear probe against the number of detections that were seen."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ...errors import RtfError
from .common import (
    add_bootstrap,
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
Training and test sources are cut to their first N detections, embedded, and a logistic regression is fitted on the one
and judged on the other. A source with fewer than N detections counts whole; beside it stand the numbers of those test
sources only that have N or more, among which the classes are in other shares. A network with a class head is judged by
its head as well.

Light-curve features of a whole curve know the future. A network of the original that takes them gets features of the
prefix where the data folder has some, else none; --allow-future-features hands over the whole curve's, to repeat old
numbers.

--output-dir gets early_classification.json, .md and .png.

examples:
  python -m rtf_models early --checkpoint runs/ae_dim64_randtrunc --data-dir data/bts --output-dir analysis/early
  python -m rtf_models early --checkpoint bts-ae --data-dir data/bts --detection-counts 3 5 10 --output-dir /tmp/early
  python -m rtf_models early --checkpoint old/best_model.pt --data-dir data_gp --output-dir analysis/old-early
"""


def parser() -> argparse.ArgumentParser:
    from rtf_models.features.extract import PREFIX_COUNTS

    p = make_parser("early", __doc__, EPILOG)
    add_checkpoint(p)
    p.add_argument("--data-dir", type=Path, required=True, help="data folder with train/ and the split to judge")
    add_output(p)
    p.add_argument("--split", default="test", help="split to judge (default test)")
    p.add_argument("--detection-counts", nargs="+", type=int, default=list(PREFIX_COUNTS), metavar="N",
                   help=f"numbers of detections (default {' '.join(map(str, PREFIX_COUNTS))}); all is always there")
    p.add_argument("--balanced", action="store_true", help="classes weigh the same in the probe's fit")
    p.add_argument("--allow-future-features", action="store_true",
                   help="hand a network of the original the features of whole curves at every N")
    p.add_argument("--image-backbone", choices=("simple", "zoobot"),
                   help="not needed: the checkpoint says; checked against it where given")
    p.add_argument("--num-classes", type=int, help="not needed: the checkpoint says; checked against it where given")
    add_bootstrap(p)
    add_machine(p)
    return p


def main(argv: list[str] | None = None) -> int:
    return run_command(parser(), _work, argv)


def _work(args: argparse.Namespace) -> int:
    from ..early import early_classification
    from ..figure import score_lines

    checkpoint = load_model(args, args.data_dir)
    _check(args, checkpoint)
    train, test = open_data(args, "train"), open_data(args, args.split)
    if checkpoint.inputs.features == "file":
        what = ("features of whole curves at every N: the result is not early classification"
                if args.allow_future_features else "features of the prefix where the files have them, else none")
        print(f"note: this network takes light-curve features as the files hold them; it gets {what}", file=sys.stderr)
    rows = early_classification(
        checkpoint, train, test, args.detection_counts, balanced=args.balanced, bootstrap=args.bootstrap,
        seed=args.seed, batch_size=args.batch_size, device=args.device,
        allow_future_features=args.allow_future_features, progress=not args.quiet,
    )  # fmt: skip
    content = {"model": model_facts(checkpoint), "split": args.split, "seed": args.seed, "rows": rows,
               "scheme": test.scheme.to_dict()}
    figures = {"early_classification": score_lines(rows)}
    return write_report(args.output_dir, "early_classification", content, early_markdown(rows), figures)


def _check(args: argparse.Namespace, checkpoint) -> None:
    config = checkpoint.model.config()
    has = config["image_backbone"] if checkpoint.model.use_images else None
    for flag, given, own in (("--image-backbone", args.image_backbone, has),
                             ("--num-classes", args.num_classes, checkpoint.model.num_classes)):
        if given is not None and given != own:
            raise RtfError(f"{flag} {given}: the checkpoint has {own}; expected that, or no such flag")


def early_markdown(rows: list[dict]) -> str:
    """Tables by number of detections: all test sources, and those long enough."""
    from ..markdown import missing_classes, scores, table

    parts = []
    header = ["detections", "test sources", "accuracy", "balanced accuracy", "ROC-AUC"]
    for level in ("coarse", "fine"):
        if rows[-1][level] is None:
            continue
        body = [[str(r["detections"]), str(r["n_test"]), *scores(r[level])] for r in rows]
        parts.append(f"## Linear probe, {level} classes, all test sources\n\n{table(header, body)}")
        long = [[str(r["detections"]), str(r["at_least"]["n_test"]), *scores(r["at_least"][level])] for r in rows[:-1]]
        parts.append(f"## Linear probe, {level} classes, test sources with at least N detections\n\n"
                     f"{table(header, long)}")
        if note := missing_classes(rows[-1][level]):
            parts.append(note + "\n")
    if rows[-1]["head"] is not None:
        body = [[str(r["detections"]), str(r["n_test"]), *scores(r["head"])] for r in rows]
        parts.append(f"## The network's class head, coarse classes, all test sources\n\n{table(header, body)}")
    if any(row["future_features"] for row in rows):
        parts.append("**The features of whole curves were given at every N: this is not early classification.**\n")
    return "\n".join(parts)


if __name__ == "__main__":
    sys.exit(main())
