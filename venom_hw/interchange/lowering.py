"""Lowering of one QONNX file, tensor by tensor, to a datapath graph; the operations themselves are in `operations`."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

import numpy as np
import onnx

from venom_hw.datapath.fixed import FixedType
from venom_hw.datapath.graph import Graph, GraphBuilder
from venom_hw.interchange.onnx_graph import OnnxGraph
from venom_hw.interchange.stages import FALLBACK, stage_of, tensor_name

STATE_PREFIX = "venom.state."
Handler = Callable[["Lowering", onnx.NodeProto, str], str]
HANDLERS: dict[str, Handler] = {}


def lowers(operation: str) -> Callable[[Handler], Handler]:
    """Registers the function that lowers an ONNX operation."""

    def register(handler: Handler) -> Handler:
        HANDLERS[operation] = handler
        return handler

    return register


def supported() -> str:
    """The operations that can be lowered, as a sentence."""
    return (
        f"{', '.join(HANDLERS)} (Pow with exponent 2), a Mul by the normalise pattern (GreaterOrEqual, Cast, "
        "ReduceSum, Gather), and elementwise functions of one quantised tensor that end in a Quant"
    )


def declared_type(file: OnnxGraph, name: str) -> FixedType | None:
    """The format that a file's metadata states for an input; None when it states none."""
    text = file.metadata.get(f"venom.input.{name}")
    if text is None:
        return None
    try:
        data = json.loads(text)
        frac = np.asarray(data["frac"])
        frac = frac[0] if frac.ndim > len(file.input_shape(name)) else frac  # the batch axis
        return FixedType(bool(data["signed"]), int(data["bits"]), frac)
    except (KeyError, TypeError, ValueError) as error:
        raise file.refuse(None, f"metadata venom.input.{name} {text!r} is no format ({error})") from error


