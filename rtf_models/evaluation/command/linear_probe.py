"""Logistic regression on the fingerprints of training runs: accuracy, balanced accuracy and ROC-AUC of each run."""

from __future__ import annotations

import argparse
import sys

from .common import add_bootstrap, add_output, add_runs, left_out_note, make_parser, run_command, write_report

EPILOG = """\
Each run folder holds train_embeddings.npz and test_embeddings.npz, of this system or of the original. Fingerprints are
standardised on training sources; L2-penalised multinomial regression, C = 1. Sources without a label take no part, nor
do the rows that the original wrote for files it could not read. The AUC is the mean of one class against the rest over
the classes that the test has; the report names those that it lacks. Intervals (95 %) are bootstrap intervals;
those of balanced accuracy and AUC draw within each class.

--output-dir gets linear_probe_results.json, linear_probe.md and linear_probe.png.

examples:
  python -m rtf_models linear-probe --runs-dir runs --output-dir analysis
  python -m rtf_models linear-probe --runs-dir runs --models ae_dim64 vae_dim64 --balanced --output-dir analysis
"""


def parser() -> argparse.ArgumentParser:
    p = make_parser("linear-probe", __doc__, EPILOG)
    add_runs(p)
    add_output(p)
    p.add_argument("--C", type=float, default=1.0, help="inverse strength of the penalty (default 1)")
    p.add_argument("--max-iter", type=int, default=2000, help="most iterations of the fit (default 2000)")
    p.add_argument("--balanced", action="store_true", help="classes weigh the same in the fit")
    add_bootstrap(p)
    p.add_argument("--quiet", action="store_true", help="no progress")
    return p


def main(argv: list[str] | None = None) -> int:
    return run_command(parser(), _work, argv)


def _work(args: argparse.Namespace) -> int:
    from tqdm import tqdm

    from ..errors import EvaluationError
    from ..probe import linear_probe
    from ..runs import find_runs

    if not args.C > 0 or args.max_iter < 1:
        raise EvaluationError(f"--C {args.C}, --max-iter {args.max_iter}: expected more than 0, and 1 or more")
    runs, left_out = find_runs(args.runs_dir, args.models, need="embeddings")
    results = {}
    for run in tqdm(runs, desc="linear probe", unit="run", disable=args.quiet, leave=False):
        metrics = linear_probe(
            run.embeddings("train"), run.embeddings("test"), run.scheme, C=args.C, max_iter=args.max_iter,
            balanced=args.balanced, bootstrap=args.bootstrap, seed=args.seed,
        )  # fmt: skip
        facts = {key: run.summary.get(key) for key in ("mode", "latent_dim", "n_params")}
        results[run.name] = {**facts, **metrics}
    content = {"runs": results, "left_out": left_out, "C": args.C, "balanced": args.balanced, "seed": args.seed}
    markdown = probe_markdown(results) + left_out_note(left_out)
    figures = {"linear_probe": probe_bars(results)}
    return write_report(args.output_dir, "linear_probe", content, markdown, figures,
                        json_name="linear_probe_results.json")


def probe_markdown(results: dict[str, dict]) -> str:
    """A table for the coarse and one for the fine classes, a row a run."""
    from ..markdown import missing_classes, scores, table

    parts = []
    for level in ("coarse", "fine"):
        rows = [[name, str(r["n_test"]), *scores(r[level])] for name, r in results.items()]
        header = ["run", "test sources", "accuracy", "balanced accuracy", "ROC-AUC"]
        parts.append(f"## Linear probe, {level} classes\n\n{table(header, rows)}")
        notes = {missing_classes(r[level]) for r in results.values()} - {""}
        parts += [note + "\n" for note in sorted(notes)]
    return "\n".join(parts)


def probe_bars(results: dict[str, dict]):
    """Bars of the three scores of each run, coarse classes."""
    from matplotlib.figure import Figure

    from ..figure import PALETTE
    from ..metrics import SCORES

    figure = Figure(figsize=(10, 1.5 + 0.45 * len(results)), layout="constrained")
    names = list(results)
    for k, (ax, score) in enumerate(zip(figure.subplots(1, 3, sharey=True), SCORES, strict=True)):
        values = [(r["coarse"] or {}).get(score) or 0.0 for r in results.values()]
        ax.barh(range(len(names)), values, color=PALETTE[k])
        ax.set(xlim=(0, 1), title=f"{score.replace('_', ' ')} (coarse)", yticks=range(len(names)))
        ax.set_yticklabels(names, fontsize=8)
        for y, value in enumerate(values):
            ax.text(value, y, f" {value:.3f}", va="center", fontsize=7)
    figure.axes[0].invert_yaxis()
    return figure


if __name__ == "__main__":
    sys.exit(main())
