"""Command line: judge a model by its resolving power against optimal filters and the Cramer-Rao bound."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from importlib.metadata import version
from pathlib import Path

from venom_hw.atomic import write_atomically

EPILOG = """\
All estimators see the same held-out pulses (15 % of each line, split as for the model's training) and are calibrated to
energy by a spline through zero on training pulses. R = E / FWHM of a locally adaptive kernel density (Shimazaki and
Shinomoto 2010); beside it the fixed-bandwidth estimate and E / (2.355 rms error), which a bias makes smaller. Intervals
are 95 % bootstrap intervals; differences are paired. A difference without an interval is not a result. Those of the
adaptive estimate are widened by 1.3, as measured, since its resamples keep their bandwidths.
The clip on pulse heights (2 sigma, as for training) cuts tails: E / (2.355 rms) of the PtSi-like detector is 5 to 8 %
larger with it, and no bound holds for it then; R from the kernel densities is nearly the same. --peak-sigma 0 judges
all pulses: the training's held-out ones, and as large a share of those that its clip had left out. At the outermost
lines a network profits from the end of its training energies (a prior), so the mean over the inner lines is the fairer
one against the bound.

At energies between the lines one sees whether a network measures energy or recognises lines. For a simulated folder
they are simulated (--simulate-between, in gaps between the energies that the model's file says it was trained on; the
report says so where it surely saw none of them); for a measured one give a folder (--between), or train without each
line in turn (leave-one-out).

--out gets report.txt, report.json, report.md (tables to paste) and report.png.

examples:
  python -m venom_hw.evaluation --model ptsi --quantised ptsi --data data/ptsi --out build/evaluation/ptsi
  python -m venom_hw.evaluation --model runs/lab --data lab/PtSi --out runs/lab/evaluation
  python -m venom_hw.evaluation --model ptsi --data data/ptsi --peak-sigma 0 --out build/evaluation/ptsi-unclipped
  python -m venom_hw.evaluation table build/evaluation/ptsi build/evaluation/inhf
  python -m venom_hw.evaluation leave-one-out --data lab/PtSi --epochs 25 --out runs/lab-left-out
"""

LEAVE_EPILOG = """\
Each training lives in OUT/<line>/ and goes on where it stopped when the command is given again; OUT/<line>.json holds a
finished judgement. The outermost lines are extrapolated and marked (edge).

example:
  python -m venom_hw.evaluation leave-one-out --data data/ptsi --epochs 10 --set n_synthetic=20000 --out runs/left-out
"""


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(
        prog="python -m venom_hw.evaluation",
        description=__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument("--model", required=True, help="float model: file, folder of a run, or ptsi, inhf")
    p.add_argument("--data", type=Path, required=True, help="folder of pulses, npz a wavelength")
    p.add_argument("--out", type=Path, required=True, help="folder for the report")
    p.add_argument("--quantised", help="folder of a quantised model or a shipped name: adds it and its integers")
    p.add_argument("--between", type=Path, help="folder of pulses at energies between the lines")
    p.add_argument("--simulate-between", type=int, default=1000, metavar="N",
                   help="pulses simulated at each of up to six energies between the lines, for a simulated folder "
                   "without --between (default 1000; 0: none)")
    p.add_argument("--filters", nargs="*", default=["shared", "per_wavelength", "iq"],
                   metavar="KIND", help="optimal filters: shared per_wavelength iq (default all)")
    p.add_argument("--no-bound", action="store_true", help="leave out the Cramer-Rao bound of a simulated folder")
    p.add_argument("--bootstrap", type=int, default=200, help="resamples (default 200)")
    p.add_argument("--level", type=float, default=0.95, help="coverage of the intervals (default 0.95)")
    p.add_argument("--seed", type=int, default=0, help="seed of the bootstrap (default 0)")
    p.add_argument("--pulses", type=int, help="the most held-out pulses of each line (default: all)")
    p.add_argument("--peak-sigma", type=float, metavar="SIGMA",
                   help="clip of the judged pulses' heights, in robust sigma (default: the model's setting; 0: none)")
    p.add_argument("--calibration-pulses", type=int, default=1000,
                   help="training pulses of each line that calibrate the networks (default 1000)")
    p.add_argument("--threads", type=int, default=1, help="threads of PyTorch (default 1)")
    p.add_argument("--quiet", action="store_true", help="no progress")
    return p


def leave_parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(
        prog="python -m venom_hw.evaluation leave-one-out",
        description="Train once without each line and judge resolving power and bias at that line.",
        epilog=LEAVE_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument("--data", type=Path, required=True, help="folder of pulses with four lines or more")
    p.add_argument("--out", type=Path, required=True, help="folder of the trainings and the table")
    p.add_argument("--config", type=Path, help="TOML file of training settings")
    p.add_argument("--epochs", type=int, help="passes of each training")
    p.add_argument("--set", nargs="+", default=[], metavar="NAME=VALUE", help="any other setting of venom_hw.train")
    p.add_argument("--lines", nargs="+", metavar="LINE", help="leave out only these, as 920nm (default: each in turn)")
    p.add_argument("--bootstrap", type=int, default=200, help="resamples (default 200)")
    p.add_argument("--seed", type=int, default=0, help="seed of the bootstrap (default 0)")
    p.add_argument("--quiet", action="store_true", help="no progress")
    return p


def table_parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(
        prog="python -m venom_hw.evaluation table",
        description="Mean R of several reports side by side, as a Markdown table.",
    )
    p.add_argument("reports", nargs="+", type=Path, metavar="FOLDER", help="what --out named")
    p.add_argument("--out", type=Path, help="file to write as well")
    return p


def main(argv: list[str] | None = None) -> int:
    argv = sys.argv[1:] if argv is None else list(argv)
    commands = {"leave-one-out": (leave_parser, _leave), "table": (table_parser, _table)}
    make_parser, run = commands.get(argv[0] if argv else "", (parser, _judge))
    args = make_parser().parse_args(argv[1:] if run is not _judge else argv)
    command = shlex.join(["python", "-m", "venom_hw.evaluation", *argv])
    from venom_hw.backend import BackendError
    from venom_hw.datapath import DatapathError
    from venom_hw.detector import DataError
    from venom_hw.flow.model_files import ModelError as FilesError
    from venom_hw.interchange.onnx_graph import ImportRefused
    from venom_hw.model import CheckpointError, ModelError
    from venom_hw.quantize.checkpoint import CheckpointError as QuantisedError
    from venom_hw.train import TrainError

    from .errors import EvaluationError

    known = (EvaluationError, DataError, CheckpointError, ModelError, QuantisedError, FilesError, ImportRefused,
             DatapathError, TrainError, BackendError, OSError)
    try:
        return run(args, command)
    except known as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nstopped", file=sys.stderr)
        return 130


def _say(quiet: bool):
    return (lambda _: None) if quiet else lambda text: print(f"{text} ...", file=sys.stderr)


def _positive(value: int, name: str, least: int = 1) -> None:
    from .errors import EvaluationError

    if value < least:
        raise EvaluationError(f"{name} {value}: expected {least} or more")


def _judge(args: argparse.Namespace, command: str) -> int:
    import torch
    from tqdm import tqdm

    from venom_hw.model.inference import on_chosen_backend

    from .between import simulate_between
    from .errors import EvaluationError
    from .evaluate import evaluate_estimators
    from .models import float_model
    from .sample import load_sample, simulated_preset
    from .text import text_report
    from .write import write_report

    _positive(args.bootstrap, "--bootstrap", 2)
    _positive(args.calibration_pulses, "--calibration-pulses", 10)
    _positive(args.threads, "--threads")
    if not 0 < args.level < 1:
        raise EvaluationError(f"--level {args.level}: expected more than 0 and less than 1")
    if args.peak_sigma is not None and not args.peak_sigma >= 0:
        raise EvaluationError(f"--peak-sigma {args.peak_sigma}: expected 0 (none) or more")
    torch.set_num_threads(args.threads)
    between, say = args.between, _say(args.quiet)
    checkpoint = on_chosen_backend(float_model(args.model))
    say(f"reading {args.data}")
    sample = load_sample(checkpoint, args.data, calibration_pulses=args.calibration_pulses,
                         held_out_pulses=args.pulses, peak_sigma=args.peak_sigma)
    if between is None and args.simulate_between > 0 and simulated_preset(sample.pulses) is not None:
        with tqdm(desc="simulate between the lines", unit="pulse", disable=args.quiet, leave=False) as bar:
            between = simulate_between(
                checkpoint, sample.pulses, args.out / "between", args.simulate_between, bar.update
            )

    def progress(steps):
        return tqdm(steps, desc="quantised network", unit="batch", disable=args.quiet, leave=False)

    report = evaluate_estimators(
        checkpoint, sample, quantised=args.quantised, between=between, filters=args.filters, bound=not args.no_bound,
        n_boot=args.bootstrap, level=args.level, seed=args.seed, calibration_pulses=args.calibration_pulses,
        progress=progress, say=say,
    )  # fmt: skip
    report.provenance.update(model=Path(args.model).name, data=args.data.name)
    written = write_report(args.out, report, command, {name: version(name) for name in ("numpy", "scipy", "torch")})
    print(text_report(report))
    print(f"Written to {args.out}: {', '.join(p.name for p in written)}")
    return 0


def _leave(args: argparse.Namespace, command: str) -> int:
    from venom_hw.train.__main__ import parse_settings

    from .left_out import leave_one_out, leave_one_out_table

    _positive(args.bootstrap, "--bootstrap", 2)
    settings = parse_settings(args.set) | ({} if args.epochs is None else {"epochs": args.epochs})
    found = leave_one_out(
        args.data, args.out, settings=settings, config=args.config, lines=args.lines, n_boot=args.bootstrap,
        seed=args.seed, command=command, quiet=args.quiet, say=_say(args.quiet),
    )  # fmt: skip
    table = leave_one_out_table(found)
    text = "Left out of training, templates and calibration; judged on its held-out pulses.\n\n" + table
    write_atomically(args.out / "report.md", f"{text}\n\nMade by `{command}`.\n")
    stored = {"command": command, "lines": [line.to_dict() for line in found]}
    write_atomically(args.out / "report.json", json.dumps(stored, indent=1) + "\n")
    print(table)
    print(f"Written to {args.out}: report.md, report.json, and a folder for each line")
    return 0


def _table(args: argparse.Namespace, command: str) -> int:
    from .markdown import headline_markdown
    from .report import read_report

    reports = {path.name: read_report(path) for path in args.reports}
    table = headline_markdown(reports)
    print(table)
    if args.out:
        print(f"Written to {write_atomically(args.out, table + chr(10))}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
