"""Verilator without cocotb: RTL and a C++ main as a program, compiled again only when something has changed.

What the RTL does not initialise begins with random bits when the program gets `RANDOM_START`.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from sim.errors import BenchError
from sim.toolchain import verilator_environment

RANDOM_START = ("+verilator+rand+reset+2", "+verilator+seed+1")


def verilate(
    sources: Sequence[Path],
    main: Path,
    folder: Path,
    *,
    top: str,
    extra: Sequence[Path] = (),
    defines: Sequence[str] = (),
    macros: dict[str, str | int] | None = None,
    optimise: str = "-O3",
    arguments: Sequence[str] = (),
) -> Path:
    """Build a simulation program.

    Args:
        sources: Verilog, top last.
        main: C++ with `main`; it finds the model as class `Vtop` in "Vtop.h", whatever the top module's name is.
        folder: of the build; what lies there is used when nothing has changed.
        extra: further C++ files (DPI).
        defines: Verilog macros.
        macros: C++ macros of all C++ files.
        optimise: of the C++ compiler.
        arguments: further ones of Verilator.

    Returns:
        The program.

    Raises:
        BenchError: Verilator or the compiler fails; the log's end is in the message.
    """
    folder = Path(folder).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    program, stamp, log = folder / "Vtop", folder / "built.json", folder / "build.log"
    flags = " ".join([optimise, *(f"-D{name}={value}" for name, value in (macros or {}).items())])
    files = [Path(f).resolve() for f in (*sources, main, *extra)]
    command = [
        "verilator", "--cc", "--exe", "--build", "-j", str(min(2, os.cpu_count() or 1)),
        "-O3", "--x-assign", "fast", "--x-initial", "unique", "--no-timing", "-Wno-fatal",
        "--top-module", top, "--prefix", "Vtop", "-Mdir", str(folder), "-o", "Vtop",
        "-CFLAGS", f"-std=c++17 {flags}", *(f"+define+{name}" for name in defines), *arguments, *map(str, files),
    ]  # fmt: skip
    wanted = json.dumps([command, [hashlib.sha256(f.read_bytes()).hexdigest() for f in files]])
    if program.exists() and stamp.exists() and stamp.read_text() == wanted:
        return program
    stamp.unlink(missing_ok=True)
    # OPT_FAST is what verilated.mk compiles the model with, OPT_GLOBAL the library; both come after CFLAGS.
    environment = {**os.environ, **verilator_environment()}
    environment["MAKEFLAGS"] += f" OPT_FAST={optimise} OPT_GLOBAL={optimise} OPT_SLOW=-O0"
    with open(log, "w") as stream:
        done = subprocess.run(command, stdout=stream, stderr=subprocess.STDOUT, env=environment, cwd=folder)
    if done.returncode or not program.exists():
        tail = "\n".join(log.read_text().splitlines()[-25:])
        raise BenchError(f"building {top} in {folder} failed:\n{tail}")
    stamp.write_text(wanted)
    return program
