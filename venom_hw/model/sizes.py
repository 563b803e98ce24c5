"""The sizes of a network, read off its tensors: bare weights do not say them otherwise."""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

from .errors import CheckpointError
from .weights import canonical_name


def sizes_of_tensors(found: Mapping[str, Tensor], source: str = "tensors") -> dict[str, int]:
    """Arguments of MKIDEnergySSM (d_model, d_state, n_layers, d_conv, expand, d_head_hidden) from weights under any of
    the names that `load_weights` knows. Raises CheckpointError naming the tensor that is missing or odd."""
    shapes = {canonical_name(name): tuple(tensor.shape) for name, tensor in found.items()}

    def shape(name: str, dimensions: int) -> tuple[int, ...]:
        if name not in shapes:
            raise CheckpointError(f"{source}: no tensor for {name}, from which the network's sizes would follow")
        if len(shapes[name]) != dimensions:
            raise CheckpointError(f"{source}: {name} has shape {shapes[name]}, expected {dimensions} dimensions")
        return shapes[name]

    d_model = shape("backbone.input_proj.weight", 2)[0]
    d_inner, d_state = shape("backbone.layers.0.log_neg_A", 2)
    conv = shapes.get("backbone.layers.0.conv.weight", ())
    taps = 1
    for size in conv:
        taps *= size
    d_head_hidden = shape("head.fc1.weight", 2)[0]
    numbers = {int(m.group(1)) for name in shapes if (m := re.match(r"backbone\.layers\.(\d+)\.", name))}
    if not conv or taps % d_inner or d_inner % d_model or numbers != set(range(len(numbers))):
        raise CheckpointError(f"{source}: convolution of shape {conv}, {d_inner} inner and {d_model} outer channels, "
                              f"layers {sorted(numbers)}: not a VENOM network")
    return {"d_model": d_model, "d_state": d_state, "n_layers": len(numbers), "d_conv": taps // d_inner,
            "expand": d_inner // d_model, "d_head_hidden": d_head_hidden}
