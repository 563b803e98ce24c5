"""x - g*x  ->  (1 - g)*x, for a table g: the decay of a recurrent state in one product instead of two operations.

Exact on integers: (x << f) - g*x = x * (2**f - g), f being the fraction bits of g.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from venom_hw.datapath.fixed import smallest_type
from venom_hw.datapath.graph import Graph, GraphBuilder, Node, constant_key


def factor_decay(graph: Graph) -> Graph:
    """The graph with every `sub(x, mul(g, x))`, g a table used nowhere else, written as one product."""
    found = {node.name: table for node in graph.nodes if (table := _decay(graph, node)) is not None}
    tables = {table.name: sub for sub, table in found.items()}
    products = {name for sub in found for name in graph[sub].inputs[1:]}
    if not found:
        return graph
    constants = dict(graph.constants)
    nodes: list[Node] = []
    for node in graph.nodes:
        if node.name in products:
            continue
        if node.name in tables:
            node = _complement(node, constants)
        elif node.name in found:
            node = replace(node, op="mul", inputs=(node.inputs[0], found[node.name].name), attrs={})
        nodes.append(node)
    return rebuild(graph, nodes, constants)


def _decay(graph: Graph, node: Node) -> Node | None:
    if node.op != "sub":
        return None
    x, product = node.inputs
    product = graph[product]
    if product.op != "mul" or x not in product.inputs or len(graph.users(product.name)) != 1:
        return None
    (g,) = [i for i in product.inputs if i != x] or (x,)
    table = graph[g]
    shape_kept = graph[x].shape == node.shape
    outside = {name for _, name in (*graph.outputs, *graph.states)} & {table.name, product.name}
    single = table.op == "table" and len(graph.users(g)) == 1
    return table if single and shape_kept and not outside and np.min(table.type.frac) >= 0 else None


def _complement(table: Node, constants: dict[str, np.ndarray]) -> Node:
    entries = constants[table.attrs["entries"]]
    frac = np.asarray(table.type.frac, np.int64)
    complement = (np.int64(1) << frac) - entries
    key = constant_key(complement)
    constants[key] = complement
    type_ = smallest_type(int(complement.min()), int(complement.max()), table.type.frac)
    return replace(table, attrs={**table.attrs, "entries": key}, type=type_)


def rebuild(graph: Graph, nodes: list[Node], constants: dict[str, np.ndarray]) -> Graph:
    """The graph of these nodes with every derived type derived anew; names, outputs and states kept."""
    builder = GraphBuilder(graph.name, max_steps=graph.max_steps)
    builder.constants = constants
    for node in nodes:
        builder.readd(node)
    builder.states = dict(graph.states)
    return builder.build(dict(graph.outputs))
