"""Stage functions of one graph as C++ text: parameters, pragmas, loop nests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from venom_hw.codegen.cpp_loops import INDENT, indented
from venom_hw.codegen.cpp_ops import Printer
from venom_hw.codegen.cpp_types import Rom, Tensor
from venom_hw.codegen.lowering import GIVEN, Lowered, Stage, is_view, loop_index, lower
from venom_hw.codegen.names import Names
from venom_hw.codegen.pragmas import pragma
from venom_hw.datapath.graph import Graph

SMALL_TABLE = 64
"""Entries up to which a table is kept in LUTs."""


@dataclass(frozen=True)
class Function:
    """One C++ function."""

    name: str
    title: str
    parameters: tuple[str, ...]
    body: str

    @property
    def signature(self) -> str:
        text = f"void {self.name}({', '.join(self.parameters)})"
        if len(text) <= 110:
            return text
        return f"void {self.name}(\n{INDENT}" + f",\n{INDENT}".join(self.parameters) + ")"


@dataclass(frozen=True)
class GraphCode:
    """A rendered graph.

    Attributes:
        stages: its functions, in order.
        whole: the function that calls them all; parameters: what it reads (inputs, states), then `roots`.
        tensors: every tensor with a typedef, by node name.
        tables, weights: ROMs.
        roots: asked name -> tensor that holds the answer.
    """

    stages: tuple[Function, ...]
    whole: Function
    given: tuple[str, ...]
    tensors: dict[str, Tensor]
    tables: tuple[Rom, ...]
    weights: tuple[Rom, ...]
    roots: dict[str, Tensor]
    lowered: Lowered

    @property
    def functions(self) -> tuple[Function, ...]:
        return (*self.stages, self.whole)


def render_graph(
    graph: Graph,
    roots: dict[str, str],
    *,
    prefix: str,
    names: Names,
    ident: Callable[[str], str],
    interval: int,
    given: Sequence[str],
) -> GraphCode:
    """The functions of a graph.

    Args:
        roots: what to compute, asked name -> node.
        prefix: of function names.
        names: identifiers in use; ident: identifier of a node of this graph.
        interval: clocks between two calls; 1 makes each stage a pipeline of its own, more shares its operators.
        given: inputs and states that the whole function takes, in order.
    """
    lowered = lower(graph, roots, prefix)
    printer = Printer(graph, lowered.nodes, ident, names, unroll=interval == 1)
    stages = [_stage(stage, printer, names(f"{prefix} {stage.name}"), interval) for stage in lowered.stages]
    outs = list(dict.fromkeys(lowered.roots.values()))
    between = [n for stage in lowered.stages for n in stage.outputs if n not in outs]
    body = [pragma("INLINE")]
    body += [f"{INDENT}{printer.tensor(n).declare()};" for n in between]
    arrays = [printer.tensor(n).ident for n in between if printer.tensor(n).shape]
    body += [pragma("ARRAY_PARTITION", variable=a, type="complete", dim=0) for a in arrays]
    for stage, function in zip(lowered.stages, stages, strict=True):
        call = ", ".join(printer.tensor(n).ident for n in (*stage.inputs, *stage.outputs))
        body.append(f"{INDENT}{function.name}({call});")
    parameters = [printer.tensor(n).parameter(written=False) for n in given]
    parameters += [printer.tensor(n).parameter(written=True) for n in outs]
    whole = Function(f"{prefix}_graph", "All stages in order.", tuple(parameters), "\n".join(body))
    return GraphCode(
        tuple(stages),
        whole,
        tuple(given),
        _in_order(printer),
        tuple(printer.tables),
        tuple(printer.weights),
        {asked: printer.tensor(name) for asked, name in lowered.roots.items()},
        lowered,
    )


def _in_order(printer: Printer) -> dict[str, Tensor]:
    """Tensors that have a typedef, in order of the graph."""
    return {
        n.name: printer.tensor(n.name)
        for n in printer.nodes.values()
        if n.name in printer.tensors and not (is_view(n, printer.nodes) and n.op not in GIVEN)
    }


def _stage(stage: Stage, printer: Printer, name: str, interval: int) -> Function:
    tables, weights = len(printer.tables), len(printer.weights)
    printer.terms = stage.terms
    code: list[str] = []
    for block in stage.blocks:
        if block.nodes[0].op in ("concat", "reshape"):
            code += printer.joined(block.nodes[0])
            continue
        index = loop_index(block.shape)
        inner = [line for node in block.nodes for line in printer.statements(node, index, stage.scalars)]
        code += printer.nest(printer.tensor(block.nodes[-1].name).ident, block.shape, index, inner)
    reads = [printer.tensor(n) for n in stage.inputs]
    writes = [printer.tensor(n) for n in stage.outputs]
    inside = [printer.tensor(n) for n in stage.internal]

    head = (
        [pragma("INLINE", "off"), pragma("PIPELINE", II=1, style="flp")]
        if interval == 1
        else [pragma("INLINE")]
    )
    text = "\n".join(code)
    arrays = [t.ident for t in (*reads, *writes) if t.shape]
    head += [pragma("ARRAY_PARTITION", variable=a, type="complete", dim=0) for a in arrays]
    head += [f"{INDENT}{t.declare()};" for t in inside]
    head += [pragma("ARRAY_PARTITION", variable=t.ident, type="complete", dim=0) for t in inside if t.shape]
    for rom in printer.tables[tables:]:
        head += table_pragmas(rom, interval, _lookups(rom, stage, printer))
    if interval == 1:
        used = [rom for rom in printer.weights[weights:] if rom.ident in text]
        head += [pragma("ARRAY_PARTITION", variable=rom.ident, type="complete", dim=0) for rom in used]
    body = "\n".join([*head, *indented(code)])
    parameters = [t.parameter(written=False) for t in reads] + [t.parameter(written=True) for t in writes]
    title = f"{stage.name.replace('_', ' ')}: " + ", ".join(t.ident for t in writes)
    return Function(name, title, tuple(parameters), body)


def _lookups(rom: Rom, stage: Stage, printer: Printer) -> int:
    """Reads of one ROM in one pass."""
    for block in stage.blocks:
        for node in block.nodes:
            if node.op == "table" and rom.ident.startswith(printer.tensor(node.name).ident):
                return int(np.prod(node.shape, dtype=int)) // int(np.prod(rom.shape[:-1], dtype=int))
    return 1


def table_pragmas(rom: Rom, interval: int, lookups: int) -> list[str]:
    """Storage of a table: one ROM an element, with as many ports as its lookups in `interval` clocks need."""
    ports = -(-lookups // interval)
    kind = {1: "rom_1p", 2: "rom_2p"}.get(ports, "rom_np")
    place = {"impl": "lutram"} if rom.shape[-1] <= SMALL_TABLE else {"impl": "bram", "latency": 2}
    split = [
        pragma("ARRAY_PARTITION", variable=rom.ident, type="complete", dim=axis + 1)
        for axis in range(len(rom.shape) - 1)
    ]
    return [*split, pragma("BIND_STORAGE", variable=rom.ident, type=kind, **place)]
