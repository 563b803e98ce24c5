"""A feed-forward graph cut at its constant matrices, for a unit that works on one element at a time.

Between two matrices lies a **stream**: every element of a vector goes through the same operations, so one scalar
graph serves them all, one after the other; constants that differ by element become tables over the phase of the
frame, in which each element has its own clock. Behind the last matrix lies the **tail**, computed at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from venom_hw.codegen.errors import CodegenError
from venom_hw.datapath.fixed import FixedType, smallest_type
from venom_hw.datapath.graph import Graph, GraphBuilder, Node
from venom_hw.datapath.ops import full_frac

PHASE = "frame_phase"
"""Input of a stream's scalar graph: the clock of the frame in which the element enters."""

ELEMENTWISE = ("add", "sub", "mul", "maximum", "table", "requantise", "normalise", "shift", "reshape")
"""Operations of a stream."""


@dataclass(frozen=True)
class MatrixVector:
    """One constant matrix: weights (rows, columns) of one node, its operand, and the type of the products' sums.

    Attributes:
        weights: integers, each row at its own binary point.
        fracs: fraction bits of each row's sum (rows,).
        type: of a sum, one frac left out: the integers only.
    """

    name: str
    operand: str
    operand_type: FixedType
    weights: np.ndarray
    weight_type: FixedType
    fracs: np.ndarray
    type: FixedType
    lo: np.ndarray
    hi: np.ndarray
    stage: str

    @property
    def rows(self) -> int:
        return int(self.weights.shape[0])

    @property
    def columns(self) -> int:
        return int(self.weights.shape[1])


@dataclass(frozen=True)
class Stream:
    """Operations between two matrices (or in front of the first), the same for each of `length` elements.

    Attributes:
        name: of the part of the network, or of the result.
        source: the matrix whose sums arrive, None in front of the first.
        inputs: graph inputs that it reads; vectors give one element a clock, scalars the same value each clock.
        nodes: its operations, constants among them, in order.
        result: node whose elements the next matrix takes.
    """

    name: str
    length: int
    source: MatrixVector | None
    inputs: tuple[Node, ...]
    nodes: tuple[Node, ...]
    result: Node

    @property
    def vectors(self) -> tuple[Node, ...]:
        """The graph inputs of which each element goes its own way."""
        return tuple(node for node in self.inputs if _size(node) > 1)


@dataclass(frozen=True)
class Cut:
    """streams[i] feeds products[i], products[i] feeds streams[i + 1], and the last one the tail."""

    graph: Graph
    streams: tuple[Stream, ...]
    products: tuple[MatrixVector, ...]
    tail: Graph

    @property
    def tail_inputs(self) -> tuple[Node, ...]:
        """Graph inputs that the tail reads, in the graph's order."""
        return tuple(node for node in self.graph.inputs if node.name in self.tail.by_name)


def cut(graph: Graph) -> Cut:
    """The graph as streams, matrices and tail.

    Raises:
        CodegenError: it has states or no matrix, matrices side by side, results used beyond the next matrix, or in a
            stream an operation that mixes the elements of a vector or treats them differently.
    """
    if graph.states:
        raise CodegenError(f"graph {graph.name!r} has states; a serial unit is for feed-forward graphs")
    level = _levels(graph)
    last = max(level.values(), default=0)
    if not last:
        raise CodegenError(f"graph {graph.name!r} has no constant matrix to work through; render it in parallel")
    products = []
    for i in range(1, last + 1):
        here = [n for n in graph.nodes if n.op == "constmatmul" and level.get(n.name) == i]
        if len(here) != 1:
            raise CodegenError(f"node {here[1].name!r}: beside {here[0].name!r}; a serial unit takes one after another")
        products.append(_matrix(graph, here[0]))
    parts: list[list[Node]] = [[] for _ in range(last + 1)]
    for node in graph.nodes:
        if node.name in level and node.op not in ("constmatmul", "input", "constant"):
            parts[level[node.name]].append(node)
    for i, part in enumerate(parts):
        _local(graph, level, part, i)
    sources = [None, *products]
    streams = [_stream(graph, sources[i], parts[i], product) for i, product in enumerate(products)]
    return Cut(graph, tuple(streams), tuple(products), _tail(graph, parts[last], products[-1]))


def _size(node: Node) -> int:
    return int(np.prod(node.shape, dtype=np.int64))


