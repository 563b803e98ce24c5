"""Every rendering of a datapath that a fuzz case goes through, each compared with the int64 reference executor."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from sim import pipeline_sim
from sim.device import SIM_FOLDER
from sim.fuzz.case import FuzzCase
from sim.fuzz.difference import Difference, first_difference
from sim.fuzz.errors import FuzzError, Refused
from sim.fuzz.expected import reference
from sim.fuzz.options import interval_of, strategies_of
from sim.fuzz.step_vectors import head_vectors, step_vectors
from sim.fuzz.workshop import SECONDS, Workshop
from sim.replay import MAIN, replay_macros, run_replay
from venom_hw.boards import load_board
from venom_hw.codegen.csim import build_csim, run_csim
from venom_hw.codegen.errors import CodegenError
from venom_hw.codegen.hls_project import render_project
from venom_hw.codegen.rtl.circuit import evaluate
from venom_hw.codegen.rtl.elaborate import elaborate
from venom_hw.codegen.rtl.emit import render_pipeline
from venom_hw.codegen.rtl.project import RtlProject, render_rtl
from venom_hw.codegen.vectors import write_vectors
from venom_hw.datapath.golden import Golden
from venom_hw.datapath.kernels import NoKernel
from venom_hw.datapath.passes.factor_decay import factor_decay

BOARD = "zcu111"
REVISIT = 2
"""Revisit distance for what has no pipeline."""

HEAD_INTERVAL = 64
"""Clocks a window of serial heads; by default an engine wants its head as quick as its shortest windows."""

Check = Callable[[FuzzCase, Path, Workshop], Difference | None]


def numpy(case: FuzzCase, folder: Path, workshop: Workshop) -> Difference | None:
    """The NumPy engine of the golden model; refuses some graphs."""
    return _golden("numpy", case)


def native(case: FuzzCase, folder: Path, workshop: Workshop) -> Difference | None:
    """The compiled engine of the golden model."""
    return _golden("native", case)


def _golden(engine: str, case: FuzzCase) -> Difference | None:
    stimulus, datapath = case.stimulus(REVISIT), case.datapath
    expected = reference(datapath, stimulus)
    samples, lengths = stimulus.windows(datapath.step.max_steps)
    try:
        result = Golden(datapath.step, datapath.head, engine=engine, threads=1).run(samples, lengths, trace=True)
    except NoKernel as error:
        raise Refused(str(error)) from None
    return first_difference(engine, stimulus, datapath.step.max_steps, expected, result.trace, result.outputs)


def hls(case: FuzzCase, folder: Path, workshop: Workshop) -> Difference | None:
    """The HLS C++, beat by beat and through its streams."""
    stimulus, max_steps = case.stimulus(REVISIT), case.datapath.step.max_steps
    expected = reference(case.datapath, stimulus)
    project = render_project(case.datapath, _board(), folder / "hls", channels=case.channels, revisit=REVISIT)
    vectors = write_vectors(folder / "vectors.bin", stimulus, expected, max_steps=max_steps)
    binary = build_csim(project, flags=workshop.hls_flags)
    result = run_csim(project, vectors, binary=binary, timeout=SECONDS)
    if result.mismatches:
        return Difference("hls", str(result), result.first["tensor"])
    return None


def circuit(case: FuzzCase, folder: Path, workshop: Workshop) -> Difference | None:
    """The circuit of cells that the RTL is made of, step and head, evaluated in Python."""
    stimulus, (step, head) = case.stimulus(REVISIT), (case.datapath.step, case.datapath.head)
    expected = reference(case.datapath, stimulus)
    for graph, vectors, prefix in (
        (step, step_vectors(step, stimulus, expected), ""),
        (head, head_vectors(head, stimulus, expected, step.max_steps), "head."),
    ):
        cells = elaborate(factor_decay(graph), strategies_of(case.options))
        found = vectors.compare("circuit", evaluate(cells, vectors.inputs), prefix)
        if found:
            return found
    return None


def rtl_step(case: FuzzCase, folder: Path, workshop: Workshop) -> Difference | None:
    """The step's pipeline in SystemVerilog under Verilator, a sample every interval."""
    stimulus, step = case.stimulus(REVISIT), case.datapath.step
    vectors = step_vectors(step, stimulus, reference(case.datapath, stimulus))
    return _pipeline("rtl_step", step, vectors, "", case, folder / "rtl_step", workshop)


