"""How often each element of each tensor is read: what is read more than once becomes a signal of its own."""

from __future__ import annotations

import numpy as np

from venom_hw.datapath.graph import Graph, Node

VIEWS = ("slice", "concat", "reshape")


def demands(graph: Graph) -> dict[str, np.ndarray]:
    """Readers of every element, by node (flat, row-major). Views pass the demand of theirs on."""
    demand = {node.name: np.zeros(graph.numel(node.name), np.int64) for node in graph.nodes}
    for _, name in (*graph.outputs, *graph.states):
        demand[name] += 1
    for node in reversed(graph.nodes):
        readers = demand[node.name] if node.op in VIEWS else (demand[node.name] > 0).astype(np.int64)
        for name, (source, reader) in zip(node.inputs, reads(graph, node), strict=True):
            np.add.at(demand[name], source, readers[reader])
    return demand


def reads(graph: Graph, node: Node) -> list[tuple[np.ndarray, np.ndarray]]:
    """For each operand of a node: pairs (its flat elements, the flat elements of the result that read them)."""
    index = [np.arange(graph.numel(name)).reshape(graph[name].shape) for name in node.inputs]
    out = np.arange(graph.numel(node.name)).reshape(node.shape)
    if node.op == "constmatmul":
        rows, columns = np.nonzero(graph.constants[node.attrs["weights"]])
        return [(index[0][..., columns].reshape(-1), out[..., rows].reshape(-1))]
    if node.op == "matmul":
        a, b = index
        shape = (a.shape[0], b.shape[1], a.shape[1])
        wide = [np.broadcast_to(v, shape).reshape(-1) for v in (a[:, None, :], b.T[None, :, :], out[:, :, None])]
        return [(wide[0], wide[2]), (wide[1], wide[2])]
    if node.op == "reduce":
        kept = out if node.attrs["keepdims"] else np.expand_dims(out, node.attrs["axis"])
        return [(index[0].reshape(-1), np.broadcast_to(kept, index[0].shape).reshape(-1))]
    if node.op == "slice":
        take = [slice(None)] * index[0].ndim
        take[node.attrs["axis"]] = slice(node.attrs["start"], node.attrs["stop"])
        return [(index[0][tuple(take)].reshape(-1), out.reshape(-1))]
    if node.op == "concat":
        ends = np.cumsum([i.shape[node.attrs["axis"]] for i in index])[:-1]
        return [
            (i.reshape(-1), part.reshape(-1))
            for i, part in zip(index, np.split(out, ends, node.attrs["axis"]), strict=True)
        ]
    if node.op == "reshape":
        return [(index[0].reshape(-1), out.reshape(-1))]
    return [(np.broadcast_to(i, node.shape).reshape(-1), out.reshape(-1)) for i in index]