class Lowering:
    """One file on its way to a graph: what is made already, and the names of what comes."""

    def __init__(self, file: OnnxGraph, input_types: dict[str, FixedType]):
        self.file, self.input_types = file, input_types
        try:
            max_steps = int(file.metadata.get("venom.max_steps", 1))
        except ValueError as error:
            raise file.refuse(None, f"metadata venom.max_steps {file.metadata['venom.max_steps']!r}") from error
        self.pairs = {
            k[len(STATE_PREFIX) :]: v for k, v in file.metadata.items() if k.startswith(STATE_PREFIX)
        }
        for state, following in self.pairs.items():
            if state not in file.inputs or following not in file.outputs:
                raise file.refuse(
                    None, f"metadata {STATE_PREFIX}{state} = {following!r} does not name an input and an output"
                )
        self.builder = GraphBuilder(file.metadata.get("venom.graph", file.path.stem), max_steps=max_steps)
        self.tensor: dict[str, str] = {}  # ONNX tensor -> datapath node
        self.target = ""  # name of the quantised tensor being built: names its intermediates

    def run(self) -> Graph:
        file = self.file
        for name in file.inputs:
            if name not in self.pairs:
                self.tensor[name] = self.builder.input(name, file.input_shape(name), self.input_type(name))
        for node in file.nodes:
            wanted = [o for o in node.output if o in file.outputs]
            if wanted or (node.op_type == "Quant" and file.constant(node.output[0]) is None):
                self.lower(node.output[0])
        outputs = {}
        for name in file.outputs:
            if name not in self.pairs.values():
                outputs[name] = self.lower(name)
        for state in file.inputs:  # the order of a channel's state words: metadata pairs in the order of `STATES`
            if state in self.pairs and state not in self.builder.states:
                self.builder.next_state(self.lower(state), self.lower(self.pairs[state]))
        order = sorted(self.builder.states, key=state_order)
        self.builder.states = {s: self.builder.states[s] for s in order}
        return self.builder.build(outputs)

    def input_type(self, name: str) -> FixedType:
        if name in self.input_types:
            return self.input_types[name]
        declared = declared_type(self.file, name)
        if declared is None:
            users = [n for n in self.file.nodes if name in n.input]
            if len(users) == 1 and users[0].op_type == "Quant":
                return self.file.quant_format(users[0]).type
            raise self.file.refuse(
                None, f"input {name!r} has no format: expected metadata venom.input.{name} or a Quant as its only user"
            )
        return declared

    # names -----------------------------------------------------------------------------------------------------

    def name(self, suffix: str = "") -> str:
        """A name for an intermediate of the tensor being built; without a suffix, for that tensor itself."""
        base = "_".join(part for part in (self.target, suffix) if part)
        name, k = base, 1
        while name in self.builder.facts:
            k += 1
            name = f"{base}{k}"
        return name

    # lowering --------------------------------------------------------------------------------------------------

    def lower(self, tensor: str) -> str:
        """The datapath node of an ONNX tensor, made now if need be."""
        if tensor in self.tensor:
            return self.tensor[tensor]
        if tensor in self.file.inputs:  # a state
            self.tensor[tensor] = self.builder.state(tensor, self.file.input_shape(tensor), self.input_type(tensor))
            return self.tensor[tensor]
        if self.file.constant(tensor) is not None:
            return self.constant(tensor)
        node = self.file.producer.get(tensor)
        if node is None:
            raise self.file.refuse(None, f"tensor {tensor!r} is made by no node")
        outer = self.target, self.builder.stage
        if node.op_type == "Quant":
            path = self.file.path_of(node)
            self.target = tensor if tensor in self.file.outputs else tensor_name(path or tensor)
            self.builder.stage = stage_of(path, self.builder.name)
        elif tensor in self.file.outputs and not self.builder.stage:
            self.builder.stage = FALLBACK.get(self.builder.name, "main")
        handler = HANDLERS.get(node.op_type)
        if handler is None:
            raise self.file.refuse(node, f"is not supported here; supported: {supported()}")
        result = handler(self, node, tensor)
        self.target, self.builder.stage = outer
        self.tensor[tensor] = result
        return result

    def constant(self, tensor: str) -> str:
        integers, type_ = self.file.constant_integers(tensor)
        frac = type_.frac
        if integers.ndim and integers.shape[0] == 1:  # the batch axis
            integers = integers[0]
            if np.ndim(frac) and np.shape(frac)[0] == 1:
                frac = frac[0]
        name = tensor_name(self.file.path_of(self.file.producer[tensor])) if tensor in self.file.producer else ""
        name = name if name and name not in self.builder.facts else self.name("constant")
        node = self.builder.constant(integers, FixedType(type_.signed, type_.width, frac), name=name)
        self.tensor[tensor] = node
        return node

    def axis(self, node: onnx.NodeProto, axis: int, rank: int) -> int:
        """An ONNX axis of a tensor of `rank` axes (batch included) as a datapath axis."""
        axis = axis + rank if axis < 0 else axis
        if axis == 0:
            raise self.file.refuse(node, "works along the batch axis")
        return axis - 1

    def shape(self, name: str) -> tuple[int, ...]:
        return self.builder.facts[name].shape

    def axes(self, node: onnx.NodeProto) -> list[int]:
        if len(node.input) > 1 and node.input[1]:
            return [int(a) for a in np.atleast_1d(self.file.parameters[node.input[1]])]
        axes = self.file.attribute(node, "axes")
        if axes is None:
            raise self.file.refuse(node, "has no axes")
        return list(axes)


def state_order(name: str) -> tuple:
    """h, conv, pool_num, pool_den (contracts, States); layer by layer; anything else after, by name."""
    base, layer = re.fullmatch(r"(.*?)_?(\d*)", name).groups()
    known = ("h", "conv", "pool_num", "pool_den")
    pooled = base.startswith("pool")
    return (pooled, int(layer or 0), known.index(base) if base in known else len(known), name)
