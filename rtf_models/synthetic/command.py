"""Synthetic light curves of eight parametric models, as the Zwicky Transient Facility would see them."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from tqdm import tqdm

from venom_hw.atomic import write_atomically

from ..classes import APPLECIDER, APPLECIDER6, BTS
from ..errors import RtfError
from .cadence import Survey
from .errors import SyntheticError
from .folder import check_folder, config_of, jobs, write_folder
from .observe import Selection, Sky
from .population import BY_MODEL, POPULATIONS
from .prior import fitted_priors

SCHEMES = {scheme.name: scheme for scheme in (APPLECIDER6, APPLECIDER, BTS)}
DEFAULT_MODELS = ("Afterglow", "MetzgerKN", "Magnetar", "ShockCooling")
EPILOG = f"""\
What a model stands for: {"; ".join(f"{model}: {', '.join(names)}" for model, names in BY_MODEL.items())}.
Populations: {", ".join(POPULATIONS)}.

Each source is drawn from its population (absolute magnitude, rise and fall, colour, dust), put at a distance (evenly
in volume, as far as the survey reaches), watched with the survey's cadence, weather, moon and depth, and kept if the
selection keeps it. The folder gets compact npz files (OUT/train/SYN_<model>_<number>.npz), classes.json, manifest.csv
(what was put in: redshift, peak, dust, shape) and synthetic.json (the configuration). The same seed gives the same
file whatever else is made; files that are there are kept.

Kilonovae and afterglows are class "other" of scheme applecider6, which the schemes applecider and bts do not have.

examples:
  python -m rtf_models generate --output-dir synthetic                              the original's four models
  python -m rtf_models generate --output-dir synthetic --models {" ".join(BY_MODEL)}
  python -m rtf_models generate --output-dir rare --populations "SN Ib" "SN IIb" TDE --n-per-model 2000 --scheme bts \\
      --brightest 19
  python -m rtf_models generate --output-dir like-bts --models --mix 2000 --brightest 19 --kept-at-limit 0.4 \\
      --scheme bts --compare ../shared/data/ztf/bts_lightcurves.npz
  python -m rtf_models generate --output-dir fitted --fitting-dir fits              shapes from fits of real curves
