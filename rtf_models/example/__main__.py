"""The worked example on real light curves of the Bright Transient Survey: preprocess, train an AE, a VAE, a VQ-VAE and
three variants of the AE, judge reconstruction and classification, and write it all down as Markdown and pictures."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from pathlib import Path

from rtf_models.errors import RtfError
from venom_hw.atomic import write_atomically

from .recipes import RECIPES, TITLES, recipe, train_command

EXAMPLES = """\
examples:
  python -m rtf_models example --bts bts_lightcurves.npz --output-dir runs/bts
  python -m rtf_models example --bts bts_lightcurves.npz --output-dir runs/quick --quick
  python -m rtf_models example --bts bts_lightcurves.npz --output-dir runs/bts --runs ae vae vqvae --no-features

Stopped runs go on where they were, finished ones are not repeated: the same command again is all it takes.
About an hour on one CPU core (10 minutes a run); --quick is done in a few minutes and its numbers mean nothing.
"""


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(
        prog="python -m rtf_models example", description=__doc__, epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    p.add_argument("--bts", required=True, type=Path, metavar="FILE", help="bts_lightcurves.npz")
    p.add_argument(
        "--output-dir", required=True, type=Path, metavar="DIR", help="gets data/, runs/, README.md, pictures"
    )
    p.add_argument("--quick", action="store_true", help="small networks, 3 epochs: to see that it runs")
    p.add_argument("--runs", nargs="+", choices=RECIPES, metavar="NAME",
                   help=f"only these: {', '.join(f'{k} ({v})' for k, v in TITLES.items())}")  # fmt: skip
    p.add_argument(
        "--no-features", action="store_true", help="no light-curve features: saves some minutes, and a run"
    )
    p.add_argument("--epochs", type=int, help="of each run, instead of the recipe's")
    p.add_argument("--seed", type=int, default=0, help="of the split and of training (%(default)s)")
    p.add_argument(
        "--temporal", action="store_true", help="split by date, the latest for the test, not at random"
    )
    p.add_argument("--workers", type=int, default=1, help="processes that compute features (%(default)s)")
    p.add_argument("--quiet", action="store_true", help="no progress bars")
    return p


def preprocess_arguments(args: argparse.Namespace) -> list[str]:
    """Of `python -m rtf_models preprocess`."""
    argv = ["--bts", str(args.bts), "--output-dir", str(args.output_dir / "data"), "--seed", str(args.seed)]
    argv += ["--temporal"] * args.temporal
    return argv + ([] if args.no_features else ["--fit-gp", "--workers", str(args.workers)])


def chosen_runs(args: argparse.Namespace) -> list[str]:
    """Names of recipes. Raises RtfError where features are needed and switched off."""
    need = [name for name, settings in RECIPES.items() if settings.get("use_gp")]
    if args.no_features and (asked := [name for name in args.runs or [] if name in need]):
        raise RtfError(f"--runs {asked[0]} with --no-features: expected one of the two")
    names = list(dict.fromkeys(args.runs or RECIPES))
    return [n for n in names if not (args.no_features and n in need)]


def run_example(args: argparse.Namespace) -> list[Path]:
    """All of it; what was written. Raises RtfError."""
    from rtf_models.checkpoint import load_checkpoint
    from rtf_models.train.data import load_data
    from rtf_models.train.sweep import sweep

    from .judge import feature_probe, judge_run, majority
    from .report import write_figures, write_report

    out, names = args.output_dir, chosen_runs(args)
    configs = {
        n: recipe(n, str(out / "data"), seed=args.seed, quick=args.quick, epochs=args.epochs) for n in names
    }
    commands = [["python", "-m", "rtf_models", "preprocess", *preprocess_arguments(args)]]
    commands += [train_command(config, str(out / "runs")) for config in configs.values()]
    _preprocess(args)
    for config, command in zip(configs.values(), commands[1:], strict=True):
        sweep([config], out / "runs", command=shlex.join(command), resume=True, quiet=args.quiet)
    data = load_data(next(iter(configs.values())), args.quiet)
    folders = {n: out / "runs" / config.run_name for n, config in configs.items()}
    judged = {
        n: judge_run(folder, data, args.quiet, bootstrap=50 if args.quick else 500)
        for n, folder in folders.items()
    }
    chance, features = majority(data), feature_probe(data)
    first = next(iter(configs.values()))
    about = {
        "data": data.description(),
        "horizon": first.horizon,
        "seed": args.seed,
        "temporal": args.temporal,
    }
    about["commands"] = commands
    results = {"about": about, "runs": judged, "majority": chance, "features": features}
    written = [
        write_atomically(out / "results.json", json.dumps(results, indent=1)),
        write_report(out, judged, chance, features, about),
    ]
    checkpoints = {n: load_checkpoint(folder) for n, folder in folders.items() if n in ("ae", "vae", "vqvae")}
    return written + write_figures(out, judged, features, chance, checkpoints, data)


def _preprocess(args: argparse.Namespace) -> None:
    from rtf_models.preprocess import main as preprocess

    if preprocess(preprocess_arguments(args)):
        raise RtfError(f"{args.bts}: preprocessing failed; see above")


def main(argv: list[str] | None = None) -> int:
    args = parser().parse_args(argv)
    try:
        written = run_example(args)
    except (RtfError, FileNotFoundError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nstopped; the same command goes on", file=sys.stderr)
        return 130
    print((args.output_dir / "README.md").read_text(encoding="utf-8"))
    print(f"Written to {args.output_dir}: data/, runs/, {', '.join(p.name for p in written)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
