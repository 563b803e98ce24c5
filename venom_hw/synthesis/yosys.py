"""Yosys in a process of its own: its crashes, its memory and its output stay out of ours."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from venom_hw.synthesis.errors import SynthesisError

FAMILIES = ("xcup", "xc7")
"""UltraScale+, what is held against the budget, and 7-series, for which Yosys packs registers into DSP blocks."""

_DRIVER = """
import sys
from pyosys import libyosys
design = libyosys.Design()
for line in open(sys.argv[1], encoding="utf-8"):
    libyosys.run_pass(line.rstrip("\\n"), design)
"""


def run_yosys(commands: Sequence[str], folder: Path, name: str) -> str:
    """Run commands in `folder` (where `$readmemh` looks), keep them as `<name>.ys` and what was said as `<name>.log`.

    Raises:
        SynthesisError: Yosys stopped; the message has its error, the last line that it printed and the log's path.
    """
    script, log = (folder / name).with_suffix(".ys"), (folder / name).with_suffix(".log")
    script.write_text("\n".join(commands) + "\n", encoding="utf-8")
    call = [sys.executable, "-c", _DRIVER, script.name]
    with open(log, "w", encoding="utf-8") as stream:
        ended = subprocess.run(call, cwd=folder, stdout=stream, stderr=subprocess.STDOUT)
    said = log.read_text(encoding="utf-8", errors="replace")
    if ended.returncode != 0:
        lines = [line.strip() for line in said.splitlines() if line.strip()]
        errors = [line for line in lines if "ERROR" in line] or lines[-1:] or ["no output"]
        raise SynthesisError(f"Yosys stopped ({ended.returncode}) on {name}: {errors[-1]} (see {log})")
    return said


def yosys_version() -> str:
    """Version of the installed pyosys.

    Raises:
        SynthesisError: it is not installed.
    """
    try:
        return version("pyosys")
    except PackageNotFoundError:
        raise SynthesisError("pyosys is not installed; it comes with pip install -e .[dev]") from None


def quoted(path: Path) -> str:
    """A path as an argument of a Yosys command."""
    return '"' + str(path).replace("\\", "/") + '"'
