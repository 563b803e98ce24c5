"""Which nodes of a step graph need the sample-by-sample loop, and which can be computed over a whole window at once.

* before: nodes that depend on no recurrent state. A state that merely holds the last samples of such a node (the taps
  of a convolution) is a delay, not a recurrence: it becomes shifted views.
* loop: nodes on a cycle through a state, with the large nodes around them, which are cheaper to recompute in cache
  than to keep for a window.
* after: everything that follows. An accumulator is a sum over the window.
"""

from __future__ import annotations

from dataclasses import dataclass

from venom_hw.datapath.graph import Graph, Node

LARGE = 64
"""Elements a sample from which a tensor is not kept for a whole window if the loop can make it."""


@dataclass(frozen=True)
class Delay:
    """State whose element j on axis 0 is the source's value `depth - j` samples ago (source shape = one element)."""

    source: str
    depth: int


@dataclass(frozen=True)
class Hoisted:
    """A partition of a step graph's nodes, each part in order of execution."""

    before: tuple[Node, ...]
    loop: tuple[Node, ...]
    after: tuple[Node, ...]
    delays: dict[str, Delay]
    sums: dict[str, str]  # accumulator state -> its term
    recurrent: tuple[str, ...]  # states that the loop carries


def hoist(graph: Graph) -> Hoisted:
    """Partition a step graph."""
    sums = {
        state: graph[following].inputs[1]
        for state, following in graph.states
        if graph[following].op == "accumulate" and [u.name for u in graph.users(state)] == [following]
        and _only_state(graph, following)
    }
    candidates = {s: d for s, f in graph.states if _only_state(graph, f) and (d := _delay(graph, s, f)) is not None}
    recurrent = [s for s, _ in graph.states if s not in sums and s not in candidates]
    while True:  # a delay of something recurrent is itself carried by the loop
        dependent = _descendants(graph, recurrent)
        wrong = [s for s in candidates if s not in recurrent and candidates[s].source in dependent]
        if not wrong:
            break
        recurrent += wrong
    delays = {s: d for s, d in candidates.items() if s not in recurrent}
    order = {s: i for i, (s, _) in enumerate(graph.states)}
    recurrent.sort(key=order.__getitem__)

    following = dict(graph.states)
    needed = _ancestors(graph, [following[s] for s in recurrent])
    summed = {following[s] for s in sums} | set(sums)
    skip = summed | {following[s] for s in delays}
    loop = {n.name for n in graph.nodes if n.name in dependent and n.name in needed}
    _pull_in(graph, loop, dependent, skip)
    _sink(graph, loop, dependent, skip)
    nodes = [n for n in graph.nodes if n.name not in skip or n.op == "state" and n.name in delays]
    return Hoisted(
        before=tuple(n for n in nodes if n.name not in dependent and n.name not in loop),
        loop=tuple(n for n in nodes if n.name in loop and n.op != "state"),
        after=tuple(n for n in nodes if n.name in dependent and n.name not in loop and n.op != "state"),
        delays=delays,
        sums=sums,
        recurrent=tuple(recurrent),
    )


def _pull_in(graph: Graph, loop: set[str], dependent: set[str], skip: set[str]) -> None:
    """Large followers of the loop join it, with the node that makes them small again."""
    for node in graph.nodes:
        if node.name in loop or node.name not in dependent or node.name in skip or node.op == "state":
            continue
        ready = all(i in loop or i not in dependent or graph[i].op == "state" for i in node.inputs)
        large = graph.numel(node.name) > LARGE or any(i in loop and graph.numel(i) > LARGE for i in node.inputs)
        if ready and large:
            loop.add(node.name)


def _sink(graph: Graph, loop: set[str], dependent: set[str], skip: set[str]) -> None:
    """Large nodes used by the loop alone join it."""
    kept = {name for _, name in graph.outputs}
    for node in reversed(graph.nodes):
        if node.name in loop or node.name in dependent or node.name in skip | kept:
            continue
        if node.op in ("input", "state", "constant") or graph.numel(node.name) <= LARGE:
            continue
        users = graph.users(node.name)
        if users and all(u.name in loop for u in users):
            loop.add(node.name)


def _only_state(graph: Graph, following: str) -> bool:
    """Whether a tensor is nothing but the next value of one state."""
    return not graph.users(following) and [f for _, f in graph.states].count(following) == 1


def _delay(graph: Graph, state: str, following: str) -> Delay | None:
    """following = the state moved up by one with reshape(source) at its end, on axis 0.

    Written concat(state[1:], new), or concat(state, new)[1:] where the concatenation serves as taps too.
    """
    if not graph[state].shape:
        return None
    depth, node = graph[state].shape[0], graph[following]
    if node.op == "slice" and node.attrs == {"axis": 0, "start": 1, "stop": depth + 1}:
        node = graph[node.inputs[0]]
        whole = (state,)
    else:
        whole = ()
    if node.op != "concat" or len(node.inputs) != 2 or node.attrs["axis"] != 0:
        return None
    kept, new = (graph[i] for i in node.inputs)
    shifted = kept.op == "slice" and kept.inputs == (state,)
    shifted = shifted and kept.attrs == {"axis": 0, "start": 1, "stop": depth}
    if not (shifted or whole == (kept.name,)):
        return None
    if new.op != "reshape" or new.shape[0] != 1 or graph[new.inputs[0]].shape != new.shape[1:]:
        return None
    return Delay(new.inputs[0], depth)


def _descendants(graph: Graph, states: list[str]) -> set[str]:
    out = set(states)
    for node in graph.nodes:
        if any(i in out for i in node.inputs):
            out.add(node.name)
    return out


def _ancestors(graph: Graph, names: list[str]) -> set[str]:
    out = set(names)
    for node in reversed(graph.nodes):
        if node.name in out:
            out.update(node.inputs)
    return out
