"""Builds a device with Verilator and starts the cocotb bench on it; compiles a project's C++ for the DPI shell."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from sim.device import Device
from sim.errors import BenchError
from sim.toolchain import verilator_environment

BENCH_VARIABLE = "VENOM_BENCH"
"""Environment variable by which the simulator process gets the device and the case files (JSON)."""
CLOCK_NS = 2
REPOSITORY = Path(__file__).resolve().parents[1]


@contextlib.contextmanager
def environment(**extra: str) -> Iterator[None]:
    """The tool chain's variables and further ones, for as long as a build or a simulation runs."""
    wanted = {**verilator_environment(), **extra}
    if str(REPOSITORY) not in sys.path:  # the runner hands sys.path on to the simulator's Python
        sys.path.insert(0, str(REPOSITORY))
    # WAVES would turn on FST (needs liblz4-dev); under pytest the runner turns a red bench into SystemExit.
    hidden = ("WAVES", "PYTEST_CURRENT_TEST")
    before = {name: os.environ.get(name) for name in (*wanted, *hidden)}
    os.environ.update(wanted)
    for name in hidden:
        os.environ.pop(name, None)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def compile_library(
    sources: Sequence[Path],
    includes: Sequence[Path],
    out: Path,
    *,
    flags: Sequence[str] = ("-O1",),
    objects: Path | None = None,
) -> Path:
    """A project's C++ as a shared library for the DPI shell (venom_reset, _idle, _sample, _state).

    Each source is compiled for itself, two at a time, and only when it or one of the project's headers that it
    includes has changed.

    Args:
        objects: folder of the compiled sources; may be shared by several projects.

    Raises:
        BenchError: the compiler refuses; its first lines are in the message.
    """
    objects = Path(objects or out.parent / "objects")
    objects.mkdir(parents=True, exist_ok=True)
    command = ["g++", "-std=c++17", *flags, "-fPIC", *(f"-I{folder}" for folder in includes)]

    def compiled(source: Path) -> Path:
        key = hashlib.sha256(" ".join(flags).encode())
        for file in _included(source, includes):
            key.update(file.read_bytes())
        target = objects / f"{source.stem}-{key.hexdigest()[:20]}.o"
        if not target.exists():
            temporary = target.with_suffix(f".{os.getpid()}.part")
            _compile([*command, "-c", "-o", str(temporary), str(source)])
            os.replace(temporary, target)
        return target

    with ThreadPoolExecutor(2) as pool:
        made = list(pool.map(compiled, [Path(source) for source in sources]))
    temporary = out.with_suffix(".part")
    _compile(["g++", "-shared", "-o", str(temporary), *map(str, made)])
    os.replace(temporary, out)
    return out


def _compile(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise BenchError(f"{' '.join(command)}\n" + "\n".join(done.stderr.splitlines()[:20]))


def _included(source: Path, includes: Sequence[Path]) -> list[Path]:
    """The source and, in turn, whatever `#include "..."` names in its folder or in `includes`."""
    found, waiting = {}, [Path(source)]
    while waiting:
        file = waiting.pop()
        if file in found:
            continue
        found[file] = None
        for name in re.findall(r'^\s*#include "([^"]+)"', file.read_text(), re.MULTILINE):
            places = [folder / name for folder in (file.parent, *map(Path, includes)) if (folder / name).is_file()]
            waiting += places[:1]
    return list(found)


def build(device: Device, folder: Path, *, waves: bool = False) -> Path:
    """Verilates and compiles the device into `folder`, unless what lies there was made from the same sources.

    Returns:
        The folder, for `simulate`.

    Raises:
        BenchError: Verilator or the compiler fails; the log's end is in the message.
    """
    folder.mkdir(parents=True, exist_ok=True)
    log, stamp = folder / "build.log", folder / "built.json"
    wanted = _fingerprint(device, waves)
    if stamp.exists() and stamp.read_text() == wanted:
        return folder
    stamp.unlink(missing_ok=True)
    with environment():
        runner = _runner(hidden=device.ports_only)
        try:
            runner.build(
                sources=device.sources,
                hdl_toplevel=device.toplevel,
                parameters=dict(device.parameters),
                build_args=device.build_args,
                build_dir=folder,
                timescale=("1ns", "1ps"),
                waves=waves,
                log_file=log,
            )
        except (SystemExit, RuntimeError, subprocess.CalledProcessError) as error:
            tail = log.read_text().splitlines()[-25:] if log.exists() else [str(error)]
            raise BenchError(f"building {device.name} in {folder} failed:\n" + "\n".join(tail)) from error
    stamp.write_text(wanted)
    return folder


def _runner(hidden: bool = False):
    """cocotb's runner; `hidden`: without the flag that makes every inner signal public, and a large design slow."""
    from cocotb_tools.runner import Verilator

    class Hiding(Verilator):
        def _build_command(self):
            commands = super()._build_command()
            top_alone = {"--public-flat-rw": ["--public-depth", "1"]}
            return [[new for part in command for new in top_alone.get(part, [part])] for command in commands]

    runner = Hiding() if hidden else Verilator()
    runner.log.setLevel(logging.WARNING)
    return runner


def _fingerprint(device: Device, waves: bool) -> str:
    files = [*device.sources, *(Path(a) for a in device.build_args if a.endswith((".cpp", ".cc")))]
    contents = {str(f): hashlib.sha256(Path(f).read_bytes()).hexdigest() for f in files}
    return json.dumps([contents, dict(device.parameters), device.build_args, device.ports_only, waves], sort_keys=True)


def simulate(
    device: Device,
    built: Path,
    cases: Sequence[Path],
    folder: Path,
    *,
    waves: bool = False,
    test_module: str = "sim.bench",
) -> list[dict]:
    """Run the bench on the cases; each one's report.

    Args:
        built: the folder that `build` returned; with `waves`, built with waves.
        cases: case files (`sim.case.save_case`); each gets a JSON of the same name in `folder`.
        folder: working directory of the simulation: log, results, dump.vcd.
        test_module: the cocotb tests; others than the bench's own write the same reports.

    Raises:
        BenchError: the simulation ended without a report for a case (a crash; the log's end is in the message).
    """
    folder = Path(folder).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    reports = [folder / f"{Path(case).stem}.json" for case in cases]
    for report in folder.glob("*.json"):
        report.unlink()
    for table in device.data_files:
        shutil.copyfile(table, folder / table.name)
    log = folder / "simulation.log"
    bench = {"device": device.to_dict(), "cases": [str(Path(c).resolve()) for c in cases], "reports": str(folder)}
    variables = {BENCH_VARIABLE: json.dumps(bench), "COCOTB_LOG_LEVEL": os.environ.get("COCOTB_LOG_LEVEL", "WARNING")}
    with environment(**variables), contextlib.suppress(SystemExit, RuntimeError):
        _runner().test(
            test_module=test_module,
            hdl_toplevel=device.toplevel,
            hdl_toplevel_lang="verilog",
            build_dir=Path(built).resolve(),
            test_dir=folder,
            results_xml=str(folder / "results.xml"),
            plusargs=device.plusargs,
            waves=waves,
            log_file=log,
        )
    missing = [str(r) for r in reports if not r.exists()]
    if missing:
        tail = log.read_text().splitlines()[-25:] if log.exists() else []
        raise BenchError(f"the simulation ended without {missing[0]}; {log} ends with:\n" + "\n".join(tail))
    return [json.loads(r.read_text()) for r in reports]
