"""PyTorch (Brevitas) module -> QONNX file, with the checks that the exporter itself does not make.

The dynamo exporter can lose quantisers silently, writes absolute paths into the nodes' metadata, and can
leave external data behind; :func:`export_graph` refuses the first and removes the others, so that two exports
of one model are the same bytes. Facts and traps: ``spec/qonnx_step.md`` section 3.
"""

from __future__ import annotations

import contextlib
import inspect
import io
import os
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
import torch
from brevitas.export import export_qonnx
from brevitas.proxy.quant_proxy import QuantProxyFromInjector
from onnx import numpy_helper
from torch import nn

from venom_hw.atomic import write_atomically

from .quant_nodes import KEPT_METADATA, quant_name, quant_nodes
from .reshapes import settle_reshapes

OPSET = 18


class ExportError(RuntimeError):
    """The exported graph is not the module: quantisers were lost, an input is missing, or data went to
    another file.
    """


def count_quantisers(module: nn.Module) -> int:
    """Number of enabled Brevitas quantisers in a module."""
    return sum(isinstance(m, QuantProxyFromInjector) and bool(m.is_quant_enabled) for m in module.modules())


def export_graph(
    module: nn.Module,
    examples: Sequence[torch.Tensor],
    path: str | os.PathLike,
    *,
    inputs: Sequence[str],
    outputs: Sequence[str],
    metadata: Mapping[str, str],
    axes: Mapping[str, Mapping[int, str]] | None = None,
    ranges: Mapping[str, tuple[int, int]] | None = None,
) -> Path:
    """Write ``module`` as one self-contained QONNX file (float32, opset 18, dynamic first dimension
    ``batch``).

    ``examples``: one tensor an input, float32, batch of at least 2.  ``metadata``: model properties (str ->
    str).  ``axes``: further dynamic dimensions, input -> {axis: name of the dimension}, and ``ranges``: name ->
    (smallest, largest size).  Raises ExportError when the number of Quant nodes differs from the number of
    quantisers, and when torch cannot export the module at all.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    batch = torch.export.Dim("batch", min=2, max=1 << 20)
    named = {name: torch.export.Dim(name, min=low, max=high) for name, (low, high) in (ranges or {}).items()}
    dynamic = tuple(
        {0: batch} | {axis: named[dim] for axis, dim in (axes or {}).get(name, {}).items()}
        for name, _ in zip(inputs, examples, strict=True)
    )
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".export-") as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scratch = Path(folder) / "graph.onnx"
        variadic = any(
            p.kind == p.VAR_POSITIONAL for p in inspect.signature(module.forward).parameters.values()
        )
        shapes = (dynamic[0], tuple(dynamic[1:])) if variadic else dynamic
        # the exporter reports its progress on standard output
        with distinct_parameters(module) as parameters, contextlib.redirect_stdout(io.StringIO()):
            try:
                export_qonnx(
                    module,
                    args=tuple(examples),
                    export_path=str(scratch),
                    dynamo=True,
                    optimize=True,
                    opset_version=OPSET,
                    external_data=False,
                    keep_initializers_as_inputs=False,
                    input_names=list(inputs),
                    output_names=list(outputs),
                    dynamic_shapes=shapes,
                )
            except torch.onnx.OnnxExporterError as error:
                raise ExportError(f"{path.name}: torch.onnx cannot export this module: {_reason(error)}") from error
        model = onnx.load(scratch)
    restore_parameters(model, parameters, path.name)
    clean(model)
    settle_reshapes(model)
    name_tensors(model)
    expected, found = count_quantisers(module), len(quant_nodes(model))
    if expected != found:
        raise ExportError(
            f"{path.name}: {expected} quantisers in the model but {found} Quant nodes in the file"
        )
    names = [v.name for v in model.graph.input], [v.name for v in model.graph.output]
    if names != (list(inputs), list(outputs)):
        raise ExportError(
            f"{path.name}: graph has inputs {names[0]} and outputs {names[1]}, "
            f"expected {list(inputs)} and {list(outputs)}"
        )
    if any(t.data_location == onnx.TensorProto.EXTERNAL for t in model.graph.initializer):
        raise ExportError(f"{path.name}: initialisers were written to external data")
    del model.metadata_props[:]
    for key, value in metadata.items():
        entry = model.metadata_props.add()
        entry.key, entry.value = key, str(value)
    model.producer_name, model.producer_version = "venom-hw", ""
    data = model.SerializeToString(deterministic=True)
    return write_atomically(path, data)


def _reason(error: BaseException) -> str:
    """First line of the exception that an exporter's error was raised from."""
    while error.__cause__ is not None:
        error = error.__cause__
    return f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ''}"


@contextlib.contextmanager
def distinct_parameters(module: nn.Module) -> Iterator[dict[str, np.ndarray]]:
    """While open, no two parameters are equal: the exporter would merge the quantisers of equal ones.  Yields
    the true values.
    """
    true = {name: p.detach().clone() for name, p in module.named_parameters()}
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.rand(parameter.shape, generator=generator))
        try:
            yield {name: p.float().numpy() for name, p in true.items()}
        finally:
            for name, parameter in module.named_parameters():
                parameter.copy_(true[name])


def restore_parameters(model: onnx.ModelProto, parameters: Mapping[str, np.ndarray], file: str) -> None:
    """Put the true values into the graph's initialisers, which carry the parameters' names."""
    initialisers = {t.name: t for t in model.graph.initializer}
    for name, value in parameters.items():
        if name not in initialisers:
            raise ExportError(
                f"{file}: parameter '{name}' is not in the file: it is unused or was folded into a constant"
            )
        initialisers[name].CopyFrom(numpy_helper.from_array(value, name))


def name_tensors(model: onnx.ModelProto) -> None:
    """Readable names: a Quant node and its output after its module (``layers.0.q_xi``), lifted scalars
    ``constant_<n>``.

    Graph inputs and outputs keep their names.  Raises ExportError when two Quant nodes come from one module.
    """
    graph = model.graph
    fixed = {v.name for v in [*graph.input, *graph.output]}
    renamed: dict[str, str] = {}
    seen: set[str] = set()
    for node in quant_nodes(model):
        name = quant_name(node)
        if not name or name in seen:
            raise ExportError(
                f"Quant node '{node.name}' (module '{name}'): every quantiser must be used at exactly one place"
            )
        seen.add(name)
        node.name = name
        if node.output[0] not in fixed:
            renamed[node.output[0]] = name
    lifted = [t.name for t in graph.initializer if "lifted_tensor" in t.name]
    renamed |= {name: f"constant_{k}" for k, name in enumerate(lifted)}
    for node in graph.node:
        for names in (node.input, node.output):
            for k, name in enumerate(names):
                names[k] = renamed.get(name, name)
    for value in [*graph.value_info, *graph.initializer]:
        value.name = renamed.get(value.name, value.name)


def clean(model: onnx.ModelProto) -> None:
    """Remove local paths, stack traces and exporter text; of the nodes' metadata only the module path
    survives.
    """
    for node in model.graph.node:
        kept = [(p.key, p.value) for p in node.metadata_props if p.key == KEPT_METADATA]
        del node.metadata_props[:]
        for key, value in kept:
            entry = node.metadata_props.add()
            entry.key, entry.value = key, value
        node.doc_string = ""
    graph = model.graph
    del graph.metadata_props[:]
    graph.doc_string = model.doc_string = ""
    for value in [*graph.input, *graph.output, *graph.value_info]:
        del value.metadata_props[:]
    for tensor in graph.initializer:
        del tensor.metadata_props[:]
