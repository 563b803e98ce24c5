"""`python -m rtf_models COMMAND`: every tool of the RTF system behind one command line.

A command is a module with `main(argv) -> int`; it is imported only when it is asked for, so that help is instant.
"""

from __future__ import annotations

import difflib
import importlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent
SUMMARY_COLUMN = 22


@dataclass(frozen=True)
class Command:
    """name as typed; module below rtf_models, whose `main` gets the arguments; summary for the list of commands."""

    name: str
    module: str
    summary: str

    @property
    def exists(self) -> bool:
        """Whether the module is there; nothing is imported."""
        path = PACKAGE.joinpath(*self.module.split("."))
        return path.with_suffix(".py").is_file()

    def run(self, argv: Sequence[str]) -> int:
        module = importlib.import_module(f"rtf_models.{self.module}")
        return int(module.main(list(argv)) or 0)


GROUPS: dict[str, tuple[Command, ...]] = {
    "Data": (
        Command("preprocess", "preprocess", "alerts (Avro, Parquet, alerts.npy) or BTS curves into a data folder"),
        Command("generate", "synthetic.command", "synthetic light curves of eight models, as a survey would see them"),
        Command("generate-surveysim", "synthetic.surveysim", "synthetic light curves through the survey_sim package"),
    ),
    "Models": (
        Command("train", "train.command", "an AE, VAE or VQ-VAE, or a sweep over latent dimensions"),
        Command("convert-checkpoint", "convert_checkpoint", "the original's best_model.pt into one file of ours"),
        Command("quantize", "quantize.command", "the encoder into integers and QONNX"),
    ),
    "Models, judged": (
        Command("early", "evaluation.command.early", "accuracy against the number of detections"),
        Command("linear-probe", "evaluation.command.linear_probe", "logistic regression on the fingerprints of runs"),
        Command("mlp-probe", "evaluation.command.mlp_probe", "small networks on the fingerprints of runs"),
        Command("physical", "evaluation.command.physical", "reconstruction in magnitudes and days"),
        Command("anomaly", "evaluation.command.anomaly", "calibrated anomaly scores, and how well they find a class"),
        Command("search", "evaluation.command.search", "objects alike by cosine distance; precision at k"),
        Command("visualize", "evaluation.command.visualize", "maps of the latent space: UMAP, t-SNE, PCA"),
        Command("compare", "evaluation.command.compare", "AE, VAE and VQ-VAE side by side, in one table"),
    ),
    "Streams": (
        Command("encode", "stream.command", "a stream of alerts (Avro files, Kafka) into fingerprints, restartable"),
    ),
    "To learn it all": (
        Command("example", "example.__main__", "the worked example on real BTS curves, from data to tables"),
    ),
}  # fmt: skip

HEADER = """\
usage: python -m rtf_models COMMAND [options]
       python -m rtf_models COMMAND --help

RTF: fingerprints of transient light curves, 64 numbers an object, from raw alerts to a searchable stream.
"""
FOOTER = """\
The usual road:
  python -m rtf_models preprocess --bts bts_lightcurves.npz --output-dir data/bts
  python -m rtf_models train --data-dir data/bts --output-dir runs --mode ae --latent-dims 64 --random-truncate
  python -m rtf_models early --checkpoint runs/ae_dim64_randtrunc --data-dir data/bts --output-dir analysis/early
  python -m rtf_models encode --help

Errors end with status 2 and say what was expected.
"""


def commands() -> dict[str, Command]:
    """The commands whose modules are there, by name."""
    return {command.name: command for group in GROUPS.values() for command in group if command.exists}


def help_text() -> str:
    """All commands by group, and the usual order of using them."""
    parts = [HEADER]
    for title, group in GROUPS.items():
        rows = [f"  {c.name:<{SUMMARY_COLUMN}}{c.summary}" for c in group if c.exists]
        if rows:
            parts.append("\n".join([f"{title}:", *rows, ""]))
    return "\n".join([*parts, FOOTER])


def _unknown(name: str, known: dict[str, Command]) -> str:
    close = difflib.get_close_matches(name.replace("_", "-"), known, n=1, cutoff=0.5)
    hint = f"did you mean '{close[0]}'?" if close else f"expected one of {', '.join(known)}"
    return f"error: no command '{name}': {hint} (python -m rtf_models --help lists them)"


def main(argv: list[str] | None = None) -> int:
    """Run a command; its exit status, 2 for a command that does not exist."""
    argv = sys.argv[1:] if argv is None else list(argv)
    if argv[:1] == ["help"] and len(argv) == 2:
        argv = [argv[1], "--help"]
    if not argv or argv[0] in ("-h", "--help", "help"):
        print(help_text(), end="")
        return 0
    if argv[0] in ("-V", "--version"):
        from venom_hw import __version__

        print(f"venom-hw {__version__} (rtf_models)")
        return 0
    known = commands()
    command = known.get(argv[0]) or known.get(argv[0].replace("_", "-"))
    if command is None:
        print(_unknown(argv[0], known), file=sys.stderr)
        return 2
    try:
        return command.run(argv[1:])
    except KeyboardInterrupt:
        print("\nstopped", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