def rtl(case: FuzzCase, folder: Path, workshop: Workshop) -> Difference | None:
    """The whole engine in SystemVerilog under Verilator: results, every state word of every sample, counters."""
    project = _engine(case, folder / "rtl")
    stimulus, max_steps = case.stimulus(project.revisit), case.datapath.step.max_steps
    vectors = write_vectors(
        folder / "rtl.bin", stimulus, reference(case.datapath, stimulus), max_steps=max_steps
    )
    simulation = workshop.verilate(
        [SIM_FOLDER / "state_trace.sv", *project.sources],
        project.top,
        MAIN,
        folder / "engine",
        macros=replay_macros(project),
    )
    result = run_replay(project, simulation.program, [vectors], timeout=SECONDS)
    if result.mismatches:
        return Difference("rtl", str(result), result.first["tensor"])
    simulation.demand_silence()
    return None


def _engine(case: FuzzCase, folder: Path) -> RtlProject:
    """The engine; a head that cannot be serial is a pipeline."""
    given = dict(
        channels=case.channels,
        interval=interval_of(case.options),
        strategies=strategies_of(case.options),
        fifo_depth=max(2, len(case.pulses)),  # nothing is dropped
    )
    if case.options.get("head") != "parallel":
        try:
            return render_rtl(
                case.datapath, _board(), folder, head="serial", head_interval=HEAD_INTERVAL, **given
            )
        except CodegenError:
            if case.options.get("head") == "serial":
                raise
    return render_rtl(case.datapath, _board(), folder, head="parallel", **given)


def _pipeline(rendering: str, graph, vectors, prefix: str, case: FuzzCase, folder: Path, workshop: Workshop):
    pipeline = render_pipeline(
        graph, name=graph.name, strategies=strategies_of(case.options), interval=interval_of(case.options)
    )
    sources = pipeline_sim.write(pipeline, folder)
    pipeline_sim.write_ports(pipeline, folder)
    simulation = workshop.verilate(
        sources, pipeline.name, pipeline_sim.MAIN, folder, macros=pipeline_sim.macros(pipeline)
    )
    found = pipeline_sim.run_program(pipeline, simulation.program, folder, vectors.inputs, timeout=SECONDS)
    found |= {state: found[following] for state, following in graph.states}
    difference = vectors.compare(rendering, found, prefix)
    if difference is None:
        simulation.demand_silence()
    return difference


@cache
def _board():
    return load_board(BOARD)


RENDERINGS: dict[str, Check] = {
    "numpy": numpy, "native": native, "circuit": circuit, "hls": hls, "rtl_step": rtl_step, "rtl": rtl,
}  # fmt: skip
"""By name."""
EITHER = {"golden": ("numpy", "native")}
"""Names for the first of several renderings that takes the case."""
DEFAULT = ("golden", "hls", "rtl")


def names() -> tuple[str, ...]:
    """All that `check` knows."""
    return *EITHER, *RENDERINGS


@dataclass(frozen=True)
class Checked:
    """What came of one rendering of a case.

    Attributes:
        compared: whether anything was; False if all that the name stands for refuse the case.
        difference: None if equal (or not compared).
        refused: why, by rendering.
    """

    compared: bool
    difference: Difference | None
    refused: Mapping[str, str]


def check(name: str, case: FuzzCase, folder: Path, workshop: Workshop) -> Checked:
    """One rendering of a case; an error of the generator or of a compiler is a difference too.

    Raises:
        FuzzError: no rendering of that name.
    """
    if name not in names():
        raise FuzzError(f"no rendering {name!r}; there are {', '.join(names())}")
    folder.mkdir(parents=True, exist_ok=True)
    refused = {}
    for each in EITHER.get(name, (name,)):
        try:
            return Checked(True, RENDERINGS[each](case, folder, workshop), refused)
        except Refused as error:
            refused[each] = str(error)
        except subprocess.TimeoutExpired:
            found = Difference(each, f"no end within {SECONDS} s", error="TimeoutExpired")
            return Checked(True, found, refused)
        except Exception as error:  # whatever a rendering raises is what was looked for
            text = str(error).replace(f"{folder}/", "").strip() or repr(error)
            return Checked(True, Difference(each, text, error=type(error).__name__), refused)
    return Checked(False, None, refused)
