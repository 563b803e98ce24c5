"""Builds a rendered head with Verilator and streams windows through it."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sim.toolchain import verilator_environment
from venom_hw.codegen.rtl.head import HeadUnit
from venom_hw.datapath.graph import Graph

BENCH = Path(__file__).with_name("head_bench.cpp")


@dataclass(frozen=True)
class Run:
    """What came out: (energy, log variance, channel) a result; clocks of windows offered, taken, and results given."""

    results: np.ndarray
    offered: np.ndarray
    taken: np.ndarray
    given: np.ndarray
    lost: tuple[int, int] | None = None  # results until the reset, windows taken until then


def pack(graph: Graph, values: Mapping[str, np.ndarray], window: int) -> int:
    """`s_sums` of one window: every element of every input, the first in the low bits."""
    word, low = 0, 0
    for node in graph.inputs:
        mask = (1 << node.type.width) - 1
        for element in np.asarray(values[node.name][window]).reshape(-1):
            word |= (int(element) & mask) << low
            low += node.type.width
    return word


class Stopped(RuntimeError):
    """No result came any more."""


class HeadBench:
    """The Verilator model of a head.

    Args:
        folder: where it runs.
        build: where it is compiled; what does not differ between heads is compiled once in one folder.
        lint: whether a warning of Verilator is an error.
    """

    def __init__(self, unit: HeadUnit, graph: Graph, folder: Path, *, build: Path, lint: bool = True):
        self.unit, self.graph, self.folder = unit, graph, folder
        folder.mkdir(parents=True, exist_ok=True)
        build.mkdir(parents=True, exist_ok=True)
        for name, text in unit.files.items():
            (folder / name).write_text(text)
        command = ["verilator", "--cc", "--exe", "--build", "--prefix", "Vhead"]
        command += ["-Wall"] if lint else ["-Wno-fatal", "-Wno-lint"]
        command += ["--top-module", unit.name, "-o", "head_bench", "--x-initial", "unique", "--Mdir", str(build)]
        command += ["-CFLAGS", "-O0 -std=c++17"]
        sources = [name for name in unit.files if name.endswith(".sv")]
        done = self._run([*command, *sources, str(BENCH)])
        if done.returncode:
            raise AssertionError(f"verilator: {done.stdout[-3000:]}{done.stderr[-6000:]}")
        shutil.copy(build / "head_bench", folder / "head_bench")

    def _run(self, command) -> subprocess.CompletedProcess:
        env = os.environ | verilator_environment()
        return subprocess.run(command, cwd=self.folder, env=env, capture_output=True, text=True, timeout=600)

    def run(self, values, channels, *, wait_in: int = 0, wait_out: int = 0, seed: int = 1, reset_at: int = -1) -> Run:
        digits = -(-sum(self.unit.inputs.values()) // 4)  # with leading zeros: the bench sets the words it is given
        lines = [f"{int(c):x} {pack(self.graph, values, w):0{digits}x}\n" for w, c in enumerate(channels)]
        (self.folder / "windows.txt").write_text("".join(lines))
        given = ["windows.txt", "results.txt", *map(str, (wait_in, wait_out, seed, reset_at))]
        done = self._run([str(self.folder / "head_bench"), *given])
        if done.returncode:
            raise Stopped(done.stderr[-2000:])
        rows = [line.split() for line in (self.folder / "results.txt").read_text().splitlines()]
        out = np.array([[int(v) for v in row[1:]] for row in rows if row[0] == "out"], np.int64)
        taken = np.array([int(row[1]) for row in rows if row[0] == "in"])
        lost = [(int(row[2]), len(taken[taken <= int(row[1])])) for row in rows if row[0] == "reset"]
        offered = np.array([int(row[2]) for row in rows if row[0] == "in"])
        return Run(out[:, 1:], offered, taken, out[:, 0], lost[0] if lost else None)


def golden(graph: Graph, values, channels) -> np.ndarray:
    """(energy, log variance, channel) of every window, as the bench gives them."""
    from venom_hw.datapath.reference import run_step

    out = run_step(graph, values, {}).outputs
    return np.stack([out["energy"].reshape(-1), out["log_variance"].reshape(-1), np.asarray(channels)], -1)
