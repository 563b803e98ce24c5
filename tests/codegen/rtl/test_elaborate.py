"""The circuit of a graph computes what the reference executor does, integer for integer."""

import numpy as np
import pytest

from sim.fuzz.random_graph import random_datapath
from tests.codegen.tiny_venom import tiny_venom
from venom_hw.codegen.errors import CodegenError
from venom_hw.codegen.rtl.circuit import evaluate
from venom_hw.codegen.rtl.elaborate import elaborate
from venom_hw.codegen.rtl.strategies import Strategies
from venom_hw.datapath.graph import Graph
from venom_hw.datapath.passes.factor_decay import factor_decay
from venom_hw.datapath.reference import run_step
from venom_hw.flow.model_files import find_model
from venom_hw.interchange.importer import import_venom

STRATEGIES = {
    "default": Strategies(),
    "dsp": Strategies(constant_matrix="dsp", products="dsp", tables="bram", clamps="mux"),
    "lut": Strategies(constant_matrix="adder_tree", products="lut", tables="lut"),
}


def random_values(rng: np.random.Generator, node, batch: int) -> np.ndarray:
    """Full range, small values and the ends."""
    lo, hi = node.type.lo, node.type.hi
    values = rng.integers(lo, hi, (batch, *node.shape), endpoint=True)
    small = values >> rng.integers(0, node.type.width, (batch, *(1,) * len(node.shape)))
    small[0], small[1] = lo, hi
    return small


def compare(graph: Graph, strategies: Strategies, *, batch: int = 24, seed: int = 0) -> None:
    """Circuit against reference, on random inputs and on states that a window can reach."""
    rng = np.random.default_rng(seed)
    inputs = {node.name: random_values(rng, node, batch) for node in graph.inputs}
    states = {node.name: reachable_state(graph, node, rng, batch) for node in graph.state_nodes}
    expected = run_step(graph, inputs, states)
    found = evaluate(elaborate(graph, strategies), {**inputs, **states})
    for name, value in {**expected.outputs, **expected.states}.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)


def reachable_state(graph: Graph, node, rng: np.random.Generator, batch: int) -> np.ndarray:
    """A state with room for one more term, where it is an accumulator."""
    values = random_values(rng, node, batch)
    following = graph[dict(graph.states)[node.name]]
    if following.op == "accumulate":
        term = graph.facts[following.inputs[1]]
        low, high = (graph.max_steps - 1) * np.minimum(term.lo, 0), (graph.max_steps - 1) * np.maximum(term.hi, 0)
        values = np.clip(values, low, high)
    return values


@pytest.mark.parametrize("strategies", STRATEGIES.values(), ids=STRATEGIES)
@pytest.mark.parametrize("seed", [*range(8), 175, 185])
def test_random_graphs(seed, strategies):
    datapath, _ = random_datapath(seed)
    for graph in (datapath.step, factor_decay(datapath.step), datapath.head):
        compare(graph, strategies, seed=seed)


@pytest.mark.parametrize("strategies", STRATEGIES.values(), ids=STRATEGIES)
def test_tiny_venom(strategies):
    datapath = tiny_venom()
    for graph in (datapath.step, factor_decay(datapath.step), datapath.head):
        compare(graph, strategies)


@pytest.mark.parametrize(
    ("model", "strategies"),
    [("ptsi", "default"), ("ptsi", "dsp"), ("inhf", "lut"), ("ptsi-lean", "default"), ("inhf-lean", "default")],
)
def test_shipped_models(model, strategies):
    files = find_model(model)
    datapath = import_venom(files.step, files.head)
    for graph in (factor_decay(datapath.step), datapath.head):
        compare(graph, STRATEGIES[strategies])


def test_unknown_names_are_refused():
    with pytest.raises(CodegenError, match="adder_graph, adder_tree, dsp"):
        Strategies(constant_matrix="adders")
    with pytest.raises(CodegenError, match="known: add, mul_dsp"):
        Strategies(latencies={"plus": 1})
    with pytest.raises(CodegenError, match="from 1 on"):
        Strategies(latencies={"add": 0})
