"""Train autoencoders that turn light curves into fingerprints: one run for each latent dimension.

Each run's folder holds the best checkpoint (model.safetensors; it rebuilds itself with no flags), summary.json,
history.json, fingerprints of the training and test sources, and the state to --resume from."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path

from rtf_models.errors import RtfError
from venom_hw.backend import DEVICES

from .config import AMP, BACKBONES, CLASS_WEIGHTS, FEATURES, KL, MODES, SCALINGS, TrainConfig
from .settings_file import with_settings_file

EXAMPLES = """\
examples:
  python -m rtf_models preprocess --bts bts_lightcurves.npz --output-dir data/bts
  python -m rtf_models train --data-dir data/bts --output-dir runs --mode ae --latent-dims 64 --random-truncate
  python -m rtf_models train --data-dir data/bts --output-dir runs --mode vae --kl mean --beta 0.1 --latent-dims 8 64
  python -m rtf_models train --data-dir data/ztf --output-dir runs --mode ae --latent-dims 64 --use-metadata --use-gp \\
      --cls-weight 0.5 --class-weights sqrt --early-stopping 30
  python -m rtf_models train --output-dir runs --data-dir data/bts --mode ae --latent-dims 64 --random-truncate --resume
  python -m rtf_models train --config ae.toml --latent-dims 8 --seed 1

--config reads flags from a TOML file, names without the dashes; a run's settings.json works too. Flags of the command
line win over it (--no-use-gp switches off what it switches on). What a run had in the end is in its settings.json.
  data-dir = "data/bts"
  output-dir = "runs"
  mode = "ae"
  latent-dims = [8, 64]
  lr = 1e-3
  random-truncate = true

A recipe that works on a CPU with some thousand curves: --epochs 60 --batch-size 32 --lr 1e-3 --warmup 3 \\
  --dropout 0.1 --attention-dropout 0

Flags and defaults are those of the original RTF, but for three:
  --num-workers 0 (4)       the data are in memory; the numbers are the same with any
  --gp-dim none (114)       --use-gp alone says it; with the mask of missing values the network takes 228
  --num-classes none (5)    the data say their classes; given with --cls-weight, it is checked against them
