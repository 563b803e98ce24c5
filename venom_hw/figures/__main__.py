"""`python -m venom_hw.figures`: figures of a trained model on held-out pulses, in the style of a paper."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from pathlib import Path

FIGURES = ("spectra", "spectrum", "power", "parity", "residuals", "attention", "features", "states")
MEANING = {
    "spectra": "histogram of every estimator at each line, with R",
    "spectrum": "all lines in one spectrum, as a spectrometer shows a lamp",
    "power": "R by wavelength with intervals, the bound, and energies between the lines",
    "parity": "estimated against true energy, residuals by line",
    "residuals": "residuals in units of sigma against the normal curve",
    "attention": "attention weight over time, under the mean pulse",
    "features": "all feature channels of the backbone over time",
    "states": "hidden states over time, sorted by their memory",
}
EPILOG = """\
examples:
  python -m venom_hw.figures --model ptsi --data data/ptsi
  python -m venom_hw.figures --model runs/lab --data lab/PtSi --only power parity --formats pdf --out paper/figures
  python -m venom_hw.figures --model inhf --quantised inhf --data data/inhf --between data/inhf-between

All estimators see the same pulses, those that the training held out, and are calibrated to energy on training pulses:
the judgement of python -m venom_hw.evaluation, drawn for print. For a folder of python -m venom_hw.simulate the
Cramer-Rao bound of the simulated detector is drawn too. The numbers behind the figures are written beside them, to
figures.json.

figures (for --only):
"""


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(
        prog="python -m venom_hw.figures", description=__doc__.split(": ", 1)[1],
        epilog=EPILOG + "\n".join(f"  {name:<11}{meaning}" for name, meaning in MEANING.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    p.add_argument("--model", required=True, help="float checkpoint: file, folder of a run, or ptsi, inhf")
    p.add_argument("--data", type=Path, required=True, help="folder of pulses, one npz a wavelength")
    p.add_argument("--quantised", help="folder of a quantised model or a shipped name: adds it")
    p.add_argument("--between", type=Path, help="folder of pulses at energies between the lines")
    p.add_argument("--out", type=Path, help="folder to write (default build/figures/<model>)")
    p.add_argument("--only", nargs="+", choices=FIGURES, metavar="FIGURE", help="some of the figures listed below")
    p.add_argument("--formats", nargs="+", default=["png", "pdf"], choices=("png", "pdf", "svg"), help="png pdf")
    p.add_argument("--pulses", type=int, help="at most so many held-out pulses of a line (default: all)")
    p.add_argument("--bootstrap", type=int, default=200, help="bootstrap resamples of R (default 200)")
    p.add_argument(
        "--filters", nargs="*", default=["shared", "per_wavelength", "iq"], metavar="KIND",
        help="optimal filters: shared per_wavelength iq (default all)",
    )  # fmt: skip
    p.add_argument("--no-bound", action="store_true", help="leave out the Cramer-Rao bound")
    p.add_argument("--threads", type=int, help="CPU threads (default: all)")
    p.add_argument("--quiet", action="store_true", help="no progress bar")
    return p


def draw(wanted, checkpoint, judged, report, inspection) -> dict:
    """Makers of the wanted figures by name; each returns a matplotlib Figure.

    judged: the held-out PulseSet. `report` and `inspection` may be None where no wanted figure needs them.
    """
    from . import inside, parity, power, spectra

    makers = {
        "spectra": lambda: spectra.line_spectra(report),
        "spectrum": lambda: spectra.full_spectrum(report),
        "power": lambda: power.power_by_wavelength(report),
        "parity": lambda: parity.parity_and_residuals(report),
        "residuals": lambda: parity.residual_histogram(report),
        "attention": lambda: inside.attention_over_time(inspection),
        "features": lambda: inside.feature_channels(inspection),
        "states": lambda: inside.state_features(checkpoint, judged),
    }
    return {name: makers[name] for name in FIGURES if name in wanted}


def main(argv: list[str] | None = None) -> int:
    argv = sys.argv[1:] if argv is None else list(argv)
    args = parser().parse_args(argv)
    import torch
    from tqdm import tqdm

    from venom_hw.atomic import write_atomically
    from venom_hw.backend import BackendError
    from venom_hw.evaluation import evaluate_estimators
    from venom_hw.evaluation.sample import load_sample
    from venom_hw.model import ModelError
    from venom_hw.model.inference import on_chosen_backend
    from venom_hw.train.inspection import inspect_model

    from .models import INPUT_ERRORS, load_model
    from .style import save_figure

    wanted = args.only or FIGURES
    command = shlex.join(["python", "-m", "venom_hw.figures", *argv])
    written: list[Path] = []
    try:
        for name, least in (("pulses", 20), ("bootstrap", 2), ("threads", 1)):
            if (value := getattr(args, name)) is not None and value < least:
                raise ModelError(f"--{name} {value}: expected {least} or more")
        if args.threads:
            torch.set_num_threads(args.threads)
        name, checkpoint = load_model(args.model)
        out = args.out or Path("build") / "figures" / name
        with tqdm(total=1 + len(wanted), unit="figure", desc="pulses", disable=args.quiet) as bar:
            sample = load_sample(checkpoint, args.data, held_out_pulses=args.pulses)
            report = inspection = None
            if set(wanted) & {"spectra", "spectrum", "power", "parity", "residuals"}:
                report = evaluate_estimators(
                    on_chosen_backend(checkpoint), sample, quantised=args.quantised, between=args.between,
                    filters=args.filters, bound=not args.no_bound and "power" in wanted, n_boot=args.bootstrap,
                    say=bar.set_description_str,
                )  # fmt: skip
            if set(wanted) & {"attention", "features"}:
                inspection = inspect_model(checkpoint, sample.judged)
            bar.update()
            for figure, make in draw(wanted, checkpoint, sample.judged, report, inspection).items():
                bar.set_description_str(figure)
                drawn = make()
                written += [save_figure(drawn, out / f"{figure}.{suffix}") for suffix in args.formats]
                bar.update()
    except (BackendError, *INPUT_ERRORS) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    numbers = {
        "command": command, "model": name, "data": args.data.name, "figures": [p.name for p in written],
        "window": dict(checkpoint.window), "pulses": len(sample.held_out),
    } | ({} if report is None else {"judgement": report.to_dict()})  # fmt: skip
    write_atomically(out / "figures.json", json.dumps(numbers, indent=1) + "\n")
    if report is not None:
        print(report.tables["kde"])
        print("\n".join(f"note: {text}" for text in report.warnings()))
    print(f"Written to {out}: {', '.join(sorted(p.name for p in written))}, figures.json")
    return 0


if __name__ == "__main__":
    sys.exit(main())
