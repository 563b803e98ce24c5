"""Bring checkpoints of the original RTF into one self-describing file each."""

from __future__ import annotations

import argparse
import hashlib
import sys
import warnings
from pathlib import Path

from safetensors import SafetensorError, safe_open
from tqdm import tqdm

from .checkpoint import (
    FILE_NAME,
    METADATA_KEY,
    ORIGINAL_FILE_NAME,
    ORIGINAL_SUFFIXES,
    Checkpoint,
    load_checkpoint,
    save_checkpoint,
)
from .errors import CheckpointError, RtfError
from .original_checkpoint import read_original

SUFFIXES = (*ORIGINAL_SUFFIXES, ".safetensors")

EPILOG = """\
Every command here reads the original's best_model.pt as it is, with no flags. Converting is for keeping: the new file
holds network, input conventions, statistics and classes together, and nothing in it is pickled. Embeddings and
reconstructions are the same numbers; the network goes on decoding all 257 positions, as it was trained.

What no file of the original says, and what is taken: 8 attention heads; networks of plain photometry were trained on
photo_events (channels scaled by the feature_stats file that you give or that lies beside), all others on compact npz.

examples:
  python -m rtf_models convert-checkpoint runs/ae_dim64/best_model.pt --stats photo_events/feature_stats_day100.npz
  python -m rtf_models convert-checkpoint runs/ae_dim64_meta_gp --out zoo/ae64.safetensors
  python -m rtf_models convert-checkpoint runs/* --stats photo_events/feature_stats_day100.npz
"""


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(
        prog="python -m rtf_models convert-checkpoint", description=__doc__, epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    p.add_argument("checkpoints", nargs="+", type=Path, metavar="CHECKPOINT",
                   help=f"a state dict's file ({', '.join(SUFFIXES)}) or run folder with {ORIGINAL_FILE_NAME}")
    p.add_argument("--out", type=Path, help=f"file to write (one checkpoint only); default: {FILE_NAME} beside each")
    p.add_argument("--summary", type=Path, help="its summary.json (default: the one beside it, if there is one)")
    p.add_argument("--stats", type=Path, help="feature_stats file of the photo_events data that it was trained on")
    p.add_argument("--kind", choices=("photo_events", "compact"), help="its training data (default: see below)")
    p.add_argument("--force", action="store_true", help="replace files that are there")
    return p


def convert(source: Path, out: Path, *, summary: Path | None = None, stats: Path | None = None,
            kind: str | None = None) -> Checkpoint:  # fmt: skip
    """Write a checkpoint of the original as one of ours; the checkpoint as it is read back.

    Raises CheckpointError (not the original's, or ours already), or DataError (statistics that cannot be read).
    """
    if source.suffix == ".safetensors" and _describes_itself(source):
        raise CheckpointError(f"{source}: describes itself already, there is nothing to convert")
    model, inputs, scheme, header = read_original(source, summary=summary, stats=stats, kind=kind)
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    save_checkpoint(out, model, inputs, scheme=scheme, **header, converted_from=source.name, original_sha256=digest)
    return load_checkpoint(out)


def _file(path: Path) -> Path:
    """The original's file of a path; RtfError where there is none."""
    file = path / ORIGINAL_FILE_NAME if path.is_dir() else path
    if not file.is_file() or file.suffix not in SUFFIXES:
        raise RtfError(f"{path}: expected a file {', '.join(SUFFIXES)} or a folder with {ORIGINAL_FILE_NAME}")
    return file


def _describes_itself(file: Path) -> bool:
    try:
        with safe_open(file, "pt") as content:
            return METADATA_KEY in (content.metadata() or {})
    except (SafetensorError, OSError):
        return False  # whoever reads it says what is wrong


def _line(out: Path, checkpoint: Checkpoint) -> str:
    model, inputs = checkpoint.model, checkpoint.inputs
    extras = [f"{model.in_channels} channels", *(["images"] if model.use_images else []),
              *([f"{model.gp_dim} features"] if model.gp_dim else []),
              *([f"{model.num_classes} classes"] if model.num_classes else []),
              f"zero point {inputs.zero_point:g}"]  # fmt: skip
    return f"{out}: {model.mode} D={model.latent_dim}, {', '.join(extras)}"


def main(argv: list[str] | None = None) -> int:
    args = parser().parse_args(argv)
    try:
        if args.out is not None and len(args.checkpoints) > 1:
            raise RtfError(f"--out is for one checkpoint, {len(args.checkpoints)} are given")
        pairs = [(file, args.out or file.with_name(FILE_NAME)) for file in map(_file, args.checkpoints)]
        outs = [out for _, out in pairs]
        if twice := sorted({str(out) for out in outs if outs.count(out) > 1}):
            raise RtfError(f"{twice[0]}: two of the checkpoints would become this file")
        if there := [out for out in outs if out.exists() and not args.force]:
            raise RtfError(f"{there[0]}: is there already (--force replaces it)")
        lines = []
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            for file, out in tqdm(pairs, desc="convert", unit="file", file=sys.stderr, disable=None):
                checkpoint = convert(file, out, summary=args.summary, stats=args.stats, kind=args.kind)
                lines.append(_line(out, checkpoint))
    except (RtfError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for warning in dict.fromkeys(str(w.message) for w in caught if w.category is UserWarning):
        print(f"warning: {warning}", file=sys.stderr)
    print("\n".join(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
