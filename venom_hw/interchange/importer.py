"""QONNX files -> datapath: a step graph and a head graph, from the files alone.

Every live Quant becomes a `requantise`, or ends a `table` (`tables`); what lies between is lowered node by node to the
datapath's exact operations. An operation that is not in the table below is refused, by name.

==================================== ==========================================================================
ONNX                                 datapath
==================================== ==========================================================================
Quant                                requantise, table, or a quantised parameter
Gemm (transB=1), MatMul by constant  constmatmul, add (the constant may pass a Transpose); of two variables: matmul
Add, Sub, Mul, Max, Relu, Pow 2      add, sub, mul, maximum; Add of a state to its own next value: accumulate
ReduceSum, ReduceMean (of 2**k)      reduce, and a multiplication by 2**-k
Unsqueeze, Squeeze, Reshape, Flatten reshape
Slice, Split, Concat                 slice, concat
Transpose, Expand, Pad, Gather       of sequences of a fixed length (`sequence`): slice, reshape, concat
GreaterOrEqual, Cast, ReduceSum,     normalise and shift: x * 2**-floor(log2(den)), by comparison of den with all
Gather, Mul                          powers of two and a gather of 2**-k
==================================== ==========================================================================
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from venom_hw.datapath.fixed import FixedPointError, FixedType
from venom_hw.datapath.graph import Graph
from venom_hw.datapath.model import Datapath
from venom_hw.datapath.ops import DatapathError
from venom_hw.interchange import operations, sequence  # noqa: F401 - register the operations with the lowering
from venom_hw.interchange.lowering import Lowering, declared_type
from venom_hw.interchange.onnx_graph import ImportRefused, OnnxGraph


def import_venom(step: str | Path, head: str | Path) -> Datapath:
    """The datapath of a step file and a head file.

    Raises:
        ImportRefused: a file is missing or holds something that the datapath cannot; names the node, its op and what
            is supported.
    """
    step_file, head_file = OnnxGraph(step), OnnxGraph(head)
    for key in ("venom.model", "venom.max_steps", "venom.window"):
        ours, theirs = (f.metadata.get(key) for f in (step_file, head_file))
        if ours != theirs:
            raise ImportRefused(
                f"{step_file.path.name} and {head_file.path.name} are not of one model: "
                f"{key} is {ours!r} and {theirs!r}"
            )
    step_graph = import_graph(step_file)
    states = {state: step_graph[state] for state, _ in step_graph.states}
    shared = {name: states[name].type for name in head_file.inputs if name in states}
    head_graph = import_graph(head_file, shared)
    for name, type_ in shared.items():
        stated = declared_type(head_file, name)
        if head_graph[name].shape != states[name].shape or stated is not None and stated.frac != type_.frac:
            raise ImportRefused(
                f"{head_file.path.name}: input {name!r} {head_graph[name].shape} {stated} is not the state of "
                f"{step_file.path.name}, {states[name].shape} {type_}"
            )
    meta = {"model": step_file.metadata.get("venom.model", Path(step).parent.name), "max_steps": step_graph.max_steps}
    for key, value in step_file.metadata.items():
        if key == "venom.window":
            meta["window"] = json.loads(value)
    return Datapath(step_graph, head_graph, meta)


def import_graph(file: OnnxGraph, input_types: Mapping[str, FixedType] | None = None) -> Graph:
    """One file. `input_types` overrides the formats of inputs that the file's metadata states."""
    try:
        return Lowering(file, dict(input_types or {})).run()
    except (DatapathError, FixedPointError) as error:
        raise ImportRefused(f"{file.path.name}: {error}") from error
