"""Exact execution of a QONNX file: float64 through ONNX's ReferenceEvaluator with a Quant op of our own.

Between two quantisers every value is a multiple of a power of two below 53 bits, so float64 is exact and the
result is integers; qonnx's own float32 executor (:func:`run_qonnx`) is a second judge wherever the values fit
in 24 bits.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun

from .quant_nodes import quant_name, quant_nodes

_ROUND = {"ROUND": np.rint, "HALF_EVEN": np.rint, "FLOOR": np.floor}


class ExecuteError(ValueError):
    """A file cannot be executed exactly: an unknown rounding mode, a missing input, more steps than its sums hold."""


class Quant(OpRun):
    """qonnx.custom_op.general.Quant in float64: scale, round (ROUND/HALF_EVEN or FLOOR), saturate."""

    op_domain = "qonnx.custom_op.general"

    def _run(self, x, scale, zero_point, bits, signed=None, narrow=None, rounding_mode=None):  # noqa: ANN001, ANN202
        width, scale = int(bits), np.asarray(scale, np.float64)
        low = -(1 << (width - 1)) + int(narrow) if signed else 0
        high = (1 << (width - 1)) - 1 if signed else (1 << width) - 1 - int(narrow)
        if rounding_mode.upper() not in _ROUND:
            raise ExecuteError(f"Quant with rounding_mode {rounding_mode!r}; supported: {', '.join(_ROUND)}")
        scaled = np.clip(np.asarray(x, np.float64) / scale + zero_point, low, high)
        return ((_ROUND[rounding_mode.upper()](scaled) - zero_point) * scale,)


def widen(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy with every float32 tensor, cast and constant in float64."""
    model = onnx.ModelProto.FromString(model.SerializeToString())

    def double(tensor: onnx.TensorProto) -> None:
        tensor.CopyFrom(
            numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float64), tensor.name)
        )

    for tensor in model.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT:
            double(tensor)
    for value in [*model.graph.input, *model.graph.output, *model.graph.value_info]:
        if value.type.tensor_type.elem_type == TensorProto.FLOAT:
            value.type.tensor_type.elem_type = TensorProto.DOUBLE
    for node in model.graph.node:
        for attribute in node.attribute:
            if node.op_type == "Cast" and attribute.name == "to" and attribute.i == TensorProto.FLOAT:
                attribute.i = TensorProto.DOUBLE
            if attribute.HasField("t") and attribute.t.data_type == TensorProto.FLOAT:
                double(attribute.t)
    return model


class Executor:
    """A QONNX file ready to run in float64 on any batch size."""

    def __init__(self, model: onnx.ModelProto | str | os.PathLike) -> None:
        self.model = model if isinstance(model, onnx.ModelProto) else onnx.load(model)
        self.inputs = [v.name for v in self.model.graph.input]
        self.outputs = [v.name for v in self.model.graph.output]
        self.metadata = {p.key: p.value for p in self.model.metadata_props}
        self.quants = {n.output[0]: quant_name(n) for n in quant_nodes(self.model)}
        self._evaluator = ReferenceEvaluator(widen(self.model), new_ops=[Quant])

    @property
    def states(self) -> dict[str, str]:
        """State input -> state output, from the metadata, in the order of the inputs."""
        pairs = {
            k.removeprefix("venom.state."): v
            for k, v in self.metadata.items()
            if k.startswith("venom.state.")
        }
        return {name: pairs[name] for name in self.inputs if name in pairs}

    @property
    def max_steps(self) -> int | None:
        """Most steps (samples of a window, detections of a light curve) that the sums are proven for; None: unsaid."""
        return int(self.metadata["venom.max_steps"]) if "venom.max_steps" in self.metadata else None

    def _check_lengths(self, feeds: Mapping[str, np.ndarray]) -> None:
        """Raise ExecuteError where a dimension ``length`` is longer than ``venom.max_steps``."""
        for value in self.model.graph.input if self.max_steps is not None else ():
            for axis, dim in enumerate(value.type.tensor_type.shape.dim):
                shape = feeds[value.name].shape
                if dim.dim_param == "length" and axis < len(shape) and shape[axis] > self.max_steps:
                    raise ExecuteError(
                        f"input {value.name}: length {shape[axis]}; the sums of this file are proven for "
                        f"{self.max_steps} (venom.max_steps)"
                    )

    def run(self, feeds: Mapping[str, np.ndarray], intermediate: bool = False) -> dict[str, np.ndarray]:
        """Outputs by name (all tensors with ``intermediate``).  Feeds are widened to float64."""
        missing = [name for name in self.inputs if name not in feeds]
        if missing:
            raise ExecuteError(f"no value for the graph's input(s) {', '.join(missing)}")
        feeds = {name: np.asarray(feeds[name], dtype=np.float64) for name in self.inputs}
        self._check_lengths(feeds)
        if intermediate:
            return self._evaluator.run(None, feeds, intermediate=True)
        return dict(zip(self.outputs, self._evaluator.run(None, feeds), strict=True))

    def initial_state(self, batch: int) -> dict[str, np.ndarray]:
        """Cleared states of a window's start."""
        shapes = {
            v.name: [d.dim_value for d in v.type.tensor_type.shape.dim][1:] for v in self.model.graph.input
        }
        return {name: np.zeros((batch, *shapes[name])) for name in self.states}


def run_window(step: Executor, head: Executor, counts: np.ndarray) -> dict[str, np.ndarray]:
    """Counts (B, T, 2) -> the head's outputs after T steps from cleared states.

    Raises ExecuteError for more steps than ``venom.max_steps``.
    """
    if step.max_steps is not None and counts.shape[1] > step.max_steps:
        raise ExecuteError(
            f"a window of {counts.shape[1]} samples; the sums of this file are proven for {step.max_steps} "
            "(venom.max_steps)"
        )
    state = step.initial_state(len(counts))
    for t in range(counts.shape[1]):
        out = step.run({"sample": counts[:, t], **state})
        state = {name: out[target] for name, target in step.states.items()}
    return head.run({name: state[name] for name in head.inputs})


def run_qonnx(
    model: onnx.ModelProto | str | os.PathLike, feeds: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """qonnx's own executor (float32, node by node, slow): outputs by name, for the batch size of ``feeds``."""
    from qonnx.core.modelwrapper import ModelWrapper
    from qonnx.core.onnx_exec import execute_onnx
    from qonnx.transformation.infer_shapes import InferShapes

    model = onnx.ModelProto.FromString(
        (model if isinstance(model, onnx.ModelProto) else onnx.load(model)).SerializeToString()
    )
    batch = len(next(iter(feeds.values())))
    for value in [*model.graph.input, *model.graph.output]:
        value.type.tensor_type.shape.dim[0].dim_value = batch
    del model.graph.value_info[:]
    wrapper = ModelWrapper(model).transform(InferShapes())
    return execute_onnx(wrapper, {k: np.asarray(v, dtype=np.float32) for k, v in feeds.items()})
