"""`python -m venom_hw COMMAND`: every tool of the project behind one command line.

A command is a module with `main(argv) -> int`; it is imported only when it is asked for, so that help is instant.
"""

from __future__ import annotations

import difflib
import importlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from venom_hw import __version__

PACKAGE = Path(__file__).resolve().parent
SUMMARY_COLUMN = 16


@dataclass(frozen=True)
class Command:
    """name as typed; module below venom_hw, whose `main` gets the arguments; summary for the list of commands;
    prefix: arguments put before the user's.
    """

    name: str
    module: str
    summary: str
    prefix: tuple[str, ...] = ()

    @property
    def exists(self) -> bool:
        """Whether the module's file is there; nothing is imported."""
        path = PACKAGE.joinpath(*self.module.split("."))
        return path.with_suffix(".py").is_file()

    def run(self, argv: Sequence[str]) -> int:
        module = importlib.import_module(f"venom_hw.{self.module}")
        return int(module.main([*self.prefix, *argv]) or 0)


GROUPS: dict[str, tuple[Command, ...]] = {
    "Pulses, got and looked at": (
        Command("simulate", "simulate", "pulses of a simulated detector, at laser lines or any energies"),
        Command("convert", "convert", "measured pulses (mkidcalculator files) into a data folder"),
        Command("data-report", "data_report", "what is in a data folder, as PDF: traces, heights, noise, clipping"),
        Command("explore", "explore", "quick plots of a data folder"),
    ),
    "Models, trained": (
        Command("train", "train.__main__", "a float model for one detector"),
        Command("train-array", "train_array.__main__", "a model for each pixel of an array, many at once"),
        Command("sweep", "sweep.__main__", "a grid of hyper-parameters, a report for each, one table"),
        Command("remote-train", "remote_train", "the training of one model on a Ray cluster, results fetched back"),
    ),
    "Models, judged": (
        Command("evaluate", "evaluation.__main__", "resolving power against optimal filters and the bound"),
        Command(
            "leave-one-out", "evaluation.__main__", "train without each line in turn, judge at that line",
            ("leave-one-out",),
        ),  # fmt: skip
        Command("distribution", "distribution", "parallel against recurrent execution over held-out pulses"),
        Command("figures", "figures.__main__", "spectra, R by line, parity, residuals, attention, features"),
    ),
    "Gateware, generated and proven": (
        Command("quantize", "quantize.__main__", "a float model into integers and QONNX files"),
        Command("hls", "hls", "Vitis HLS project and RTL of a quantised model, proven bit for bit"),
        Command("golden", "golden", "the committed golden vectors: regenerate, or check"),
        Command("synth", "synth", "area and logic depth of the RTL, by Yosys"),
        Command("tradeoff", "tradeoff.__main__", "bits against resolving power against area"),
    ),
    "To learn it all": (Command("tutorial", "tutorial", "the whole road in ten minutes, from pulses to gateware"),),
}

HEADER = """\
usage: python -m venom_hw COMMAND [options]
       python -m venom_hw COMMAND --help

VENOM-HW: from raw MKID pulses to bit-exact gateware.
"""
FOOTER = """\
The usual road:
  python -m venom_hw simulate --preset ptsi --out data/ptsi          pulses (or a data folder of your own)
  python -m venom_hw train --preset ptsi --out runs/ptsi             float model, report with resolving power
  python -m venom_hw evaluate --model runs/ptsi/model.safetensors --data data/ptsi --out runs/ptsi/evaluation
  python -m venom_hw quantize --model runs/ptsi/model.safetensors --data data/ptsi --out runs/ptsi-quantised
  python -m venom_hw hls --model runs/ptsi-quantised --board rfsoc4x2

Usage lines name a command's module, which runs it too: python -m venom_hw.data_report is data-report, python -m
venom_hw.evaluation is evaluate, python -m venom_hw.evaluation leave-one-out is leave-one-out. Errors end with status 2
and say what was expected. Environment: VENOM_BACKEND=torch|mlx chooses what a float model runs on.
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
    return f"error: no command '{name}': {hint} (python -m venom_hw --help lists them)"


def main(argv: list[str] | None = None) -> int:
    """Run a command; its exit status, 2 for a command that does not exist."""
    argv = sys.argv[1:] if argv is None else list(argv)
    if argv[:1] == ["help"] and len(argv) == 2:
        argv = [argv[1], "--help"]
    if not argv or argv[0] in ("-h", "--help", "help"):
        print(help_text(), end="")
        return 0
    if argv[0] in ("-V", "--version"):
        print(f"venom-hw {__version__}")
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
