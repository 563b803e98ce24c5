"""Small networks on the fingerprints of training runs: linear, two and three hidden layers."""

from __future__ import annotations

import argparse
import sys

from .common import add_device, add_output, add_runs, left_out_note, make_parser, run_command, write_report

EPILOG = """\
A fifth of the training fingerprints (seeded) chooses the epoch and the decoder, by balanced accuracy; the test is only
reported. Cross-entropy weighs rare classes up. Decoders: linear; mlp2 (256, 128); mlp3 (512, 256, 128).

--output-dir gets all_decoder_results.json, decoder_results.json (the best decoder of each run), mlp_probe.md and
mlp_probe.png (confusion of the best decoder, coarse classes).

examples:
  python -m rtf_models mlp-probe --runs-dir runs --output-dir analysis
  python -m rtf_models mlp-probe --runs-dir runs --models ae_dim64 --seed 7 --output-dir analysis/seed7
"""


def parser() -> argparse.ArgumentParser:
    p = make_parser("mlp-probe", __doc__, EPILOG)
    add_runs(p)
    add_output(p)
    p.add_argument("--seed", type=int, default=42, help="seed of the split and of the training (default 42)")
    p.add_argument("--bootstrap", type=int, default=200, help="resamples for 95 %% intervals (default 200; 0: none)")
    add_device(p)
    return p


def main(argv: list[str] | None = None) -> int:
    return run_command(parser(), _work, argv)


def _work(args: argparse.Namespace) -> int:
    import json

    from tqdm import tqdm

    from venom_hw.atomic import write_atomically

    from ..mlp import mlp_probe
    from ..runs import find_runs

    runs, left_out = find_runs(args.runs_dir, args.models, need="embeddings")
    results, best, confusions = {}, {}, {}
    for run in tqdm(runs, desc="mlp probe", unit="run", disable=args.quiet, leave=False):
        found = mlp_probe(run.embeddings("train"), run.embeddings("test"), run.scheme, seed=args.seed,
                          bootstrap=args.bootstrap, device=args.device, progress=not args.quiet)  # fmt: skip
        results[run.name] = found
        levels = {level: found[level] for level in ("coarse", "fine") if found[level] is not None}
        best[run.name] = {k: {"decoder": v["best"], **v["decoders"][v["best"]]} for k, v in levels.items()}
        if "coarse" in best[run.name]:
            confusions[run.name] = (best[run.name]["coarse"]["test"]["confusion"], run.scheme.coarse)
    name = "decoder_results.json"
    write_atomically(args.output_dir / name, json.dumps({"runs": best, "seed": args.seed}, indent=1) + "\n")
    content = {"runs": results, "left_out": left_out, "seed": args.seed}
    figures = {"mlp_probe": confusion_figure(confusions)} if confusions else {}
    markdown = mlp_markdown(results) + left_out_note(left_out)
    print(f"best decoders: {args.output_dir / name}")
    return write_report(args.output_dir, "mlp_probe", content, markdown, figures, json_name="all_decoder_results.json")


def mlp_markdown(results: dict[str, dict]) -> str:
    """A table a level, a row for each run and decoder; the chosen decoder is bold."""
    from ..markdown import percent, scores, table

    parts = []
    header = ["run", "decoder", "validation balanced", "accuracy", "balanced accuracy", "ROC-AUC"]
    for level in ("coarse", "fine"):
        rows = []
        for name, found in results.items():
            for decoder, r in (found[level] or {"decoders": {}})["decoders"].items():
                shown = f"**{decoder}**" if decoder == found[level]["best"] else decoder
                rows.append([name, shown, percent(r["validation"]["balanced_accuracy"]), *scores(r["test"])])
        if rows:
            parts.append(f"## MLP probes, {level} classes\n\n{table(header, rows)}")
    return "\n".join([*parts, "Bold: the best on validation.\n"])


def confusion_figure(confusions: dict):
    """Rows: true classes, as shares; a panel a run."""
    import numpy as np
    from matplotlib.figure import Figure

    columns = min(3, len(confusions))
    lines = -(-len(confusions) // columns)
    figure = Figure(figsize=(4.5 * columns, 4 * lines), layout="constrained")
    panels = figure.subplots(lines, columns, squeeze=False).flat
    for ax, (name, (counts, classes)) in zip(panels, confusions.items(), strict=False):
        counts = np.array(counts)
        shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
        ax.imshow(shares, vmin=0, vmax=1, cmap="Blues")
        for (i, j), share in np.ndenumerate(shares):
            ax.text(j, i, f"{share:.2f}\n{counts[i, j]}", ha="center", va="center", fontsize=7,
                    color="white" if share > 0.5 else "black")
        ticks = range(len(classes))
        ax.set(xticks=ticks, yticks=ticks, xlabel="said", ylabel="true", title=name)
        ax.set_xticklabels(classes, rotation=45, ha="right", fontsize=7)
        ax.set_yticklabels(classes, fontsize=7)
    for ax in list(panels):
        ax.set_axis_off()
    return figure


if __name__ == "__main__":
    sys.exit(main())
