"""C simulation of a project with plain g++ (or clang++), against the ap_types of the installed hls4ml."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from venom_hw.codegen.errors import CodegenError
from venom_hw.codegen.hls_project import Project

FLAGS = ("-std=c++14", "-O2", "-Wall", "-Wno-unknown-pragmas")


@dataclass(frozen=True)
class CsimResult:
    """What the C simulation of one vector file found.

    Attributes:
        compared: integers compared, mismatches: those that differ, in both passes (engine beat by beat, streams).
        windows: results compared; beats: beats driven.
        first: the first mismatch: channel, sample, tensor, index, expected, found; None if all agree.
    """

    mismatches: int
    windows: int
    beats: int
    compared: int
    first: dict | None

    def __str__(self) -> str:
        text = f"{self.windows} windows, {self.beats} beats, {self.mismatches} mismatches"
        if self.first:
            text += "; first: channel {channel}, sample {sample}, {tensor}{index}: expected {expected}, found {found}"
            text = text.format(**self.first)
        return text


def ap_types_folder() -> Path:
    """The ap_types headers that hls4ml carries, found without importing it.

    Raises:
        CodegenError: hls4ml is not installed, or does not carry them.
    """
    spec = importlib.util.find_spec("hls4ml")
    if spec is None or not spec.submodule_search_locations:
        raise CodegenError(
            "hls4ml is not installed; the C simulation needs the ap_types headers that it carries"
        )
    folder = Path(next(iter(spec.submodule_search_locations))) / "templates" / "vivado" / "ap_types"
    if not (folder / "ap_fixed.h").is_file():
        raise CodegenError(f"{folder}: no ap_fixed.h; expected hls4ml's ap_types there")
    return folder


def find_compiler() -> str:
    """CXX, g++ or clang++.

    Raises:
        CodegenError: none is on PATH.
    """
    for name in (os.environ.get("CXX"), "g++", "clang++"):
        if name and shutil.which(name):
            return name
    raise CodegenError("no C++ compiler found: install g++ (Debian, Ubuntu: apt install g++)")


def compile_command(
    project: Project, source: Path, target: Path, compiler: str, flags: Sequence[str]
) -> list[str]:
    """Command that compiles one file of a project, to be run in the project's folder."""
    inside = lambda path: str(path.relative_to(project.folder))  # noqa: E731
    folders = [option for folder in project.include_dirs for option in ("-I", inside(folder))]
    system = ["-isystem", str(ap_types_folder())]
    return [compiler, *flags, *system, *folders, "-c", inside(source), "-o", inside(target)]


def included_files(project: Project, source: Path) -> list[Path]:
    """The project's own files that a source includes, directly or not, itself first."""
    found = [source]
    for path in found:
        for name in re.findall(
            r'^\s*#include\s*["<]([^">]+)[">]', path.read_text(encoding="utf-8"), re.MULTILINE
        ):
            present = [folder / name for folder in project.include_dirs if (folder / name).is_file()]
            found += [p for p in present[:1] if p not in found]
    return found


def build_csim(
    project: Project,
    *,
    compiler: str | None = None,
    flags: Sequence[str] = FLAGS,
    warnings_fail: bool = True,
) -> Path:
    """Compile the C simulation; files that did not change are not compiled again.

    Args:
        compiler: by default `find_compiler`.
        flags: of every file.
        warnings_fail: whether a warning is an error.

    Returns:
        The binary, ``<project>/csim/build/csim_tb`` (a folder for each compiler but the default).

    Raises:
        CodegenError: the compiler failed or, with `warnings_fail`, warned; its message is quoted.
    """
    name = compiler or find_compiler()
    build = project.folder / "csim" / "build" / ("" if compiler is None else Path(name).name)
    build.mkdir(parents=True, exist_ok=True)
    sources = [*project.sources, project.folder / "tb" / "tb.cpp"]
    with ThreadPoolExecutor(max(1, min(2, os.cpu_count() or 1))) as pool:
        work = [
            pool.submit(_compile, project, source, build, name, flags, warnings_fail) for source in sources
        ]
        objects = [job.result() for job in work]
    binary = build / "csim_tb"
    stamp = _digest(b"".join(obj.read_bytes() for obj in objects))
    if not _up_to_date(binary, stamp):
        _run([name, *map(str, objects), "-o", str(binary)], "link", warnings_fail, project.folder)
        binary.with_suffix(".stamp").write_text(stamp)
    return binary


def _compile(project: Project, source: Path, build: Path, compiler: str, flags, warnings_fail: bool) -> Path:
    target = build / f"{source.stem}.o"
    command = compile_command(project, source, target, compiler, flags)
    parts = [path.read_bytes() for path in included_files(project, source)]
    stamp = _digest("\0".join(command).encode(), *parts)
    if not _up_to_date(target, stamp):
        _run(command, source.name, warnings_fail, project.folder)
        target.with_suffix(".stamp").write_text(stamp)
    return target


def _digest(*parts: bytes) -> str:
    total = hashlib.sha256()
    for part in parts:
        total.update(hashlib.sha256(part).digest())
    return total.hexdigest()


def _up_to_date(target: Path, stamp: str) -> bool:
    mark = target.with_suffix(".stamp")
    return target.is_file() and mark.is_file() and mark.read_text() == stamp


def _run(command: list[str], what: str, warnings_fail: bool, folder: Path) -> None:
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder)
    if done.returncode or (warnings_fail and done.stderr.strip()):
        lines = "\n".join(done.stderr.strip().splitlines()[:30])
        raise CodegenError(
            f"{what}: {Path(command[0]).name} {'failed' if done.returncode else 'warned'}:\n{lines}"
        )


def run_csim(
    project: Project, vectors: str | Path, *, binary: Path | None = None, timeout: float = 600
) -> CsimResult:
    """Run the C simulation on a vector file.

    Raises:
        CodegenError: the program refused the file or did not end properly.
    """
    binary = binary or build_csim(project)
    done = subprocess.run([str(binary), str(vectors)], capture_output=True, text=True, timeout=timeout)
    if done.returncode not in (0, 1) or not done.stdout.strip():
        raise CodegenError(
            f"{binary} {vectors}: exit status {done.returncode}: {(done.stderr or done.stdout).strip()}"
        )
    summary = json.loads(done.stdout.strip().splitlines()[-1])
    result = CsimResult(
        summary["mismatches"], summary["windows"], summary["beats"], summary["compared"], summary["first"]
    )
    if (done.returncode == 0) != (result.mismatches == 0):
        raise CodegenError(f"{binary}: exit status {done.returncode} with {result.mismatches} mismatches")
    return result
