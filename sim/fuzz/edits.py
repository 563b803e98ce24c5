"""Small edits of one node that make a graph simpler, for the shrinker."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from sim.fuzz.rebuild import Draft
from venom_hw.datapath.fixed import FixedType
from venom_hw.datapath.graph import Graph, Node

Edit = Callable[[Draft], None]
PLAIN = {"rounding": "floor", "overflow": "saturate"}


def graph_edits(graph: Graph, name: str) -> Iterator[Edit]:
    """Edits of a node, the boldest first. An edit raises KeyError where the node is no longer there."""
    node = graph[name]
    if node.op != "input":
        yield from _replacements(graph, node)
    if node.op in _OF_OP:
        yield from _OF_OP[node.op](graph, node)


def _replacements(graph: Graph, node: Node) -> Iterator[Edit]:
    """Something simpler in the node's place: one of its operands, a constant, the sample in the node's own type."""
    for operand in node.inputs:  # often of another shape: whether the result is sound, `Draft.build` finds out
        yield lambda d, old=node.name, new=operand: d.redirect(old, new)
    if node.op not in ("constant", "state"):
        yield lambda d: d.make_constant(node.name, 0)
        yield lambda d: d.make_constant(node.name, np.clip(node.type.hi // 3, 0, 1 << 40))
        if graph.name == "step" and node.op != "requantise":
            yield lambda d: _sample_instead(d, graph, node)
    elif node.op == "state":
        yield lambda d: d.make_constant(node.name, 0)


def _sample_instead(draft: Draft, graph: Graph, node: Node) -> None:
    """The node becomes a requantise of the sample (one or two elements; more are concatenated)."""
    sample, count = graph.inputs[0], int(np.prod(node.shape, dtype=int))
    source = sample.name
    before = {}

    def add(op: str, inputs: tuple[str, ...], attrs: dict, shape: tuple[int, ...]) -> str:
        name = f"{node.name}_{op}"
        before[name] = replace(sample, name=name, op=op, inputs=inputs, attrs=attrs, shape=shape, stage=node.stage)
        return name

    if count == 1:
        source = add("slice", (source,), {"axis": 0, "start": 0, "stop": 1}, (1,))
    elif count > 2:
        source = add("concat", (source,) * (count // 2), {"axis": 0}, (count,))
    if graph.numel(sample.name) != count or node.shape != (count,):
        source = add("reshape", (source,), {"shape": list(node.shape)}, node.shape)
    nodes = {}
    for name, old in draft.nodes.items():
        if name == node.name:
            nodes |= before
            old = replace(old, op="requantise", inputs=(source,), attrs=dict(PLAIN))
        nodes[name] = old
    draft.nodes.clear()
    draft.nodes.update(nodes)


def _types(type_: FixedType) -> Iterator[FixedType]:
    """Simpler formats: narrower, one binary point for all elements, binary point 0."""
    for width in dict.fromkeys((1, 2, type_.width // 4, type_.width // 2, type_.width - 1)):
        if 0 < width < type_.width:
            yield FixedType(type_.signed, width, type_.frac)
    if not type_.is_uniform:
        yield FixedType(type_.signed, type_.width, int(np.min(type_.frac)))
        yield FixedType(type_.signed, type_.width, int(np.max(type_.frac)))
    elif type_.frac != 0:
        yield FixedType(type_.signed, type_.width, 0)


def _requantise(graph: Graph, node: Node) -> Iterator[Edit]:
    for key, value in PLAIN.items():
        if node.attrs[key] != value:
            yield lambda d, key=key, value=value: _attrs(d, node.name, **{key: value})
    for type_ in _types(node.type):
        yield lambda d, type_=type_: d.put(d.nodes[node.name], type=type_)


def _attrs(draft: Draft, name: str, **changes) -> None:
    draft.put(draft.nodes[name], attrs={**draft.nodes[name].attrs, **changes})


def _simpler(values: np.ndarray) -> Iterator[np.ndarray]:
    yield np.zeros_like(values)
    yield np.ones_like(values)
    yield values // 16
    yield values // 2


def _constant(graph: Graph, node: Node) -> Iterator[Edit]:
    values = graph.constants[node.attrs["key"]]
    if values.size > 1:
        yield lambda d: d.put(node, attrs={"key": d.keep(values.flat[0])}, type=_scalar(node.type))
    for fewer in _simpler(values):
        yield lambda d, v=fewer: d.put(d.nodes[node.name], attrs={"key": d.keep(v)})
    for type_ in _types(node.type):
        yield lambda d, type_=type_: d.put(
            d.nodes[node.name], type=type_, attrs={"key": d.keep(np.clip(values, type_.lo, type_.hi))}
        )


def _scalar(type_: FixedType) -> FixedType:
    return FixedType(type_.signed, type_.width, int(np.ravel(type_.frac)[0]))


def _constmatmul(graph: Graph, node: Node) -> Iterator[Edit]:
    weights, type_ = graph.constants[node.attrs["weights"]], FixedType.from_dict(node.attrs["weights_type"])
    for fewer in _simpler(weights):
        yield lambda d, v=fewer: _attrs(d, node.name, weights=d.keep(v))
    for narrow in _types(type_):
        clipped = np.clip(weights, narrow.lo, narrow.hi)
        yield lambda d, t=narrow, v=clipped: _attrs(d, node.name, weights=d.keep(v), weights_type=t.to_dict())


def _table(graph: Graph, node: Node) -> Iterator[Edit]:
    entries = graph.constants[node.attrs["entries"]]
    if entries.ndim > 1 and node.type.is_uniform:
        yield lambda d: _attrs(d, node.name, entries=d.keep(entries.reshape(len(entries), -1)[:, 0]))
    for fewer in _simpler(entries):
        yield lambda d, v=fewer: _attrs(d, node.name, entries=d.keep(v))
    for type_ in _types(node.type):
        yield lambda d, t=type_: d.put(
            d.nodes[node.name],
            type=t,
            attrs={**node.attrs, "entries": d.keep(np.clip(entries, t.lo, t.hi))},
        )


def _state(graph: Graph, node: Node) -> Iterator[Edit]:
    following = graph[dict(graph.states)[node.name]]
    if following.type != node.type:
        yield lambda d: d.put(d.nodes[node.name], type=d.nodes[following.name].type)


def _concat(graph: Graph, node: Node) -> Iterator[Edit]:
    for at in range(len(node.inputs)):
        if len(node.inputs) > 2:
            yield lambda d, at=at: d.put(
                d.nodes[node.name], inputs=node.inputs[:at] + node.inputs[at + 1 :]
            )


_OF_OP: dict[str, Callable[[Graph, Node], Iterator[Edit]]] = {
    "requantise": _requantise,
    "constant": _constant,
    "constmatmul": _constmatmul,
    "table": _table,
    "state": _state,
    "concat": _concat,
}