Old job scripts that spell these out run as they are: what does nothing is said and left out. A network is trained with
input statistics of its own training split, and its folder's name ends with what else makes it another network.
"""

FILES = ("model.safetensors", "summary.json", "history.json", "train_embeddings.npz", "test_embeddings.npz")


def parser() -> argparse.ArgumentParser:
    """The flags of the original with its defaults, and ours."""
    d = TrainConfig(data_dir=".")
    p = argparse.ArgumentParser(
        prog="python -m rtf_models train", description=__doc__, epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    switch = argparse.BooleanOptionalAction
    p.add_argument("--config", type=Path, metavar="FILE", help="flags from a TOML file; see below")
    g = p.add_argument_group("data")
    g.add_argument(
        "--data-dir", metavar="DIR", help="folder of train/, val/, test/: compact npz or photo_events files"
    )
    g.add_argument(
        "--alert-dir", metavar="DIR", help="raw alerts (<object>/alerts.npy) instead, with the next two"
    )
    g.add_argument("--splits", metavar="CSV", help="columns obj_id,split")
    g.add_argument("--labels-dir", metavar="DIR", help="<split>/<object>.npz with 'label'")
    g.add_argument("--synthetic-dir", metavar="DIR", help="its train/ is added to the training split")
    g.add_argument(
        "--horizon",
        type=float,
        default=d.horizon,
        metavar="DAYS",
        help="after the first detection (%(default)g)",
    )
    g.add_argument("--max-detections", type=int, metavar="N", help="only the first N of each source")
    g.add_argument(
        "--random-truncate", action=switch, default=False, help="in training, a random number of first detections"
    )
    g.add_argument(
        "--min-detections",
        type=int,
        default=d.min_detections,
        metavar="N",
        help="that it keeps (%(default)s)",
    )
    g = p.add_argument_group("inputs beside the photometry")
    g.add_argument(
        "--use-metadata", action=switch, default=False, help="30 numbers of each alert, with a mask of missing ones"
    )
    g.add_argument("--metadata-scaling", choices=SCALINGS, default=d.metadata_scaling,
                   help="by the training split, or per sample as the original (%(default)s)")  # fmt: skip
    g.add_argument("--use-images", action=switch, default=False, help="the newest cutout triplet")
    g.add_argument("--image-backbone", choices=BACKBONES, default=d.image_backbone, help="(%(default)s)")
    g.add_argument(
        "--backbone-weights", metavar="FILE", help="of zoobot: a local file, nothing is downloaded"
    )
    g.add_argument("--finetune-backbone", action=switch, default=False, help="zoobot's weights learn too")
    g.add_argument(
        "--use-gp", action=switch, default=False, help="114 light-curve features (preprocess --fit-gp)"
    )
    g.add_argument(
        "--gp-dim",
        type=int,
        default=None,
        metavar="114",
        help="for old job scripts (whose default it is); 114 alone is right",
    )
    g.add_argument("--features", choices=FEATURES, default=d.features,
                   help="of the detections so far, or as found in the file (%(default)s)")  # fmt: skip
    g = p.add_argument_group("network")
    g.add_argument("--mode", choices=MODES, default=d.mode, help="bottleneck (%(default)s)")
    g.add_argument(
        "--latent-dims",
        type=int,
        nargs="+",
        default=[32, 64, 128, 256],
        metavar="D",
        help="one run each (32 64 128 256)",
    )
    g.add_argument("--d-model", type=int, default=d.d_model, help="width (%(default)s)")
    g.add_argument("--heads", type=int, default=d.heads, help="(%(default)s)")
    g.add_argument("--encoder-layers", type=int, default=d.encoder_layers, help="(%(default)s)")
    g.add_argument("--decoder-layers", type=int, default=d.decoder_layers, help="(%(default)s)")
    g.add_argument("--d-ff", type=int, default=d.d_ff, help="width of the feed-forward layers (%(default)s)")
    g.add_argument("--dropout", type=float, default=d.dropout, help="(%(default)g)")
    g.add_argument(
        "--attention-dropout", type=float, metavar="P", help="of attention (as --dropout); 0: faster"
    )
    g.add_argument("--beta", type=float, default=d.beta, help="weight of the VAE's divergence (%(default)g)")
    g.add_argument("--kl", choices=KL, default=d.kl,
                   help="divergence summed over dimensions, or their mean (%(default)s)")  # fmt: skip
    g.add_argument(
        "--free-bits",
        type=float,
        default=d.free_bits,
        help="nats a latent dimension has for nothing (%(default)g)",
    )
    g.add_argument("--num-codes", type=int, default=d.num_codes, help="of the VQ-VAE (%(default)s)")
    g.add_argument(
        "--n-codebooks",
        type=int,
        default=d.n_codebooks,
        help="residual codebooks of the VQ-VAE (%(default)s)",
    )
    g.add_argument(
        "--commitment-cost", type=float, default=d.commitment_cost, help="of the VQ-VAE (%(default)g)"
    )
    g = p.add_argument_group("classes")
    g.add_argument(
        "--cls-weight",
        type=float,
        default=d.cls_weight,
        metavar="W",
        help="of a classification head; 0: none (%(default)g)",
    )
    g.add_argument(
        "--num-classes", type=int, metavar="N",
        help="checked against the data's coarse classes (as they say; the original: 5); 6: with 'other'",
    )
    g.add_argument("--class-weights", choices=CLASS_WEIGHTS, nargs="?", const="balanced", default=d.class_weights,
                   help="of the class loss: 1/count or 1/sqrt(count) (%(default)s)")  # fmt: skip
    g = p.add_argument_group("optimisation")
    g.add_argument("--epochs", type=int, default=d.epochs, help="(%(default)s)")
    g.add_argument("--batch-size", type=int, default=d.batch_size, help="(%(default)s)")
    g.add_argument("--lr", type=float, default=d.lr, help="(%(default)g)")
    g.add_argument(
        "--warmup", type=float, default=d.warmup, metavar="EPOCHS", help="of linear rise (%(default)g)"
    )
    g.add_argument(
        "--weight-decay", type=float, default=d.weight_decay, help="of matrices alone (%(default)g)"
    )
    g.add_argument(
        "--clip", type=float, default=d.clip, help="largest gradient norm; 0: unlimited (%(default)g)"
    )
    g.add_argument(
        "--early-stopping",
        type=int,
        default=0,
        metavar="EPOCHS",
        help="stop after so many without a better one; 0: never",
    )
    g.add_argument(
        "--seed", type=int, default=d.seed, help="of weights, order, truncation, dropout (%(default)s)"
    )
    g = p.add_argument_group("machine")
    g.add_argument("--device", default=d.device, help=f"{', '.join(DEVICES)} or cuda:<number> (%(default)s)")
    g.add_argument(
        "--amp", choices=AMP, default=d.amp, help="mixed precision; auto: on CUDA alone (%(default)s)"
    )
    g.add_argument(
        "--threads", type=int, default=0, help="of PyTorch; part of the bits of a result (as it is)"
    )
    g.add_argument(
        "--num-workers",
        type=int,
        default=0,
        help="processes that prepare batches; no part of the result (%(default)s; the original: 4)",
    )
    g.add_argument(
        "--buckets", action=switch, default=True, help="batches of like lengths; or of any, as the original's"
    )
    g = p.add_argument_group("run")
    g.add_argument("--output-dir", required=True, type=Path, metavar="DIR", help="gets one folder a run")
    g.add_argument("--resume", action="store_true", help="go on with unfinished runs, leave finished ones")
    g.add_argument("--quiet", action="store_true", help="no progress bars")
    return p


def configs_of(args: argparse.Namespace) -> list[TrainConfig]:
    """One run for each latent dimension. Raises TrainError for flags that make no sense."""
    from .errors import TrainError

    values = vars(args).copy()
    for name in ("output_dir", "resume", "quiet", "config"):
        del values[name]
    if values.pop("gp_dim") not in (None, 114):
        raise TrainError(
            f"--gp-dim {args.gp_dim}: the vector has 114 features; expected 114, or the option left away"
        )
    if args.cls_weight == 0:
        values["num_classes"] = None
    dims = values.pop("latent_dims")
    if len(set(dims)) != len(dims):
        raise TrainError(f"--latent-dims {' '.join(map(str, dims))}: expected each once")
    return [TrainConfig(**values, latent_dim=dim) for dim in dims]


def without_effect(args: argparse.Namespace) -> list[str]:
    """Notes on flags that spell out a default of the original and do nothing here."""
    notes = []
    if args.gp_dim is not None and not args.use_gp:
        notes.append(f"--gp-dim {args.gp_dim} does nothing without --use-gp")
    if args.num_classes is not None and args.cls_weight == 0:
        notes.append(f"--num-classes {args.num_classes} does nothing without --cls-weight above 0")
    return notes


def main(argv: list[str] | None = None) -> int:
    argv = sys.argv[1:] if argv is None else list(argv)
    flags = parser()
    try:
        args = flags.parse_args(with_settings_file(flags, argv))
    except RtfError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    command = shlex.join(["python", "-m", "rtf_models", "train", *argv])
    try:
        configs = configs_of(args)
        for note in without_effect(args):
            print(f"note: {note}", file=sys.stderr)
        from .sweep import sweep

        summaries = sweep(configs, args.output_dir, command=command, resume=args.resume, quiet=args.quiet)
    except (RtfError, FileNotFoundError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nstopped; after a finished epoch, the same command with --resume goes on", file=sys.stderr)
        return 130
    print(f"{'run':34s} {'best':>5s} {'criterion':>10s} {'test recon':>11s} {'band acc':>9s} {'seconds':>8s}")
    for config, summary in zip(configs, summaries, strict=True):
        tested = summary["test_metrics"]
        print(
            f"{config.run_name:34s} {summary['best_epoch']:5d} {summary['criterion']:10.4f} "
            f"{tested.get('recon_cont', float('nan')):11.4f} {tested.get('band_acc', float('nan')):9.4f} "
            f"{summary['seconds']:8.1f}"
        )
    folders = [args.output_dir / config.run_name for config in configs]
    files = [name for name in FILES if all((folder / name).is_file() for folder in folders)]
    print(
        f"Written to {args.output_dir}: {', '.join(f.name for f in folders)} ({', '.join(files)}), "
        f"sweep_{configs[0].mode}.json"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
