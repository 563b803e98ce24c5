"""`python -m venom_hw COMMAND`: every tool of the project behind one command line."""

from __future__ import annotations

import sys
from pathlib import Path

from venom_hw import __version__
from venom_hw.command_line import Command, CommandLine

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

COMMAND_LINE = CommandLine(
    "venom_hw", Path(__file__).resolve().parent, f"venom-hw {__version__}", GROUPS, HEADER, FOOTER
)
main = COMMAND_LINE.main


if __name__ == "__main__":
    sys.exit(main())
