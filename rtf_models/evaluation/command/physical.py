"""Reconstruction in magnitudes and days: how far decoded light curves are from the ones that were encoded."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from .common import (
    add_checkpoint,
    add_machine,
    add_output,
    left_out_note,
    make_parser,
    model_facts,
    open_data,
    run_command,
    write_report,
)

EPILOG = """\
Every network that the folder holds is judged, whatever its inputs and size: its checkpoint rebuilds it. By source:
mean, median and 90th percentile of |dmag|, mean |d days|, share of right bands. Summary: means over sources, but the
median column is the median over sources of their medians, as the original's. The baseline is a decoder that knows only
the median magnitude of a source in each band.

--output-dir gets physical.json, physical.md, physical.png, and <run>_light_curves.png (true and decoded).

examples:
  python -m rtf_models physical --runs-dir runs --data-dir data/bts --output-dir analysis/physical
  python -m rtf_models physical --checkpoint bts-ae --data-dir data/bts --plot-per-class 1 --output-dir analysis/ae
"""


def parser() -> argparse.ArgumentParser:
    p = make_parser("physical", __doc__, EPILOG)
    p.add_argument("--runs-dir", type=Path, help="folder of training runs, or one of them")
    p.add_argument("--models", nargs="*", default=[], metavar="RUN", help="only these runs (default: all)")
    add_checkpoint(p, required=False)
    p.add_argument("--data-dir", type=Path, required=True, help="data folder with the split to judge")
    add_output(p)
    p.add_argument("--split", default="test", help="split to judge (default test)")
    p.add_argument("--detections", type=int, metavar="N", help="only the first N detections of each source")
    p.add_argument("--plot-per-class", type=int, default=3, help="light curves drawn of each class (default 3)")
    add_machine(p)
    return p


def main(argv: list[str] | None = None) -> int:
    return run_command(parser(), _work, argv)


def _work(args: argparse.Namespace) -> int:
    from ..errors import EvaluationError
    from ..figure import light_curves, save_figure
    from ..physical import physical_metrics

    if args.plot_per_class < 0 or (args.detections is not None and args.detections < 1):
        raise EvaluationError("--plot-per-class: expected 0 or more; --detections: 1 or more")
    models, left_out = checkpoints_of(args)
    sources = open_data(args, args.split)
    results = {}
    for name, load in models.items():
        checkpoint = load()
        found = physical_metrics(
            checkpoint, sources, counts=args.detections, batch_size=args.batch_size, device=args.device,
            keep=args.plot_per_class, progress=not args.quiet,
        )  # fmt: skip
        if curves := found.pop("curves", []):
            save_figure(light_curves(curves, name), args.output_dir / f"{name}_light_curves.png")
        results[name] = {"model": model_facts(checkpoint), **found}
    content = {"split": args.split, "detections": args.detections, "runs": results, "left_out": left_out}
    markdown = physical_markdown(results) + left_out_note(left_out)
    return write_report(args.output_dir, "physical", content, markdown, {"physical": physical_bars(results)})


def checkpoints_of(args: argparse.Namespace):
    """Name -> a function that loads the checkpoint, of --checkpoint and --runs-dir; and what was left out."""
    from ..errors import EvaluationError
    from ..runs import find_runs
    from .common import load_model

    models, left_out = {}, {}
    if args.checkpoint:
        path = Path(args.checkpoint)
        name = path.parent.name or path.stem if path.suffix else path.name
        models[name] = lambda: load_model(args, args.data_dir)
    if args.runs_dir:
        runs, left_out = find_runs(args.runs_dir, args.models)
        for run in runs:
            one = argparse.Namespace(**{**vars(args), "checkpoint": run.folder, "summary": None})
            models[run.name] = lambda one=one: load_model(one, args.data_dir)
    if not models:
        raise EvaluationError("no network to judge: expected --checkpoint or --runs-dir")
    return models, left_out


def physical_markdown(results: dict[str, dict]) -> str:
    """A row a run, and one for each of its classes."""
    from ..markdown import number, percent, table

    rows = []
    for name, found in results.items():
        for label, r in [(name, found), *((f"{name}: {c}", v) for c, v in found["per_class"].items())]:
            bands = [f"{b} {number(v, 2)}" for b, v in r["per_band"].items()]
            rows.append([label, str(r["n"]), number(r["median_abs_dmag"]), number(r["mean_abs_dmag"]),
                         number(r["p90_abs_dmag"]), number(r["baseline_abs_dmag"]), number(r["mean_abs_days"], 2),
                         percent(r["band_accuracy"]), " ".join(bands)])  # fmt: skip
    header = ["run", "sources", "median abs dmag", "mean", "90th pct", "baseline mean", "mean abs days",
              "bands right", "mean by band"]  # fmt: skip
    return f"## Reconstruction (mag, days)\n\n{table(header, rows)}"


def physical_bars(results: dict[str, dict]):
    """Mean |dmag| by class of each run, with the baseline as a black line."""
    import numpy as np
    from matplotlib.figure import Figure

    from ..figure import PALETTE

    classes = list(dict.fromkeys(c for r in results.values() for c in r["per_class"])) or ["all"]
    figure = Figure(figsize=(3 + 1.5 * len(classes), 4), layout="constrained")
    ax, width = figure.subplots(), 0.8 / len(results)
    for k, (name, r) in enumerate(results.items()):
        at = np.arange(len(classes)) - 0.4 + width * (k + 0.5)
        parts = [r["per_class"].get(c, r if c == "all" else None) for c in classes]
        height, base = ([np.nan if p is None else p[key] for p in parts]
                        for key in ("mean_abs_dmag", "baseline_abs_dmag"))  # fmt: skip
        ax.bar(at, height, width * 0.95, color=PALETTE[k % len(PALETTE)], label=name)
        ax.hlines(base, at - width / 2, at + width / 2, color="k", lw=1.5)
    ax.set_xticks(range(len(classes)), classes)
    ax.set(ylabel="mean |dmag| [mag]", title="reconstruction; black: median magnitude of the source in the band")
    ax.set_ylim(top=1.25 * ax.get_ylim()[1])
    ax.legend(fontsize=8, ncols=3)
    return figure


if __name__ == "__main__":
    sys.exit(main())
