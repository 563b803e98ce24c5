"""python -m rtf_models quantize: a trained float encoder -> quantised checkpoint, QONNX file and report."""

from __future__ import annotations

import argparse
import logging
import os
import shlex
import sys
import warnings
from pathlib import Path

DESCRIPTION = """\
Quantise the encoder of an RTF model to integers and export it.

  1. calibrate   observe the ranges of all tensors over training light curves, choose power-of-two scales
  2. fine-tune   quantisation-aware training towards the float model's fingerprints
  3. export      encoder.onnx (QONNX): detections and padding mask -> fingerprint, any batch, any length
  4. verify      the file, executed in float64, against the network: every integer of every quantiser
  5. report      linear probe and cosine to the float fingerprints, before and after fine-tuning
"""
EPILOG = """\
examples:
  python -m rtf_models preprocess --bts bts_lightcurves.npz --output-dir data/bts
  python -m rtf_models quantize --checkpoint bts-ae --data-dir data/bts --output-dir runs/bts-ae-quantised
  python -m rtf_models quantize ... --set tensors.res.bits=10 --set training.steps=600
  python -m rtf_models quantize ... --set training.steps=0      # calibration only

Light curves longer than the encoder takes (its max_len, 257 by default) are cut to that, and the command says so.
The recipe's defaults and the meaning of each tensor class: rtf_models/quantize/recipes/default.toml.
An interrupted fine-tuning continues when the same command is run again; a finished result is not made again."""


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(
        prog="python -m rtf_models quantize",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument("--checkpoint", required=True, help="float model: a file, a run folder or a shipped name")
    p.add_argument("--data-dir", type=Path, required=True, metavar="DIR", help="folder of train/ and test/ npz files")
    p.add_argument("--output-dir", type=Path, required=True, metavar="DIR", help="folder for the results")
    p.add_argument("--recipe", type=Path, metavar="TOML", help="what differs from the default recipe")
    p.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", dest="overrides",
        help="one recipe value, e.g. tensors.res.bits=10 or training.steps=800; may be repeated",
    )  # fmt: skip
    p.add_argument("--name", help="name of the model in the files (default: the output folder's)")
    p.add_argument(
        "--detection-counts", type=int, nargs="*", default=[10], metavar="N",
        help="also judge the fingerprints of so many first detections (default: 10)",
    )  # fmt: skip
    p.add_argument("--limit", type=int, metavar="N", help="only the first N light curves of each split (a quick look)")
    p.add_argument("--threads", type=int, help="CPU threads (default: all)")
    p.add_argument("--fresh", action="store_true", help="start again, whatever is there already")
    p.add_argument("--quiet", action="store_true", help="no progress bars")
    return p


def main(argv: list[str] | None = None) -> int:
    arguments = sys.argv[1:] if argv is None else list(argv)
    options = parser().parse_args(arguments)
    warnings.filterwarnings("ignore", module="brevitas")
    os.environ.setdefault("TORCH_LOGS", "-all")
    import torch
    from tqdm import tqdm

    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    from rtf_models.checkpoint import load_checkpoint
    from rtf_models.data.folder import open_split
    from venom_hw.quantize.recipe import load_recipe
    from venom_hw.quantize.verify import VerifyError

    from .calibrate import RECIPES
    from .run import Data, quantise_model

    def bar(what: str):  # noqa: ANN202
        return lambda steps: tqdm(steps, desc=what, leave=False)

    try:
        numbers = {"--limit": [options.limit], "--threads": [options.threads]}
        for flag, values in {**numbers, "--detection-counts": options.detection_counts}.items():
            if any(v is not None and v < 1 for v in values):
                raise ValueError(f"{flag} {min(values)}: expected 1 or more")
        if options.threads:
            torch.set_num_threads(options.threads)
        recipe = load_recipe(options.recipe, options.overrides, RECIPES)
        checkpoint = load_checkpoint(options.checkpoint)
        train, test = (open_split(options.data_dir, split, progress=not options.quiet) for split in ("train", "test"))
        if options.limit:
            train, test = ([split[k] for k in range(min(options.limit, len(split)))] for split in (train, test))
        quantise_model(
            checkpoint,
            Data(train, test, options.data_dir.name),
            options.output_dir,
            recipe,
            name=options.name or options.output_dir.resolve().name,
            command="python -m rtf_models quantize " + shlex.join(arguments),
            counts=(*options.detection_counts, None),
            fresh=options.fresh,
            bar=None if options.quiet else bar,
        )
    except (VerifyError, FloatingPointError, ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0
