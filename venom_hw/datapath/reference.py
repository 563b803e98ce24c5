"""The reference executor: one step of a graph, node by node, on int64. Slow and plain; everything is held to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from venom_hw.datapath.evaluate import evaluate, round_only
from venom_hw.datapath.graph import Graph
from venom_hw.datapath.ops import DatapathError


@dataclass(frozen=True)
class StepResult:
    """Integers of one step over a batch: outputs and next states by name, saturations and, all tensors by node."""

    outputs: dict[str, np.ndarray]
    states: dict[str, np.ndarray]
    saturations: dict[str, int]
    tensors: dict[str, np.ndarray]


def initial_states(graph: Graph, batch: int) -> dict[str, np.ndarray]:
    """The states at a window's start: zeros, (batch, *shape)."""
    return {node.name: np.zeros((batch, *node.shape), np.int64) for node in graph.state_nodes}


def run_step(graph: Graph, inputs: Mapping[str, np.ndarray], states: Mapping[str, np.ndarray]) -> StepResult:
    """One step.

    Args:
        inputs: int arrays (batch, *shape) by input name, within the inputs' types.
        states: int arrays (batch, *shape) by state name.

    Raises:
        DatapathError: an input or state is missing, has a wrong shape or leaves its type.
    """
    tensors: dict[str, np.ndarray] = {}
    saturations: dict[str, int] = {}
    for node in graph.nodes:
        if node.op in ("input", "state"):
            tensors[node.name] = checked(node, inputs if node.op == "input" else states)
            continue
        call = graph.call(node, graph.facts)
        values = [tensors[i] for i in node.inputs]
        tensors[node.name] = evaluate(call, values)
        if node.op == "requantise":
            saturations[node.name] = int(np.count_nonzero(round_only(call, values[0]) != tensors[node.name]))
    batch = max(t.shape[0] for t in tensors.values())
    whole = lambda name: np.broadcast_to(tensors[name], (batch, *graph[name].shape))  # noqa: E731
    return StepResult(
        {name: whole(node) for name, node in graph.outputs},
        {state: whole(following) for state, following in graph.states},
        saturations,
        tensors,
    )


def checked(node, given: Mapping[str, np.ndarray]) -> np.ndarray:
    """An input or state as int64, with shape and range verified."""
    if node.name not in given:
        raise DatapathError(f"{node.op} {node.name!r} is missing")
    value = np.asarray(given[node.name])
    if value.shape[1:] != node.shape or not np.issubdtype(value.dtype, np.integer):
        raise DatapathError(
            f"{node.op} {node.name!r}: expected integers of shape (batch, {', '.join(map(str, node.shape))}), "
            f"got {value.dtype} {value.shape}"
        )
    if value.size and (value.min() < node.type.lo or value.max() > node.type.hi):
        raise DatapathError(f"{node.op} {node.name!r}: {value.min()}..{value.max()} leaves {node.type}")
    return value.astype(np.int64)
