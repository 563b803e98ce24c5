"""A QONNX file as the importer sees it: producers, parameters, quantiser formats, module paths of nodes."""

from __future__ import annotations

from ast import literal_eval
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

from venom_hw.datapath.fixed import FixedPointError, FixedType, Overflow, Rounding, rounding_from_qonnx
from venom_hw.interchange.quant_nodes import KEPT_METADATA


class ImportRefused(ValueError):
    """A QONNX file that is not, or not wholly, a fixed-point graph."""


@dataclass(frozen=True)
class QuantFormat:
    """What a Quant node does: the format of its output (frac without the batch axis), rounding, overflow."""

    type: FixedType
    rounding: Rounding
    overflow: Overflow


class OnnxGraph:
    """One ONNX graph, indexed.

    Args:
        sizes: sizes of dynamic dimensions by name, such as {"length": 26}; the batch's needs none.

    Raises:
        ImportRefused: the file is not a readable ONNX model, or its sums are not proven for such a length.
    """

    def __init__(self, path: str | Path, sizes: Mapping[str, int] | None = None):
        self.path, self.sizes = Path(path), dict(sizes or {})
        try:
            self.model = onnx.load(self.path, load_external_data=False)
        except FileNotFoundError as error:
            raise ImportRefused(f"{self.path}: no such file") from error
        except Exception as error:  # protobuf's own exceptions have no common base
            raise ImportRefused(f"{self.path}: not an ONNX model ({error})") from error
        graph = self.model.graph
        self.nodes = list(graph.node)
        self.producer = {out: node for node in self.nodes for out in node.output}
        self.parameters = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
        for node in self.nodes:
            if node.op_type == "Constant":
                value = next((a.t for a in node.attribute if a.name == "value"), None)
                if value is not None:
                    self.parameters[node.output[0]] = numpy_helper.to_array(value)
        self.metadata = {p.key: p.value for p in self.model.metadata_props}
        self.inputs = {i.name: i for i in graph.input if i.name not in self.parameters}
        self.outputs = [o.name for o in graph.output]
        longest, length = self.metadata.get("venom.max_steps"), self.sizes.get("length", 1)
        if length < 1 or longest is not None and longest.isdecimal() and length > int(longest):
            raise self.refuse(None, f"length {length}: expected 1 to {longest} (venom.max_steps)")

    def input_shape(self, name: str) -> tuple[int, ...]:
        """Shape of an input without its batch axis."""
        dims = self.inputs[name].type.tensor_type.shape.dim
        shape = tuple(self.sizes.get(d.dim_param, d.dim_value) if d.dim_param else d.dim_value for d in dims[1:])
        if not dims or 0 in shape:
            raise self.refuse(None, f"input {name!r} has the shape {shape}; all but the batch axis must be fixed")
        return shape

    def attribute(self, node: onnx.NodeProto, name: str, default=None):
        for attribute in node.attribute:
            if attribute.name == name:
                value = onnx.helper.get_attribute_value(attribute)
                return value.decode() if isinstance(value, bytes) else value
        return default

    def path_of(self, node: onnx.NodeProto) -> str:
        """Module path of the quantiser or layer that made a node ('' without the exporter's name scopes)."""
        for prop in node.metadata_props:
            if prop.key == KEPT_METADATA:
                scopes = [s for s in literal_eval(prop.value)[:-1] if s]
                if not scopes:
                    return ""
                return scopes[-1].split(".act_quant")[0]
        return ""

    def constant(self, name: str) -> np.ndarray | None:
        """float64 value of a parameter, quantised if it passes a Quant; None when it depends on an input."""
        if name in self.parameters:
            return np.asarray(self.parameters[name], np.float64)
        node = self.producer.get(name)
        if node is None or node.op_type != "Quant" or self.constant(node.input[0]) is None:
            return None
        fmt = self.quant_format(node, strip_batch=False)
        return fmt.type.to_value(self._quantised(node, fmt))

    def _quantised(self, node: onnx.NodeProto, fmt: QuantFormat) -> np.ndarray:
        scaled = np.ldexp(self.constant(node.input[0]), np.asarray(fmt.type.frac).astype(np.int32))
        rounded = np.rint(scaled) if fmt.rounding is Rounding.HALF_EVEN else np.floor(scaled)
        return np.clip(rounded, *fmt.type.limits(fmt.overflow)).astype(np.int64)

    def constant_integers(self, name: str) -> tuple[np.ndarray, FixedType]:
        """Raw integers and format of a parameter.

        Raises:
            ImportRefused: a parameter that no Quant brings to a power-of-two grid of at most 32 bits.
        """
        node = self.producer.get(name)
        if node is not None and node.op_type == "Quant":
            fmt = self.quant_format(node, strip_batch=False)
            return self._quantised(node, fmt), fmt.type
        value = np.asarray(self.parameters[name], np.float64)
        frac = next((f for f in range(-31, 33) if (np.ldexp(value, f) == np.rint(np.ldexp(value, f))).all()), None)
        if frac is not None:
            integers = np.ldexp(value, frac).astype(np.int64)
            width = int(np.abs(integers).max(initial=0)).bit_length() + 1
            if width <= 32:
                return integers, FixedType(bool((integers < 0).any()), width, frac)
        raise self.refuse(
            None, f"parameter {name!r} has no quantiser and does not lie on a power-of-two grid of 32 bits; quantise it"
        )

    def quant_format(self, node: onnx.NodeProto, *, strip_batch: bool = True) -> QuantFormat:
        """The format of a Quant node.

        Raises:
            ImportRefused: scale not a power of two, zero point not 0, width or rounding mode not supported.
        """
        scale, zero, bits = (self.parameters.get(i) for i in node.input[1:4])
        if scale is None or zero is None or bits is None:
            raise self.refuse(node, "scale, zero point and bit width must be constants")
        scale = np.asarray(scale, np.float64)
        if np.any(zero):
            raise self.refuse(node, f"zero point {np.asarray(zero).flat[0]}; only 0 is supported")
        mantissa, exponent = np.frexp(scale)
        if not (mantissa == 0.5).all():
            raise self.refuse(node, f"scale {float(scale[mantissa != 0.5].flat[0])!r} is not a power of two")
        frac = 1 - exponent.astype(np.int64)
        if strip_batch and frac.ndim and frac.shape[0] == 1:
            frac = frac[0]
        if frac.size == 1:
            frac = int(frac.flat[0])
        try:
            type_ = FixedType(bool(self.attribute(node, "signed")), int(np.asarray(bits).flat[0]), frac)
            rounding = rounding_from_qonnx(self.attribute(node, "rounding_mode", "ROUND"))
        except FixedPointError as error:
            raise self.refuse(node, str(error)) from error
        narrow = bool(self.attribute(node, "narrow", 0))
        if narrow and not type_.signed:
            raise self.refuse(node, "narrow range of an unsigned format is not supported")
        return QuantFormat(type_, rounding, Overflow.SATURATE_SYMMETRIC if narrow else Overflow.SATURATE)

    def refuse(self, node: onnx.NodeProto | None, message: str) -> ImportRefused:
        where = f"{self.path.name}: " if node is None else f"{self.path.name}: node {node.name!r} (op {node.op_type}): "
        return ImportRefused(where + message)
