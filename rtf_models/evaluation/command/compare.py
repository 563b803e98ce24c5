"""AE, VAE and VQ-VAE side by side: size of a fingerprint, linear probe, reconstruction in magnitudes and days."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from .common import (
    add_bootstrap,
    add_machine,
    add_output,
    add_runs,
    left_out_note,
    make_parser,
    open_data,
    run_command,
    write_report,
)

EPILOG = """\
One table for each kind of inputs: architectures are comparable where they saw the same. Reconstruction is compared in
magnitudes and days (--data-dir), never by losses of differently scaled channels. Bytes: 4 a dimension, or the bits of
the code indices for VQ-VAE; ratio: 13 bytes a detection (time, magnitude, error, band) of the median source over those.

--output-dir gets compare.json, compare.md and compare.png.

examples:
  python -m rtf_models compare --runs-dir runs --data-dir data/bts --output-dir analysis/compare
  python -m rtf_models compare --runs-dir runs --models ae_dim64 vae_dim64 vqvae_dim64 --output-dir analysis/compare
"""


def parser() -> argparse.ArgumentParser:
    p = make_parser("compare", __doc__, EPILOG)
    add_runs(p)
    p.add_argument("--data-dir", type=Path, help="data folder for the reconstruction (without: probes only)")
    add_output(p)
    p.add_argument("--split", default="test", help="split to reconstruct (default test)")
    add_bootstrap(p)
    add_machine(p)
    return p


def main(argv: list[str] | None = None) -> int:
    return run_command(parser(), _work, argv)


def _work(args: argparse.Namespace) -> int:
    from tqdm import tqdm

    from ..comparison import by_inputs, run_row
    from ..runs import find_runs

    runs, left_out = find_runs(args.runs_dir, args.models)
    sources = open_data(args, args.split) if args.data_dir else None
    rows = {}
    for run in tqdm(runs, desc="compare", unit="run", disable=args.quiet, leave=False):
        rows[run.name] = run_row(run, sources, bootstrap=args.bootstrap, seed=args.seed, batch_size=args.batch_size,
                                 device=args.device, progress=not args.quiet)  # fmt: skip
    groups = by_inputs(rows)
    content = {"runs": rows, "split": args.split, "seed": args.seed, "left_out": left_out}
    markdown = compare_markdown(groups) + left_out_note(left_out)
    return write_report(args.output_dir, "compare", content, markdown, {"compare": compare_figure(groups)})


def compare_markdown(groups: dict[str, dict[str, dict]]) -> str:
    """A table for each kind of inputs, a row a run."""
    from ..comparison import architecture
    from ..markdown import number, percent, scores, table

    header = ["run", "model", "D", "bytes", "ratio", "coarse accuracy", "balanced", "ROC-AUC", "fine balanced",
              "median abs dmag", "abs days", "bands right"]  # fmt: skip
    parts = []
    for inputs, rows in groups.items():
        body = []
        for name, row in rows.items():
            probe, physical = row["probe"] or {"coarse": None, "fine": None}, row["physical"] or {}
            ratio = "-" if row["photometry_ratio"] is None else f"{row['photometry_ratio']:.1f}"
            body.append([name, architecture(row), str(row["latent_dim"]), str(row["bytes"]), ratio,
                         *scores(probe["coarse"]), scores(probe["fine"])[1], number(physical.get("median_abs_dmag")),
                         number(physical.get("mean_abs_days"), 2), percent(physical.get("band_accuracy"))])  # fmt: skip
        parts.append(f"## Inputs: {inputs}\n\n{table(header, body)}")
    return "\n".join(parts)


def compare_figure(groups: dict[str, dict[str, dict]]):
    """Accuracy, balanced accuracy, median |dmag| against D: a colour a mode, hollow with a class head, a line style a
    kind of inputs.
    """
    import numpy as np
    from matplotlib.figure import Figure

    from ..comparison import MODES, architecture
    from ..figure import PALETTE

    figure = Figure(figsize=(13, 4), layout="constrained")
    panels = (("accuracy", "linear probe, accuracy (coarse)"), ("balanced_accuracy", "balanced accuracy (coarse)"),
              ("median_abs_dmag", "median |dmag| [mag]"))
    for ax, (score, title) in zip(figure.subplots(1, 3), panels, strict=True):
        for g, (inputs, rows) in enumerate(groups.items()):
            for name in dict.fromkeys(architecture(row) for row in rows.values()):
                alike = [row for row in rows.values() if architecture(row) == name]
                points = [(row["latent_dim"], _value(row, score)) for row in alike]
                points = [(d, v) for d, v in points if v is not None]
                if points:
                    colour = PALETTE[MODES.index(alike[0]["mode"])]
                    ax.plot(*np.array(points).T, marker="o", ms=5, lw=1, ls=("-", "--", ":", "-.")[g % 4], color=colour,
                            mfc="none" if alike[0]["num_classes"] else colour,
                            label=name if len(groups) == 1 else f"{name}, {inputs}")  # fmt: skip
        ax.set_xscale("log", base=2)
        ax.set(xlabel="latent dimension D", title=title)
        ax.grid(alpha=0.3)
    figure.axes[0].legend(fontsize=7)
    return figure


def _value(row: dict, score: str) -> float | None:
    if score == "median_abs_dmag":
        return None if row["physical"] is None else row["physical"][score]
    return None if not (row["probe"] or {}).get("coarse") else row["probe"]["coarse"][score]


if __name__ == "__main__":
    sys.exit(main())
