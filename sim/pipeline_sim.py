"""A rendered pipeline under Verilator: built with -Wall, fed with vectors, its outputs as integers."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from sim.toolchain import verilator_environment
from venom_hw.codegen.rtl.pipeline import Pipeline, PipelinePort

MAIN = Path(__file__).with_suffix(".cpp")


def pack(values: np.ndarray, port: PipelinePort) -> np.ndarray:
    """(samples, *shape) integers as (samples, words) uint32, element 0 in the low bits."""
    flat = np.asarray(values, np.int64).reshape(len(values), -1)
    bits = (flat[:, :, None] >> np.arange(port.width)) & 1
    packed = np.packbits(bits.reshape(len(values), -1).astype(np.uint8), axis=1, bitorder="little")
    return np.pad(packed, ((0, 0), (0, -packed.shape[1] % 4))).copy().view("<u4")


def unpack(words: np.ndarray, port: PipelinePort) -> np.ndarray:
    """The inverse of `pack`."""
    bits = np.unpackbits(np.ascontiguousarray(words).view(np.uint8), axis=1, bitorder="little")[
        :, : port.bits
    ]
    bits = bits.reshape(len(words), port.words, port.width).astype(np.int64)
    weights = np.array([1 << i for i in range(port.width)], object)
    if port.signed:
        weights[-1] = -weights[-1]
    return (bits * weights.astype(np.int64)).sum(-1).reshape(len(words), *port.shape)


def write(pipeline: Pipeline, folder: Path) -> list[Path]:
    """The pipeline's files; the Verilog ones in order."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in pipeline.files.items():
        (folder / name).write_text(text)
    return [folder / name for name in pipeline.files if name.endswith(".sv")]


def verilate(pipeline: Pipeline, folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    sources = write(pipeline, folder)
    command = [
        "verilator",
        "-Wall",
        "--top-module",
        pipeline.name,
        "--prefix",
        "Vtop",
        *arguments,
        *map(str, sources),
    ]
    return subprocess.run(
        command, cwd=folder, env={**os.environ, **verilator_environment()}, capture_output=True, text=True
    )


def write_ports(pipeline: Pipeline, folder: Path) -> None:
    """ports.inc, by which `MAIN` knows the ports."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = [f"IN({p.name}, {p.bits}, {p.clock})" for p in pipeline.inputs.values()]
    lines += [f"OUT({p.name}, {p.bits}, {p.clock})" for p in pipeline.outputs.values()]
    (folder / "ports.inc").write_text("\n".join(lines) + "\n")


def macros(pipeline: Pipeline) -> dict[str, int]:
    """Macros of `MAIN` for a pipeline."""
    return {"LAST": pipeline.latency, "INTERVAL": pipeline.interval}


def run_program(
    pipeline: Pipeline, program: Path, folder: Path, values: Mapping[str, np.ndarray], *, timeout: float = 600
) -> dict[str, np.ndarray]:
    """Outputs by name for inputs by name, (samples, *shape) each, from the compiled `MAIN` of a pipeline.

    Args:
        folder: where the pipeline's files lie.

    Raises:
        RuntimeError: the program failed, or an output moved within its interval.
    """
    samples = len(next(iter(values.values())))
    data = [pack(values[name], port).tobytes() for name, port in pipeline.inputs.items()]
    (folder / "in.bin").write_bytes(b"".join(data))
    command = [str(program), str(samples), "in.bin", "out.bin"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=timeout)
    if done.returncode:
        raise RuntimeError(f"{done.returncode}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    words = np.fromfile(folder / "out.bin", "<u4")
    result, at = {}, 0
    for name, port in pipeline.outputs.items():
        count = -(-port.bits // 32)
        result[name] = unpack(words[at : at + samples * count].reshape(samples, count), port)
        at += samples * count
    return result


class PipelineSim:
    """A pipeline, compiled.

    Raises:
        RuntimeError: Verilator warns or fails; its words.
    """

    def __init__(self, pipeline: Pipeline, folder: Path, *, optimise: str = "-O0"):
        self.pipeline, self.folder = pipeline, folder
        write_ports(pipeline, folder)
        defines = " ".join([f"-I{folder}", *(f"-D{k}={v}" for k, v in macros(pipeline).items()), optimise])
        make = f"OPT_FAST={optimise} OPT_SLOW=-O0 OPT_GLOBAL=-O0"
        done = verilate(pipeline, folder, "--cc", "--exe", "--build", "-j", "2", "--x-initial", "unique",
                        "-CFLAGS", defines, "-MAKEFLAGS", make, str(MAIN))  # fmt: skip
        if done.returncode:
            raise RuntimeError(done.stderr[-4000:] + done.stdout[-2000:])

    def run(self, values: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Outputs by name for inputs by name, (samples, *shape) each."""
        return run_program(self.pipeline, self.folder / "obj_dir" / "Vtop", self.folder, values)
