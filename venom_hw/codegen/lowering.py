"""From a graph to functions and loops: which node goes into which stage function, and which loops are fused.

Three steps, each a plain function of the graph:

* views: a slice, or a reshape that only adds or drops axes of length 1, costs nothing: its users read the tensor
  below it at other indices (`View`).
* stages: nodes of one `Node.stage` form a function, split only where the order of execution demands it.
* blocks: within a function, nodes of one shape that read each other at the same index share a loop nest. A node used
  only inside its block is a scalar constant there, everything else an array. A product that is only summed is
  computed inside the sum's loop (multiply and accumulate).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from venom_hw.codegen.errors import CodegenError
from venom_hw.datapath.graph import Graph, Node

POINTWISE = (
    "add",
    "sub",
    "mul",
    "maximum",
    "accumulate",
    "table",
    "requantise",
    "normalise",
    "shift",
    "copy",
)
REDUCING = ("constmatmul", "matmul", "reduce")
GIVEN = ("input", "state", "constant")
SUPPORTED = (*POINTWISE, *REDUCING, *GIVEN, "slice", "concat", "reshape")


@dataclass(frozen=True)
class Block:
    """Nodes that share a loop nest over `shape` (a concat or a true reshape has a block of its own)."""

    shape: tuple[int, ...]
    nodes: tuple[Node, ...]


@dataclass(frozen=True)
class Stage:
    """One function: its blocks, the tensors that it reads and those that it hands out."""

    name: str
    blocks: tuple[Block, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    internal: tuple[str, ...]  # arrays that live only inside
    scalars: frozenset[str]  # nodes that are scalars of their block
    terms: frozenset[str]  # products computed inside the loop of their sum


@dataclass(frozen=True)
class Lowered:
    """A graph as functions. `roots`: the tensors that must exist at the end, by the name they were asked for."""

    nodes: dict[str, Node]
    stages: tuple[Stage, ...]
    roots: dict[str, str]


def is_view(node: Node, nodes: dict[str, Node]) -> bool:
    """Whether the node only renames indices."""
    if node.op == "reshape":
        squeezed = tuple(s for s in node.shape if s != 1)
        return squeezed == tuple(s for s in nodes[node.inputs[0]].shape if s != 1)
    return node.op == "slice"


def resolve(name: str, index: Sequence[str], nodes: dict[str, Node]) -> tuple[str, tuple[str, ...]]:
    """The stored tensor and the index that an element of a (possibly viewed) tensor stands for."""
    node = nodes[name]
    while is_view(node, nodes):
        below = nodes[node.inputs[0]]
        if node.op == "slice":
            start, axis = int(node.attrs["start"]), int(node.attrs["axis"])
            index = [offset(i, start) if a == axis else i for a, i in enumerate(index)]
        else:
            moving = iter([i for i, size in zip(index, node.shape, strict=True) if size != 1])
            index = ["0" if size == 1 else next(moving) for size in below.shape]
        node = below
    return node.name, tuple(index)


def offset(index: str, start: int) -> str:
    if start == 0:
        return index
    return str(int(index) + start) if index.isdecimal() else f"{index} + {start}"


def broadcast(index: Sequence[str], shape: Sequence[int]) -> list[str]:
    """Index into an operand of `shape` for an element of the (broadcast) result."""
    tail = list(index)[len(index) - len(shape) :] if shape else []
    return ["0" if size == 1 else i for i, size in zip(tail, shape, strict=True)]


def loop_index(shape: Sequence[int]) -> list[str]:
    """Names of the loop counters of a nest over `shape`; axes of length 1 have none."""
    letters = iter("ijpqabcd")
    return ["0" if size == 1 else next(letters) for size in shape]


def lower(graph: Graph, roots: dict[str, str], default_stage: str) -> Lowered:
    """The functions that compute `roots` (asked name -> node name); nodes that no root needs are left out.

    Raises:
        CodegenError: an operation this rendering does not know.
    """
    nodes = {node.name: node for node in graph.nodes}
    for node in graph.nodes:
        if node.op not in SUPPORTED:
            raise CodegenError(f"node {node.name!r} ({node.op}): HLS knows {', '.join(SUPPORTED)}")
    wanted: dict[str, str] = {}
    for asked, name in roots.items():
        node = nodes[name]
        if is_view(node, nodes):  # the tensor is needed: it becomes a copy of a view under another name
            view = replace(node, name=f"{name} (view)")
            nodes |= {view.name: view, name: replace(node, op="copy", inputs=(view.name,), attrs={})}
        elif node.op in GIVEN:
            copy = replace(node, name=f"{asked} (copy)", op="copy", inputs=(name,), attrs={})
            nodes[copy.name] = copy
            name = copy.name
        wanted[asked] = name
    live = _live(nodes, wanted.values())
    computed = [n for n in nodes.values() if n.name in live and n.op not in GIVEN and not is_view(n, nodes)]
    parts = _stages(computed, nodes, default_stage)
    return Lowered(nodes, tuple(_finish(parts, nodes, set(wanted.values()))), wanted)


def _live(nodes: dict[str, Node], names: Iterable[str]) -> set[str]:
    live: set[str] = set()
    todo = list(names)
    while todo:
        name = todo.pop()
        if name not in live:
            live.add(name)
            todo.extend(nodes[name].inputs)
    return live


def stored_inputs(node: Node, nodes: dict[str, Node]) -> list[str]:
    """The stored tensors that a node reads, views looked through."""
    return [resolve(i, ["0"] * len(nodes[i].shape), nodes)[0] for i in node.inputs]


def _stages(computed: list[Node], nodes: dict[str, Node], default_stage: str) -> list[tuple[str, list[Node]]]:
    """Nodes by function, in an order of execution; a stage is split only if it cannot run in one go."""
    left: dict[str, list[Node]] = {}
    for node in computed:
        left.setdefault(node.stage or default_stage, []).append(node)
    done = {n.name for n in nodes.values() if n.op in GIVEN}
    parts: list[tuple[str, list[Node]]] = []
    while left:
        runs = {stage: _runnable(members, done, nodes) for stage, members in left.items()}
        whole = [s for s, run in runs.items() if len(run) == len(left[s])]
        stage = whole[0] if whole else next(s for s, run in runs.items() if run)
        parts.append((stage, runs[stage]))
        done |= {n.name for n in runs[stage]}
        left[stage] = [n for n in left[stage] if n.name not in done]
        if not left[stage]:
            del left[stage]
    return parts


def _runnable(members: list[Node], done: set[str], nodes: dict[str, Node]) -> list[Node]:
    done, run = set(done), []
    for node in members:
        if all(i in done for i in stored_inputs(node, nodes)):
            done.add(node.name)
            run.append(node)
    return run


def _finish(parts, nodes: dict[str, Node], wanted: set[str]) -> Iterable[Stage]:
    home = {n.name: at for at, (_, members) in enumerate(parts) for n in members}
    outside = set(wanted)
    for at, (_, members) in enumerate(parts):
        for node in members:
            outside |= {i for i in stored_inputs(node, nodes) if home.get(i, at) != at}
    taken: dict[str, int] = {}
    for stage, members in parts:
        taken[stage] = taken.get(stage, 0) + 1
        name = stage if taken[stage] == 1 else f"{stage}_part{taken[stage]}"
        terms = _terms(members, nodes, outside)
        blocks = _blocks([n for n in members if n.name not in terms], nodes, terms)
        inside = {n.name: b for b, block in enumerate(blocks) for n in block.nodes}
        arrays = {n.name for n in members if n.op in ("concat", "reshape")}
        for b, block in enumerate(blocks):
            for node in block.nodes:
                arrays |= {i for i in _read_inputs(node, nodes, terms) if inside.get(i, b) != b}
        outputs = [n.name for n in members if n.name in outside]
        internal = [n.name for n in members if n.name in arrays and n.name not in outside]
        scalars = frozenset(inside) - set(outputs) - set(internal)
        read = dict.fromkeys(i for n in members for i in stored_inputs(n, nodes))
        inputs = [i for i in read if i not in inside and i not in terms and nodes[i].op != "constant"]
        yield Stage(name, blocks, tuple(inputs), tuple(outputs), tuple(internal), scalars, terms)


def _terms(members: list[Node], nodes: dict[str, Node], outside: set[str]) -> frozenset[str]:
    """Products of these nodes that nothing but one sum of the same function reads."""
    users: dict[str, list[Node]] = {}
    for node in members:
        for name in stored_inputs(node, nodes):
            users.setdefault(name, []).append(node)

    def is_summed(name: str) -> bool:
        (user, *others) = users[name]
        return not others and user.inputs == (name,) and user.attrs.get("kind") == "sum"

    return frozenset(n.name for n in members if n.op == "mul" and n.name not in outside and is_summed(n.name))


def _read_inputs(node: Node, nodes: dict[str, Node], terms: frozenset[str]) -> list[str]:
    """The stored tensors that a node reads, also those of a product computed inside its loop."""
    found = stored_inputs(node, nodes)
    return [i for name in found for i in (stored_inputs(nodes[name], nodes) if name in terms else [name])]


def _blocks(members: list[Node], nodes: dict[str, Node], terms: frozenset[str]) -> tuple[Block, ...]:
    """Loop fusion: each node joins the first loop nest of its shape that comes after everything it reads whole."""
    shapes: list[tuple[int, ...] | None] = []  # None: a block that nothing joins
    content: list[list[Node]] = []
    place: dict[str, int] = {}
    for node in members:
        alone = node.op in ("concat", "reshape")
        earliest = 0
        pointwise = _read_at_own_index(node, nodes)
        for base in _read_inputs(node, nodes, terms):
            if base in place:
                earliest = max(earliest, place[base] + int(base not in pointwise))
        at = next((b for b in range(earliest, len(shapes)) if shapes[b] == node.shape and not alone), None)
        if at is None:
            at = len(shapes)
            shapes.append(None if alone else node.shape)
            content.append([])
        content[at].append(node)
        place[node.name] = at
    return tuple(Block(tuple(c[0].shape), tuple(c)) for c in content)


def _read_at_own_index(node: Node, nodes: dict[str, Node]) -> set[str]:
    """The stored tensors of which the node's element [i, j] needs only element [i, j]."""
    reads = list(zip(node.inputs, stored_inputs(node, nodes), strict=True))
    elsewhere = {base for name, base in reads if not reads_same_element(node, name, nodes)}
    return {base for _, base in reads} - elsewhere


def reads_same_element(node: Node, name: str, nodes: dict[str, Node]) -> bool:
    """Whether the node's element [i, j] needs only element [i, j] of this input."""
    if node.op not in POINTWISE:
        return False
    index = loop_index(node.shape)
    base, at = resolve(name, broadcast(index, nodes[name].shape), nodes)
    return nodes[base].shape == node.shape and list(at) == index
