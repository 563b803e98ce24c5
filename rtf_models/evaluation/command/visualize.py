"""Maps of the latent space of training runs: UMAP, t-SNE, PCA, by class and by reconstruction error."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from .common import add_output, add_runs, ended, make_parser, run_command

METHODS = ("umap", "tsne", "pca")
EPILOG = """\
Of each run's test fingerprints (--split train: training). UMAP: 30 neighbours, min_dist 0.3, cosine; without umap-learn
t-SNE takes its place, and a note says so. t-SNE: perplexity 30, from PCA. --comparison-dims puts runs of several latent
dimensions side by side: those named <mode>_dim<D> or <mode>_dim<D>_meta.

--output-dir gets <run>_<method>.png (coarse, fine, reconstruction error), comparison_<method>.png, and visualize.json
(points of every map).

examples:
  python -m rtf_models visualize --runs-dir runs --output-dir analysis/maps
  python -m rtf_models visualize --runs-dir runs --methods pca tsne --models ae_dim64 --output-dir analysis/maps
  python -m rtf_models visualize --runs-dir runs --comparison-dims 8 32 128 --comparison-only --output-dir analysis/maps
"""


def parser() -> argparse.ArgumentParser:
    p = make_parser("visualize", __doc__, EPILOG)
    add_runs(p)
    add_output(p)
    p.add_argument("--methods", nargs="+", choices=METHODS, default=["umap", "tsne"], help="default umap tsne")
    p.add_argument("--split", choices=("test", "train"), default="test", help="whose fingerprints (default test)")
    p.add_argument("--comparison-dims", nargs="*", type=int, default=[], metavar="D", help="dimensions side by side")
    p.add_argument("--comparison-mode", choices=("ae", "vae", "vqvae"), default="ae", help="of what (default ae)")
    p.add_argument("--comparison-only", action="store_true", help="no maps of single runs; needs --comparison-dims")
    p.add_argument("--max-points", type=int, default=20000, help="a random sample of more (default 20000)")
    p.add_argument("--seed", type=int, default=42, help="of maps and samples (default 42)")
    p.add_argument("--quiet", action="store_true", help="no progress")
    return p


def main(argv: list[str] | None = None) -> int:
    return run_command(parser(), _work, argv)


def _work(args: argparse.Namespace) -> int:
    import json

    from tqdm import tqdm

    from venom_hw.atomic import write_atomically

    from ..errors import EvaluationError
    from ..figure import save_figure
    from ..projection import available_method
    from ..runs import find_runs

    if args.comparison_only and not args.comparison_dims:
        raise EvaluationError("--comparison-only: expected --comparison-dims, the dimensions to compare")
    if args.max_points < 5:
        raise EvaluationError(f"--max-points {args.max_points}: expected 5 or more")
    methods = list(dict.fromkeys(available_method(method) for method in args.methods))
    if "umap" in args.methods and "umap" not in methods:
        print('note: umap-learn is not installed (pip install "venom-hw[umap]"): t-SNE instead', file=sys.stderr)
    runs, left_out = find_runs(args.runs_dir, args.models, need="embeddings")
    compared = _compared(runs, args)
    maps = _Maps(args)
    written: list[Path] = []
    singles = [] if args.comparison_only else runs
    work = [(run, method) for run in singles for method in methods]
    for run, method in tqdm(work, desc="maps", unit="map", disable=args.quiet, leave=False):
        path = args.output_dir / f"{run.name}_{method}.png"
        written.append(save_figure(run_figure(run, method, *maps.of(run, method)), path, dpi=200))
    for method in methods if compared else ():
        panels = {run.name: (run, *maps.of(run, method)) for run in compared}
        path = args.output_dir / f"comparison_{method}.png"
        written.append(save_figure(comparison_figure(panels, method), path, dpi=200))
    content = {"seed": args.seed, "split": args.split, **maps.content(), "left_out": left_out}
    written.append(write_atomically(args.output_dir / "visualize.json", json.dumps(content) + "\n"))
    return ended(written)


def _compared(runs, args):
    """Runs of the asked dimensions, in their order; the plainest name wins."""
    from ..errors import EvaluationError

    found = []
    for dim in args.comparison_dims:
        names = (f"{args.comparison_mode}_dim{dim}", f"{args.comparison_mode}_dim{dim}_meta")
        candidates = [run for name in names for run in runs if run.name == name]
        candidates = candidates or [run for run in runs if run.name.startswith(names[0] + "_")]
        if not candidates:
            raise EvaluationError(f"--comparison-dims {dim}: no run {names[0]}; there are "
                                  f"{', '.join(run.name for run in runs)}")  # fmt: skip
        found.append(candidates[0])
    return found


class _Maps:
    """Fingerprints (a sample of very many) and points of each run and method, made once."""

    def __init__(self, args: argparse.Namespace):
        self.args, self.embeddings, self.points = args, {}, {}

    def of(self, run, method: str):
        import numpy as np

        from ..projection import project

        if run.name not in self.embeddings:
            found = run.embeddings(self.args.split)
            if len(found) > self.args.max_points:
                draw = np.random.default_rng(self.args.seed).choice(len(found), self.args.max_points, replace=False)
                found = found.select(np.sort(draw))
            self.embeddings[run.name] = found
        found = self.embeddings[run.name]
        if (run.name, method) not in self.points:
            self.points[run.name, method] = project(found.embeddings, method, seed=self.args.seed)
        return found, self.points[run.name, method]

    def content(self) -> dict:
        ids = {name: found.obj_ids.astype(str).tolist() for name, found in self.embeddings.items()}
        points = {f"{name}/{method}": xy.round(5).tolist() for (name, method), xy in self.points.items()}
        return {"object_ids": ids, "points": points}


def run_figure(run, method: str, embeddings, points):
    """Three panels: coarse classes, fine classes, reconstruction error clipped at its 95th percentile."""
    import numpy as np
    from matplotlib.figure import Figure

    from ..figure import dot_size, scatter_classes
    from ..probe import labels_of
    from ..projection import TITLES

    figure = Figure(figsize=(17, 5), layout="constrained")
    coarse, fine, error = figure.subplots(1, 3)
    for ax, level in ((coarse, "coarse"), (fine, "fine")):
        scatter_classes(ax, points, labels_of(embeddings, level, run.scheme), getattr(run.scheme, level))
        ax.set_title(f"{level} classes")
        ax.legend(fontsize=7, markerscale=2)
    values = np.asarray(embeddings.recon_errors, float)
    known = np.isfinite(values)
    if known.any():
        top = np.percentile(values[known], 95)
        dots = error.scatter(*points[known].T, c=np.minimum(values[known], top), s=dot_size(len(points)), lw=0,
                             cmap="viridis")  # fmt: skip
        figure.colorbar(dots, ax=error, label="clipped at the 95th percentile")
    error.set(xticks=[], yticks=[], title="reconstruction error")
    figure.suptitle(f"{run.name}: {TITLES[method]}")
    return figure


def comparison_figure(panels: dict, method: str):
    """Coarse classes of several runs side by side."""
    from matplotlib.figure import Figure

    from ..figure import scatter_classes
    from ..probe import labels_of
    from ..projection import TITLES

    figure = Figure(figsize=(5 * len(panels), 5), layout="constrained")
    for ax, (name, (run, embeddings, points)) in zip(figure.subplots(1, len(panels), squeeze=False)[0],
                                                     panels.items(), strict=True):
        scatter_classes(ax, points, labels_of(embeddings, "coarse", run.scheme), run.scheme.coarse)
        ax.set_title(name)
    figure.axes[-1].legend(fontsize=7, markerscale=2)
    figure.suptitle(TITLES[method])
    return figure


if __name__ == "__main__":
    sys.exit(main())
