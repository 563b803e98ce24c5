"""python -m venom_hw.quantize: a trained float VENOM -> quantised checkpoint, QONNX files and report."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
import warnings
from pathlib import Path

DESCRIPTION = """\
Quantise a trained VENOM to integers and export it.

  1. calibrate   observe the ranges of all tensors over training windows, choose power-of-two scales
  2. fine-tune   quantisation-aware training of the recurrent execution, towards the float model
  3. recalibrate linear energy correction on training data, absorbed in the head's gain and offset
  4. export      step.onnx (once a sample) and head.onnx (once a photon), QONNX
  5. verify      the files, executed in float64, against the network: every output and state, every sample
  6. report      fidelity to the float model and change of resolving power, with bootstrap intervals
"""
EPILOG = """\
examples:
  python -m venom_hw.simulate --preset ptsi --out data/ptsi
  python -m venom_hw.quantize --model venom_hw/pretrained/ptsi.safetensors --data data/ptsi --out runs/ptsi-quantised
  python -m venom_hw.quantize ... --recipe mine.toml --set weights.w_x.bits=6 --set training.steps=800

The recipe's defaults and the meaning of each tensor class: venom_hw/quantize/recipes/default.toml; the smallest
one at 1 % loss of resolving power: --recipe lean.
An interrupted fine-tuning continues when the same command is run again."""


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(
        prog="python -m venom_hw.quantize",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument("--model", type=Path, required=True, help="float checkpoint (.safetensors)")
    p.add_argument("--data", type=Path, required=True, help="folder of pulses, one npz a wavelength")
    p.add_argument(
        "--extra",
        type=Path,
        action="append",
        default=[],
        metavar="FOLDER",
        help="more pulses to calibrate and train on, e.g. at energies between the lines; may be repeated",
    )
    p.add_argument("--out", type=Path, required=True, help="folder for the results")
    p.add_argument(
        "--recipe", type=Path, help="TOML file with what differs from the default recipe, or a shipped recipe's name"
    )
    p.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        dest="overrides",
        help="one recipe value, e.g. tensors.B.bits=10 or training.steps=800; may be repeated",
    )
    p.add_argument("--name", help="name of the model in the files (default: the checkpoint's file name)")
    p.add_argument(
        "--windows", type=int, default=1000, help="windows for the check of the files (default 1000)"
    )
    p.add_argument("--bootstrap", type=int, default=300, help="bootstrap resamples (default 300)")
    p.add_argument("--threads", type=int, help="CPU threads (default: all)")
    p.add_argument(
        "--fresh",
        action="store_true",
        help="start again: neither continue an interrupted run nor keep a finished one",
    )
    p.add_argument("--quiet", action="store_true", help="no progress bars")
    return p


def main(arguments: list[str] | None = None) -> int:
    arguments = sys.argv[1:] if arguments is None else arguments
    options = parser().parse_args(arguments)
    for name, path in (
        ("model", options.model),
        ("data", options.data),
        *(("extra", p) for p in options.extra),
    ):
        wanted, found = ("file", path.is_file()) if name == "model" else ("folder", path.is_dir())
        if not found:
            print(f"error: --{name} {path}: no such {wanted}", file=sys.stderr)
            return 2
    warnings.filterwarnings("ignore", module="brevitas")
    os.environ.setdefault("TORCH_LOGS", "-all")
    import logging

    import torch
    from tqdm import tqdm

    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    from venom_hw.detector.errors import DataError

    from .checkpoint import CheckpointError
    from .formats import FormatError
    from .pulses import QuantizeError
    from .recipe import RecipeError, load_recipe
    from .run import quantise_model
    from .shape import NetworkError
    from .verify import VerifyError

    if options.threads:
        torch.set_num_threads(options.threads)

    def bar(what: str):  # noqa: ANN202
        return lambda steps: tqdm(steps, desc=what, leave=False, disable=options.quiet)

    try:
        quantise_model(
            options.model,
            options.data,
            options.out,
            load_recipe(options.recipe, options.overrides),
            name=options.name or options.model.stem,
            extra=options.extra,
            windows=options.windows,
            bootstrap=options.bootstrap,
            command="python -m venom_hw.quantize " + shlex.join(arguments),
            fresh=options.fresh,
            bar=bar,
        )
    except (
        RecipeError,
        NetworkError,
        FormatError,
        CheckpointError,
        QuantizeError,
        DataError,
        VerifyError,
        FloatingPointError,
        ValueError,
        OSError,
    ) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