def _levels(graph: Graph) -> dict[str, int]:
    """Matrices on the way to each node that an output needs; inputs and constants stand at 0."""
    needed = {node for _, node in graph.outputs}
    for node in reversed(graph.nodes):
        if node.name in needed:
            needed.update(node.inputs)
    level: dict[str, int] = {}
    for node in graph.nodes:
        if node.name in needed:
            above = max((level[i] for i in node.inputs), default=0)
            level[node.name] = above + (node.op == "constmatmul")
    return level


def _matrix(graph: Graph, node: Node) -> MatrixVector:
    facts, x = graph.facts[node.name], graph.facts[node.inputs[0]]
    if len(x.shape) != 1 or not x.type.is_uniform:
        raise CodegenError(f"node {node.name!r}: a serial matrix takes a vector of one type, not {x.shape} {x.type}")
    weights = graph.constants[node.attrs["weights"]]
    return MatrixVector(
        node.name,
        node.inputs[0],
        x.type,
        weights,
        smallest_type(weights.min(), weights.max(), 0),
        full_frac(facts),
        FixedType(facts.type.signed, facts.type.width, 0),
        facts.lo,
        facts.hi,
        node.stage,
    )


def _local(graph: Graph, level: Mapping[str, int], part: Sequence[Node], here: int) -> None:
    """A part reads the matrix in front of it, graph inputs and constants, and nothing from further back."""
    for node in part:
        for name in node.inputs:
            if graph[name].op not in ("input", "constant") and level[name] != here:
                raise CodegenError(f"node {node.name!r}: takes {name!r} past a matrix; render the graph in parallel")


def _with_constants(graph: Graph, part: Sequence[Node]) -> tuple[Node, ...]:
    used = {name for node in part for name in node.inputs if graph[name].op == "constant"}
    names = used | {node.name for node in part}
    return tuple(node for node in graph.nodes if node.name in names)


def _stream(graph: Graph, source: MatrixVector | None, part: Sequence[Node], product: MatrixVector) -> Stream:
    result = graph[product.operand]
    stage = next((node.stage for node in part if node.stage), result.name)
    used = {name for node in part for name in node.inputs} | {result.name}
    inputs = tuple(node for node in graph.inputs if node.name in used)
    stream = Stream(stage, product.columns, source, inputs, _with_constants(graph, part), result)
    for node in stream.nodes:
        if node.op not in ("constant", *ELEMENTWISE):
            raise CodegenError(f"node {node.name!r} ({node.op}): mixes elements; a serial unit takes them one by one")
    for node in (*inputs, *stream.nodes):
        if node.op != "input" and node.op != "constant" and not node.type.is_uniform and _types_matter(graph, node):
            raise CodegenError(f"node {node.name!r} ({node.op}): elements of {node.type} differ in their binary point")
        if node.shape not in ((), (1,), (stream.length,)):
            raise CodegenError(f"node {node.name!r}: shape {node.shape} in a stream of {stream.length} elements")
    if source is None and not stream.vectors and stream.length > 1 and result.shape != (stream.length,):
        raise CodegenError(f"node {result.name!r}: {result.shape} instead of {stream.length} elements")
    if source is not None and source.rows != stream.length:
        raise CodegenError(f"node {result.name!r}: {stream.length} elements from {source.rows} rows of {source.name!r}")
    if source is not None and stream.vectors:
        raise CodegenError(f"input {stream.vectors[0].name!r}: a vector read after a matrix has no place to wait in")
    return stream


def _types_matter(graph: Graph, node: Node) -> bool:
    """Whether a node's integers are more than exact arithmetic on values: then every element must be alike."""
    return node.op in ("requantise", "table", "normalise")


def element_graph(graph: Graph, stream: Stream, phases: Sequence[int], period: int) -> Graph:
    """The scalar graph of a stream: inputs by name (one element), the matrix's sum, and `PHASE` where it is needed.

    Args:
        phases: clock of the frame in which each element enters.
        period: clocks of a frame.

    Raises:
        CodegenError: a code or sum that must have exactly the graph's type has another.
    """
    return _Elements(graph, stream, phases, period).build()


