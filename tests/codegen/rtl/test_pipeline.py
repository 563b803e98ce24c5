"""Rendered pipelines under Verilator: bit for bit what the circuit, or the graph's reference, gives."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]  # this folder's helpers, tiny_venom

from hand_circuits import every_cell, random_inputs
from pipeline_sim import PipelineSim
from tiny_venom import tiny_venom

from venom_hw.codegen.rtl.circuit import evaluate
from venom_hw.codegen.rtl.emit import render_circuit, render_pipeline
from venom_hw.datapath.reference import run_step


def differences(got, want) -> dict[str, int]:
    return {name: int((got[name] != want[name]).sum()) for name in want if not np.array_equal(got[name], want[name])}


def random_step_values(rng, graph, samples: int) -> dict[str, np.ndarray]:
    """Inputs and states of a graph: half of the samples over the whole range, half small."""
    values = {}
    for node in (*graph.inputs, *graph.state_nodes):
        value = rng.integers(node.type.lo // 2, node.type.hi // 2 + 1, (samples, *node.shape))
        small = rng.random(samples) < 0.5
        value[small] //= 1 << node.type.width // 2
        values[node.name] = value
    return values


def step_reference(graph, values) -> dict[str, np.ndarray]:
    result = run_step(graph, values, values)
    return {**result.outputs, **{following: result.states[state] for state, following in graph.states}}


@pytest.mark.parametrize(("seed", "interval"), [(0, 1), (1, 1), (2, 2), (3, 4)])
def test_every_cell(tmp_path, seed, interval):
    rng = np.random.default_rng(seed)
    circuit = every_cell(rng)
    values = random_inputs(rng, circuit, 300)
    sim = PipelineSim(render_circuit(circuit, name="every_cell", interval=interval), tmp_path)
    assert not differences(sim.run(values), evaluate(circuit, values))


@pytest.mark.parametrize("interval", [1, 4])
def test_tiny_step(tmp_path, interval):
    graph = tiny_venom().step
    values = random_step_values(np.random.default_rng(3), graph, 200)
    sim = PipelineSim(render_pipeline(graph, name="tiny_step", interval=interval), tmp_path)
    assert not differences(sim.run(values), step_reference(graph, values))