"""


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(
        prog="python -m rtf_models generate",
        description=__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument("--output-dir", type=Path, required=True, metavar="DIR", help="data folder to write")
    p.add_argument(
        "--models",
        nargs="*",
        default=list(DEFAULT_MODELS),
        metavar="MODEL",
        help=f"light-curve models (default {' '.join(DEFAULT_MODELS)}; empty for none)",
    )
    p.add_argument(
        "--populations", nargs="+", default=[], metavar="NAME", help="populations by name, beside the models"
    )
    p.add_argument("--mix", type=int, default=0, metavar="N", help="N more with the shares of types in BTS")
    p.add_argument(
        "--n-per-model",
        type=int,
        default=500,
        metavar="N",
        help="sources a model or population (default 500)",
    )
    p.add_argument(
        "--fitting-dir",
        type=Path,
        metavar="DIR",
        help="JSON fits of real light curves, whose spread gives the shapes (default: built-in populations)",
    )
    p.add_argument("--seed", type=int, default=42, help="seed (default 42)")
    p.add_argument(
        "--scheme", choices=sorted(SCHEMES), default="applecider6", help="class scheme (default applecider6)"
    )
    p.add_argument(
        "--splits",
        type=float,
        nargs=3,
        default=(1.0, 0.0, 0.0),
        metavar=("TRAIN", "VAL", "TEST"),
        help="shares of the splits (default 1 0 0)",
    )
    p.add_argument(
        "--redshift", type=float, nargs=2, metavar=("LOW", "HIGH"), help="distances between these redshifts"
    )
    p.add_argument(
        "--brightest", type=float, metavar="MAG", help="keep sources that get this bright (BTS: 19)"
    )
    p.add_argument(
        "--kept-at-limit",
        type=float,
        default=1.0,
        metavar="SHARE",
        help="share kept at --brightest, all of them a magnitude brighter (BTS: 0.4; default 1)",
    )
    p.add_argument("--min-detections", type=int, default=3, metavar="N", help="fewest detections (default 3)")
    p.add_argument(
        "--days", type=float, default=100.0, help="length kept after the first detection (default 100)"
    )
    p.add_argument(
        "--limit-offset",
        type=float,
        default=0.0,
        metavar="MAG",
        help="shift of the survey's depth, which is about 20.5 (default 0)",
    )
    p.add_argument(
        "--i-band", type=float, default=0.0, metavar="SHARE", help="share of positions also visited in i"
    )
    p.add_argument(
        "--compare",
        type=Path,
        metavar="BTS",
        help="compare with the real curves of bts_lightcurves.npz: "
        "realism.json and realism.png (only a --mix of BTS types has a chance)",
    )
    p.add_argument("--no-plots", action="store_true", help="no examples.png")
    p.add_argument("--force", action="store_true", help="make files again that are there")
    p.add_argument("--quiet", action="store_true", help="no progress")
    return p


def _sky(args) -> Sky:
    if not 0 <= args.i_band <= 1:
        raise SyntheticError(f"--i-band {args.i_band:g}: expected a share from 0 to 1")
    limits = tuple(limit + args.limit_offset for limit in Survey().limits)
    selection = Selection(
        min_detections=args.min_detections,
        brightest=args.brightest,
        days=args.days,
        kept_at_limit=args.kept_at_limit,
        redshift=tuple(args.redshift) if args.redshift else None,
    )
    priors = fitted_priors(args.fitting_dir) if args.fitting_dir is not None else {}
    return Sky(
        Survey(seed=args.seed, limits=limits, i_band=args.i_band), selection, SCHEMES[args.scheme], priors
    )


def _check(args) -> None:
    for option, value, least in (
        ("--n-per-model", args.n_per_model, 1),
        ("--seed", args.seed, 0),
        ("--mix", args.mix, 0),
    ):
        if value < least:
            raise SyntheticError(f"{option} {value}: expected {least} or more")
    if not args.models and not args.populations and not args.mix:
        raise SyntheticError("nothing to make: expected --models, --populations or --mix")


def _compare(args, folder: Path) -> None:
    from ..data.bts import read_bts
    from ..data.folder import open_split
    from .plots import plot_realism
    from .realism import compare

    real = [source.within(args.days) for source in read_bts(args.compare)]
    real = [source for source in real if len(source) >= args.min_detections]
    synthetic = [
        source
        for split in ("train", "val", "test")
        if (folder / split).is_dir()
        for source in open_split(folder, split)
    ]
    result = compare(real, synthetic, seed=args.seed)
    write_atomically(folder / "realism.json", json.dumps(result, indent=1) + "\n")
    plot_realism(real, synthetic, result, folder / "realism.png")
    print(
        f"{folder}: realism.json, realism.png: {result['synthetic']} synthetic against {result['real']} real curves, "
        f"a classifier tells them apart with ROC-AUC {result['auc']:.3f} (0.5: not at all)"
    )


def _generate(args) -> None:
    _check(args)
    sky = _sky(args)
    todo = jobs(args.models, args.populations, args.n_per_model, args.splits, args.seed, args.mix)
    config = config_of(
        sky,
        args.seed,
        models=args.models,
        populations=args.populations,
        mix=args.mix,
        n_per_model=args.n_per_model,
        splits=list(args.splits),
    )
    if not args.force:
        check_folder(args.output_dir, config)
    with tqdm(total=len(todo), unit="source", desc="generate", file=sys.stderr, disable=args.quiet) as bar:
        counts = write_folder(
            args.output_dir, sky, todo, args.seed, config, force=args.force, advance=bar.update
        )
    kinds = ", ".join(f"{n} {name}" for name, n in counts.items() if name not in ("written", "kept"))
    kept = f", {counts['kept']} kept that were there" if counts["kept"] else ""
    print(
        f"{args.output_dir}: {counts['written']} files written{kept} ({kinds}); scheme {sky.scheme.name}, "
        f"seed {args.seed}; manifest.csv, classes.json, synthetic.json"
    )
    if not args.no_plots:
        from .plots import plot_examples

        names = sorted({job.population.name for job in todo})
        picture = plot_examples(sky, names, args.seed, args.output_dir / "examples.png")
        print(f"{picture}: four light curves a population")
    if args.compare is not None:
        _compare(args, args.output_dir)


def main(argv=None) -> int:
    """Runs the command; 0, or 2 with a message for something the user can put right."""
    args = parser().parse_args(argv)
    try:
        _generate(args)
    except (RtfError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