class _Elements:
    """Builds the scalar graph; integers stand at one binary point a tensor, the finest of its elements."""

    def __init__(self, graph: Graph, stream: Stream, phases: Sequence[int], period: int):
        self.graph, self.stream, self.phases = graph, stream, list(phases)
        self.codes = 1 << max(1, (period - 1).bit_length())
        self.b = GraphBuilder(f"{graph.name}_{stream.name}")
        self.phase = self.b.input(PHASE, (1,), FixedType(False, (self.codes - 1).bit_length(), 0))

    def build(self) -> Graph:
        b, stream = self.b, self.stream
        b.stage = stream.name
        if stream.source is not None:
            self._aligned(stream.source.name, stream.source)
        for node in stream.inputs:
            if not node.type.is_uniform:
                raise CodegenError(f"input {node.name!r}: elements of {node.type} differ in their binary point")
            b.input(node.name, (1,), node.type)
        for node in stream.nodes:
            self._node(node)
        built = b.build({stream.result.name: stream.result.name})
        if not built.users(PHASE):
            nodes = tuple(node for node in built.nodes if node.name != PHASE)
            built = Graph(built.name, nodes, built.outputs, built.states, built.max_steps, built.constants)
        return built

    def _aligned(self, name: str, source: MatrixVector) -> None:
        """A row's sum at its own binary point, shifted to that of the finest row."""
        top = int(source.fracs.max())
        type_ = FixedType(source.type.signed, source.type.width, top)
        shift = (top - source.fracs).astype(np.int64)
        if not shift.any():
            self.b.input(name, (1,), type_)
            return
        raw = self.b.input(f"{name}_row", (1,), type_)
        most = np.maximum(np.abs(source.lo), np.abs(source.hi))
        reach = [int(m) << int(s) for m, s in zip(most, shift, strict=True)]
        amount = self._by_phase(shift, smallest_type(0, shift.max(), 0), f"{name}_align")
        self.b.shift(raw, amount, limit=max(reach), name=name)

    def _by_phase(self, values: np.ndarray, type_: FixedType, name: str) -> str:
        """A constant of each element, looked up by the clock in which the element enters."""
        entries = np.full(self.codes, int(values.flat[0]), np.int64)
        entries[self.phases] = values
        return self.b.table(self.phase, entries, type_, name=name)

    def _node(self, node: Node) -> None:
        b = self.b
        b.stage = node.stage
        if node.op == "constant":
            self._constant(node)
        elif node.op == "reshape":
            b.reshape(node.inputs[0], (1,), name=node.name)
        elif node.op == "table":
            self._same_type(node, node.inputs[0])
            entries = self.graph.constants[node.attrs["entries"]]
            if entries[0].size > 1:
                raise CodegenError(f"node {node.name!r}: a table of its own for each element")
            b.table(node.inputs[0], entries.reshape(-1), node.type, name=node.name)
        else:
            if node.op == "normalise" or (node.op == "shift" and "limit" in node.attrs):
                self._same_type(node, node.inputs[0])
            b.readd(node)

    def _constant(self, node: Node) -> None:
        values = self.graph.constants[node.attrs["key"]]
        facts = self.graph.facts[node.name]
        shift = node.type.max_frac - full_frac(facts)
        values = np.asarray(values << shift, np.int64)
        type_ = smallest_type(values.min(), values.max(), node.type.max_frac)
        if values.min() == values.max():
            self.b.constant(values.reshape(-1)[:1], type_, name=node.name)
        else:
            self._by_phase(values, type_, node.name)

    def _same_type(self, node: Node, operand: str) -> None:
        here, there = self.b.facts[operand].type, self.graph[operand].type
        if (here.signed, here.width, here.frac) != (there.signed, there.width, there.frac):
            raise CodegenError(f"node {node.name!r} ({node.op}): its operand {operand!r} became {here} from {there}")


def _tail(graph: Graph, part: Sequence[Node], source: MatrixVector) -> Graph:
    b = GraphBuilder(f"{graph.name}_tail")
    product = graph[source.name]
    nodes = _with_constants(graph, part)
    used = {name for node in nodes for name in node.inputs}
    for node in graph.inputs:
        if node.name in used or node.name in dict(graph.outputs).values():
            b.input(node.name, node.shape, node.type)
    b.input(product.name, product.shape, product.type)
    b.constants.update({key: graph.constants[key] for node in nodes for key in _keys(node)})
    for node in nodes:
        b.readd(node)
    return b.build(dict(graph.outputs))


def _keys(node: Node) -> tuple[str, ...]:
    return tuple(str(node.attrs[k]) for k in ("key", "entries", "weights") if k in node.attrs)
