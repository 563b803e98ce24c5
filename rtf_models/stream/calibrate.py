"""Calibrate a model's anomaly scores for a stream, at every number of detections."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ..errors import RtfError
from ..evaluation.command.common import (
    add_checkpoint,
    add_device,
    load_model,
    make_parser,
    open_data,
    run_command,
)

EPILOG = """\
Writes stream_calibration.json beside the model (or to --out); python -m rtf_models encode finds it there. The scorer is
fitted to prefixes of 1, 2, 3 ... 100 detections of the train split and standardised on those of the val split.

example:
  python -m rtf_models calibrate-stream --checkpoint runs/ae_dim64_randtrunc --data-dir data/bts
"""


def parser() -> argparse.ArgumentParser:
    p = make_parser("calibrate-stream", __doc__, EPILOG)
    add_checkpoint(p)
    p.add_argument("--data-dir", type=Path, required=True, help="data folder with train/ and the reference split")
    p.add_argument("--reference", default="val", metavar="SPLIT", help="split to standardise on (default val)")
    p.add_argument("--out", type=Path, metavar="FILE", help="default: stream_calibration.json beside the model")
    add_device(p)
    return p


def work(args: argparse.Namespace) -> int:
    from .calibration import FILE, StreamCalibration

    checkpoint = load_model(args, args.data_dir)
    out = args.out or checkpoint.path.parent / FILE
    if args.reference == "train":
        raise RtfError("--reference train: expected a split that the model was not trained on")
    train, reference = open_data(args, "train"), open_data(args, args.reference)
    calibration = StreamCalibration.fit(checkpoint, train, reference, progress=not args.quiet)
    calibration.save(out)
    print(f"{out}: anomaly scores of {checkpoint.path.name}, {len(train):,} training and {len(reference):,} reference "
          f"sources, at {len(calibration.knots)} numbers of detections")
    return 0


def main(argv: list[str] | None = None) -> int:
    return run_command(parser(), work, argv)


if __name__ == "__main__":
    sys.exit(main())
