"""What a datapath costs, counted in its graph: multipliers, adders, tables, state bits; by stage and in total.

These are counts of operations as written (one sample a clock for the step; the head's are shared over
`head_interval` clocks), not an area estimate of a synthesis tool.
"""

from __future__ import annotations

import math

import numpy as np

from venom_hw.codegen.stimulus import channel_bits
from venom_hw.datapath.graph import Graph, Node

COUNTS = (
    "multipliers_variable",
    "multipliers_constant",
    "adders",
    "comparators",
    "roundings",
    "shifters",
    "tables",
    "table_bits",
)


def _nothing() -> dict[str, int]:
    return dict.fromkeys(COUNTS, 0)


def _is_shift(values: np.ndarray) -> np.ndarray:
    """Whether a constant factor is 0 or a power of two up to sign: no multiplier."""
    magnitude = np.abs(np.asarray(values, np.int64))
    return (magnitude & np.maximum(magnitude - 1, 0)) == 0


def node_cost(graph: Graph, node: Node) -> dict[str, int]:
    """Operations of one node."""
    cost, size = _nothing(), int(np.prod(node.shape, dtype=np.int64))
    if node.op in ("add", "sub", "accumulate"):
        cost["adders"] = size
    elif node.op == "maximum":
        cost["comparators"] = size
    elif node.op == "mul":
        constants = [graph[i] for i in node.inputs if graph[i].op == "constant"]
        if constants:
            values = np.broadcast_to(graph.constants[constants[0].attrs["key"]], node.shape)
            cost["multipliers_constant"] = int(np.count_nonzero(~_is_shift(values)))
        else:
            cost["multipliers_variable"] = size
    elif node.op == "constmatmul":
        weights = graph.constants[node.attrs["weights"]]
        rows = size // weights.shape[0]
        cost["multipliers_constant"] = rows * int(np.count_nonzero(~_is_shift(weights)))
        terms = np.count_nonzero(weights, axis=1)
        cost["adders"] = rows * int(np.maximum(terms - 1, 0).sum())
    elif node.op == "matmul":
        terms = graph[node.inputs[0]].shape[1]
        cost["multipliers_variable"] = size * terms
        cost["adders"] = size * (terms - 1)
    elif node.op == "reduce":
        kind = "adders" if node.attrs["kind"] == "sum" else "comparators"
        cost[kind] = int(np.prod(graph[node.inputs[0]].shape, dtype=np.int64)) - size
    elif node.op == "requantise":
        cost["roundings"] = size
    elif node.op in ("shift", "normalise"):
        cost["shifters"] = size
    elif node.op == "table":
        entries = graph.constants[node.attrs["entries"]]
        lookups = (
            size if entries.ndim == 1 else int(np.prod(np.broadcast_shapes(entries.shape[1:], node.shape)))
        )
        cost["tables"] = lookups
        cost["table_bits"] = lookups * entries.shape[0] * node.type.width
    return cost


def _add(total: dict[str, int], more: dict[str, int]) -> None:
    for key, value in more.items():
        total[key] += value


def graph_cost(graph: Graph) -> dict[str, dict[str, int]]:
    """Counts by stage, and `total`. A table that k elements look up in one pass counts k times: a ROM each."""
    stages: dict[str, dict[str, int]] = {}
    total = _nothing()
    for node in graph.nodes:
        if node.op in ("input", "state", "constant"):
            continue
        cost = node_cost(graph, node)
        _add(stages.setdefault(node.stage or graph.name, _nothing()), cost)
        _add(total, cost)
    return {**stages, "total": total}


def estimate(datapath, *, channels: int, fifo_depth: int, head_interval: int) -> dict:
    """Costs of step and head, state bits of one channel and of all, bits of the FIFO between them.

    `multipliers` is what the whole takes side by side: the step's, and the head's shared over `head_interval` clocks.
    """
    step, head = graph_cost(datapath.step), graph_cost(datapath.head)
    words = [
        (step_state.type.width, datapath.step.numel(step_state.name))
        for step_state in datapath.step.state_nodes
    ]
    bits = sum(width * count for width, count in words)
    protocol = 1 + datapath.step.max_steps.bit_length()
    sums = sum(n.type.width * datapath.head.numel(n.name) for n in datapath.head.inputs) + channel_bits(
        channels
    )
    parameters = sum(
        int(graph.constants[node.attrs[key]].size)
        for graph in (datapath.step, datapath.head)
        for node in graph.nodes
        for op, key in (("constmatmul", "weights"), ("constant", "key"))
        if node.op == op
    )
    shared = lambda key: math.ceil(head["total"][key] / head_interval)  # noqa: E731
    return {
        "step": step,
        "head": head,
        "parameters": parameters,
        "state_words": sum(count for _, count in words),
        "state_bits_per_channel": bits + protocol,
        "state_bits": channels * (bits + protocol),
        "fifo_bits": fifo_depth * sums,
        "multipliers": {
            key: step["total"][f"multipliers_{key}"] + shared(f"multipliers_{key}")
            for key in ("variable", "constant")
        },
        "adders": step["total"]["adders"] + shared("adders"),
        "table_bits": step["total"]["table_bits"] + _table_bits_once(datapath.head),
    }


def _table_bits_once(graph: Graph) -> int:
    """Bits of a graph's tables, each built once (its lookups share it over time)."""
    tables = [node for node in graph.nodes if node.op == "table"]
    return sum(graph.constants[node.attrs["entries"]].size * node.type.width for node in tables)
