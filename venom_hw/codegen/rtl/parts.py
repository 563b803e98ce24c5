"""What an engine is made of: the graphs with their calibration as inputs, the pipeline of the step, the head."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

from venom_hw.codegen.errors import CodegenError
from venom_hw.codegen.hls_project import OUTPUTS
from venom_hw.codegen.rtl.emit import render_pipeline
from venom_hw.codegen.rtl.head import DEFAULT_INTERVAL, HeadUnit, render_head
from venom_hw.codegen.rtl.parallel_head import parallel_head
from venom_hw.codegen.rtl.pipeline import Pipeline
from venom_hw.codegen.rtl.strategies import Strategies
from venom_hw.datapath.graph import Graph
from venom_hw.datapath.model import graph_to_dict
from venom_hw.datapath.ops import DatapathError
from venom_hw.datapath.passes.loadable import Loadable, loadable_head, loadable_step

KEPT_PIPELINES = 4
_pipelines: dict[str, Pipeline] = {}
"""The last few pipelines of this process: engines that differ in their channels share the step, whose scheduling takes
most of the time."""


def pipeline_of(graph: Graph, name: str, strategies: Strategies, interval: int = 1) -> Pipeline:
    """The rendered pipeline of a graph; made once."""
    key = json.dumps([graph_to_dict(graph), name, repr(strategies), interval])
    made = _pipelines.pop(key, None) or render_pipeline(
        graph, name=name, strategies=strategies, interval=interval
    )
    _pipelines[key] = made
    while len(_pipelines) > KEPT_PIPELINES:
        del _pipelines[next(iter(_pipelines))]
    return made


def head_unit(
    graph: Graph, kind: str, interval: int | None, window: int, bits: int, banner: str, strategies: Strategies
) -> tuple[str, HeadUnit, str | None]:
    """The kind of the head, the head, and why it is parallel where it was to be serial.

    A head that nobody set an interval for is parallel where it cannot be serial.
    """
    reason = None
    if kind == "serial":
        wanted = default_head_interval(window) if interval is None else interval
        try:
            unit = render_head(
                graph, interval=wanted, channel_bits=bits, strategies=strategies, banner=banner
            )
            return kind, unit, None
        except CodegenError as error:
            if interval is not None:
                raise
            reason = str(error)
    pipeline = pipeline_of(graph, "head_pipeline", strategies)
    return "parallel", parallel_head(graph, pipeline, channel_bits=bits, banner=banner), reason


def default_head_interval(window: int) -> int:
    """Clocks between windows: those of the shortest supported one, fewer where a whole window takes fewer."""
    return min(DEFAULT_INTERVAL, 1 << max(0, window.bit_length() - 1))


def with_calibration(datapath, calibration: str) -> tuple[Graph, Sequence[Loadable], Graph, Sequence[Loadable]]:
    """Both graphs, their calibration as inputs where it is wanted and there is some."""
    step, head = datapath.step, datapath.head
    if calibration == "constant":
        return step, (), head, ()
    try:
        step, step_loaded = loadable_step(step)
        head, head_loaded = loadable_head(head)
    except DatapathError as error:
        if calibration == "auto":
            return datapath.step, (), datapath.head, ()
        raise CodegenError(f"calibration cannot be loadable: {error}") from None
    if calibration == "loadable" and not (step_loaded or head_loaded):
        raise CodegenError("calibration = 'loadable': the step has no affine in front, the energy no gain and offset")
    return step, step_loaded, head, head_loaded


def needed(step: Graph, head: Graph) -> tuple[Graph, Graph]:
    """The graphs with the outputs that the engine uses: what nobody reads is not built."""
    states = {s for s, _ in step.states}
    read = {n.name for n in head.inputs if n.name not in states}
    step = replace(step, outputs=tuple((o, n) for o, n in step.outputs if o in read))
    head = replace(head, outputs=tuple((o, n) for o, n in head.outputs if o in OUTPUTS))
    return _pruned(step), _pruned(head)


def _pruned(graph: Graph) -> Graph:
    """Without nodes that no output and no state needs; inputs and states stay."""
    used = {n for _, n in (*graph.outputs, *graph.states)}
    for node in reversed(graph.nodes):
        if node.name in used:
            used.update(node.inputs)
    kept = tuple(n for n in graph.nodes if n.name in used or n.op in ("input", "state"))
    return replace(graph, nodes=kept)
