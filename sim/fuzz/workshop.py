"""Compilers made quick for many tiny designs: what all of them include or link is compiled once and kept.

The ap_types headers cost 0.8 s in each of the four files of an HLS project, the Verilator runtime 4 s in each build.
Optimising costs more than it gains where a simulation lasts milliseconds, so everything is compiled with -O0.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from sim.fuzz.errors import FuzzError
from sim.toolchain import REPOSITORY, verilator_environment
from venom_hw.codegen.csim import FLAGS, ap_types_folder, find_compiler

HLS_HEADERS = ("ap_fixed.h", "ap_int.h", "ap_axi_sdata.h", "hls_stream.h", "stdint.h", "stdio.h", "string.h",
               "string", "vector")  # fmt: skip
HLS_FLAGS = ("-O0", *(flag for flag in FLAGS if not flag.startswith("-O")))
RUNTIME = ("verilated", "verilated_dpi", "verilated_threads")
LINT = ("-Wall", "-Wno-fatal", "--x-initial", "unique", "--no-timing")
"""Options of every verilation: all warnings, registers and memories start with random bits."""
RTL_FLAGS = ("-std=gnu++17", "-O0", "-w")
SECONDS = 300
"""After which a compiler or a simulation is taken for stuck."""


def call(command: Sequence[str], *, cwd: Path, env: Mapping[str, str] | None = None) -> str:
    """Run a program; all that it prints.

    Raises:
        FuzzError: it failed, or did not end; the head of its output is quoted.
    """
    try:
        done = subprocess.run(
            command, cwd=cwd, capture_output=True, text=True, timeout=SECONDS, env={**os.environ, **(env or {})}
        )
    except subprocess.TimeoutExpired:
        raise FuzzError(f"{Path(command[0]).name} did not end within {SECONDS} s") from None
    if done.returncode:
        text = (done.stderr + done.stdout).replace(f"{cwd}{os.sep}", "")
        raise FuzzError(f"{Path(command[0]).name} failed:\n" + "\n".join(text.strip().splitlines()[:20]))
    return done.stdout + done.stderr


@dataclass(frozen=True)
class Simulation:
    """A compiled simulation, and what Verilator said of the RTL."""

    program: Path
    warnings: str

    def demand_silence(self) -> None:
        """Called after the comparison: a wrong value says more than a warning.

        Raises:
            FuzzError: Verilator warned.
        """
        if self.warnings:
            raise FuzzError(f"verilator warns:\n{self.warnings}")


class Workshop:
    """A folder of precompiled things; made on first use, found again by later runs.

    Raises:
        CodegenError, ToolchainError: a compiler, the ap_types or Verilator is missing.
    """

    def __init__(self, folder: str | Path):
        self.folder = Path(folder).resolve()

    @cached_property
    def hls_flags(self) -> tuple[str, ...]:
        """Flags for `build_csim` that use the precompiled headers."""
        text = "".join(f"#include <{name}>\n" for name in HLS_HEADERS)
        flags = [*HLS_FLAGS, "-isystem", str(ap_types_folder()), "-I", str(REPOSITORY / "hls" / "csim")]
        return (*HLS_FLAGS, "-include", str(self._precompiled("hls", text, [find_compiler(), *flags])))

    @cached_property
    def verilator(self) -> Mapping[str, str]:
        """Environment in which `verilator` is found."""
        return verilator_environment()

    @cached_property
    def _includes(self) -> list[str]:
        include = Path(self.verilator["VERILATOR_ROOT"]) / "include"
        return ["-I", str(include), "-I", str(include / "vltstd")]

    @cached_property
    def rtl_command(self) -> tuple[str, ...]:
        """Compiler, flags and precompiled header for verilated code."""
        command = [find_compiler(), *RTL_FLAGS, *self._includes]
        text = "#include <verilated.h>\n#include <cstdio>\n#include <cstring>\n#include <vector>\n"
        return (*command, "-include", str(self._precompiled("rtl", text, command)))

    @cached_property
    def rtl_objects(self) -> tuple[str, ...]:
        """Verilator's runtime, compiled."""
        include = Path(self.verilator["VERILATOR_ROOT"]) / "include"
        command = [find_compiler(), "-std=gnu++17", "-O1", "-w", *self._includes, "-c"]
        objects = []
        for name in RUNTIME:
            source = include / f"{name}.cpp"
            target = self._place(f"{name}.o", " ".join(command), source.read_text(encoding="utf-8", errors="replace"))
            if not target.exists():
                self._make([*command, str(source)], target)
            objects.append(str(target))
        return tuple(objects)

    def verilate(
        self,
        sources: Sequence[Path],
        top: str,
        main: Path,
        folder: Path,
        *,
        macros: Mapping[str, object] | None = None,
    ) -> Simulation:
        """A simulation program of RTL and a C++ main, which finds the model as Vtop in Vtop.h.

        Args:
            sources: SystemVerilog, top last.
            folder: of the build; headers in it are found.
            macros: of the C++.

        Raises:
            FuzzError: Verilator or the compiler fails.
        """
        folder.mkdir(parents=True, exist_ok=True)
        made = folder / "verilated"
        command = ["verilator", "--cc", *LINT, "--top-module", top, "--prefix", "Vtop", "-Mdir", str(made)]
        said = call([*command, *map(str, sources)], cwd=folder, env=self.verilator).splitlines()
        said = [line for line in said if not line.startswith("- ")]  # its report
        macros = macros or {}  # of the main alone: the model's own names may be the same
        lines = [f"#define {name} {value}" for name, value in macros.items()] + [f'#include "{main}"']
        lines += [f"#undef {name}" for name in macros]
        lines += [f'#include "{part}"' for part in sorted(made.glob("*.cpp"))]
        whole = folder / "whole.cpp"  # one file: the headers are read once
        whole.write_text("\n".join(lines) + "\n", encoding="utf-8")
        program = folder / "Vtop"
        command = [*self.rtl_command, "-I", str(folder), "-I", str(made), str(whole), *self.rtl_objects]
        call([*command, "-lpthread", "-o", str(program)], cwd=folder)
        return Simulation(program, "\n".join(said[:20]).replace(f"{folder}{os.sep}", ""))

    def prepare(self, *, rtl: bool) -> Workshop:
        """Make everything now, before several processes want it at once."""
        _ = self.hls_flags
        if rtl:
            _ = self.rtl_command, self.rtl_objects
        return self

    def _precompiled(self, name: str, text: str, command: Sequence[str]) -> Path:
        header = self._place(f"{name}.h", " ".join(command), text)
        target = Path(f"{header}.gch")
        if not target.exists():
            header.write_text(text, encoding="utf-8")
            self._make([*command, "-x", "c++-header", str(header)], target)
        return header

    def _place(self, name: str, *made_from: str) -> Path:
        key = hashlib.sha256("\0".join(made_from).encode()).hexdigest()[:16]
        folder = self.folder / key
        folder.mkdir(parents=True, exist_ok=True)
        return folder / name

    def _make(self, command: Sequence[str], target: Path) -> None:
        part = target.with_suffix(f".{os.getpid()}.part")
        call([*command, "-o", str(part)], cwd=self.folder)
        os.replace(part, target)
