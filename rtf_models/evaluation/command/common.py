"""What the evaluation's commands share: options, what they load, how they end."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from venom_hw.atomic import write_atomically
from venom_hw.backend import BackendError, choose_device

from ...errors import RtfError


def make_parser(name: str, doc: str, epilog: str) -> argparse.ArgumentParser:
    return argparse.ArgumentParser(
        prog=f"python -m rtf_models {name}",
        description=doc,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def add_runs(p: argparse.ArgumentParser) -> None:
    p.add_argument("--runs-dir", type=Path, required=True, help="folder of training runs, or one of them")
    p.add_argument("--models", nargs="*", default=[], metavar="RUN", help="only these runs (default: all)")


def add_output(p: argparse.ArgumentParser) -> None:
    p.add_argument("--output-dir", type=Path, required=True, help="folder for the report (JSON, Markdown, PNG)")


def add_checkpoint(p: argparse.ArgumentParser, required: bool = True) -> None:
    p.add_argument("--checkpoint", required=required,
                   help="file, run folder, or shipped name; the original's best_model.pt too")  # fmt: skip
    p.add_argument("--summary", type=Path, help="summary.json of an original's checkpoint (default: the one beside it)")
    p.add_argument("--stats", type=Path, help="feature_stats file of an original's checkpoint (default: the one beside "
                   "it or in the data folder)")  # fmt: skip


def add_bootstrap(p: argparse.ArgumentParser) -> None:
    p.add_argument("--bootstrap", type=int, default=200, help="resamples for 95 %% intervals (default 200; 0: none)")
    p.add_argument("--seed", type=int, default=0, help="seed of the resamples (default 0)")


def add_machine(p: argparse.ArgumentParser) -> None:
    p.add_argument("--batch-size", type=int, default=256, help="sources in a batch (default 256)")
    add_device(p)


def add_device(p: argparse.ArgumentParser) -> None:
    p.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N, mps (default auto)")
    p.add_argument("--threads", type=int, help="threads of PyTorch (default: its own choice)")
    p.add_argument("--quiet", action="store_true", help="no progress")


def run_command(parser: argparse.ArgumentParser, work: Callable[[argparse.Namespace], int], argv) -> int:
    """Parse and work; errors of the user end with status 2 and a line that says what was expected."""
    args = parser.parse_args(argv)
    try:
        for name in ("bootstrap", "batch_size", "threads"):
            value, least = getattr(args, name, None), 0 if name == "bootstrap" else 1
            if value is not None and value < least:
                raise RtfError(f"--{name.replace('_', '-')} {value}: expected {least} or more")
        if getattr(args, "device", None) is not None:
            args.device = choose_device(args.device)
        if getattr(args, "threads", None) is not None:
            import torch

            torch.set_num_threads(args.threads)
        return work(args)
    except (RtfError, BackendError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nstopped", file=sys.stderr)
        return 130


def load_model(args: argparse.Namespace, data_dir: Path | None = None):
    """The checkpoint that --checkpoint names; one of the original finds its statistics in the data folder too."""
    from rtf_models.checkpoint import ORIGINAL_SUFFIXES, find_checkpoint, load_checkpoint
    from rtf_models.data.feature_stats import STATS_FILE

    path, stats = find_checkpoint(args.checkpoint), args.stats
    original = path.suffix in ORIGINAL_SUFFIXES
    if original and stats is None and data_dir is not None and (data_dir / STATS_FILE).is_file():
        stats = data_dir / STATS_FILE
    summary = args.summary if original else None  # one of ours describes itself
    return load_checkpoint(path, summary=summary, stats=stats, device=getattr(args, "device", "cpu"))


def open_data(args: argparse.Namespace, split: str):
    """A split of --data-dir; what was left out is said on stderr."""
    from rtf_models.data.folder import open_split

    folder = open_split(args.data_dir, split, progress=not args.quiet)
    if folder.broken:
        first = folder.broken[0]
        print(f"{folder.folder}: {len(folder.broken)} broken files left out, the first {first.path.name}: "
              f"{first.reason}", file=sys.stderr)  # fmt: skip
    return folder


def model_facts(checkpoint) -> dict:
    """What a report says of the network that it is about."""
    model = checkpoint.model
    return {
        "checkpoint": None if checkpoint.path is None else checkpoint.path.name,
        "sha256": checkpoint.sha256,
        "mode": model.mode,
        "latent_dim": model.latent_dim,
        "n_params": sum(p.numel() for p in model.parameters()),
        "inputs": {"channels": checkpoint.inputs.in_channels, "images": checkpoint.inputs.images,
                   "features": checkpoint.inputs.features, "metadata": checkpoint.inputs.metadata},
    }  # fmt: skip


def write_report(folder: Path, stem: str, content: dict, markdown: str = "", figures=None, *, json_name=None) -> int:
    """Write <json_name or stem>.json, <stem>.md, and a PNG for each figure; say so. 0."""
    from ..figure import save_figure

    written = [write_atomically(folder / (json_name or f"{stem}.json"), json.dumps(content, indent=1) + "\n")]
    if markdown:
        written.append(write_atomically(folder / f"{stem}.md", markdown))
        print(markdown)
    written += [save_figure(figure, folder / f"{name}.png") for name, figure in (figures or {}).items()]
    return ended(written)


def ended(written: Sequence[Path]) -> int:
    """The last line of a command: what it wrote where. 0."""
    print(f"wrote {', '.join(path.name for path in written)} to {written[0].parent}")
    return 0


def left_out_note(left_out: dict[str, str]) -> str:
    """A paragraph on the runs that were left out; empty where there are none."""
    return "".join(f"\nLeft out: {name} ({why}).\n" for name, why in left_out.items())
