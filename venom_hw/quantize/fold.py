"""Float VENOM weights -> parameters of the quantised network (same function, layer-norm gamma and beta folded
away).

gamma, beta of a block's norm fold into the two halves of in_proj; those of the final norm into the score
vector and the first head layer (the pooling weights sum to one; beta's part of the score is the same for all
samples, so softmax drops it); the input normalisation becomes a 2x2 affine; the energy scale becomes the gain
and offset behind the head.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch

from .shape import NetworkError, NetworkShape


def network_shape(config: Mapping[str, int], max_steps: int, weight_frac: int) -> NetworkShape:
    """NetworkShape of a float model's config (d_model, d_state, n_layers, d_conv, expand, d_head_hidden)."""
    keys = ("d_model", "d_state", "n_layers", "d_conv", "expand", "d_head_hidden")
    missing = [k for k in keys if k not in config]
    if missing:
        raise NetworkError(f"float model's config lacks {', '.join(missing)}")
    return NetworkShape(**{k: int(config[k]) for k in keys}, max_steps=max_steps, weight_frac=weight_frac)


def fold_weights(
    weights: Mapping[str, torch.Tensor], shape: NetworkShape, normalisation: Mapping[str, Any]
) -> dict[str, torch.Tensor]:
    """State dict of :class:`~venom_hw.quantize.network.QuantVenom` (float64) from float weights.

    ``weights``: state dict of ``MKIDEnergySSM``; ``normalisation``: iq_mean [2], iq_std [2], energy_offset,
    energy_scale (eV). Raises NetworkError naming a missing tensor or one of another shape.
    """

    def get(name: str, *size: int) -> torch.Tensor:
        if name not in weights:
            raise NetworkError(f"float model has no tensor '{name}'")
        if tuple(weights[name].shape) != size:
            raise NetworkError(
                f"float model's '{name}' has shape {tuple(weights[name].shape)}, expected {size}"
            )
        return weights[name].detach().to(torch.float64)

    d, e, n, k, hidden = shape.d_model, shape.d_inner, shape.d_state, shape.d_conv, shape.d_head_hidden
    out: dict[str, torch.Tensor] = {}

    def linear(name: str, weight: torch.Tensor, bias: torch.Tensor | None = None) -> None:
        out[f"{name}.weight.value"] = weight
        if bias is not None:
            out[f"{name}.bias.value"] = bias

    mean = torch.as_tensor(normalisation["iq_mean"], dtype=torch.float64)
    std = torch.as_tensor(normalisation["iq_std"], dtype=torch.float64)
    if mean.shape != (2,) or std.shape != (2,) or not bool((std > 0).all()):
        raise NetworkError(
            f"normalisation: iq_mean {mean.tolist()} and iq_std {std.tolist()}: expected two values, std > 0"
        )
    linear("step.affine", torch.diag(1 / std), -mean / std)
    linear("step.input_proj", get("backbone.input_proj.weight", d, 2), get("backbone.input_proj.bias", d))
    for i in range(shape.n_layers):
        source, target = f"backbone.layers.{i}", f"step.layers.{i}"
        gamma, beta = get(f"{source}.norm.weight", d), get(f"{source}.norm.bias", d)
        in_proj = get(f"{source}.in_proj.weight", 2 * e, d)
        for name, half in (("x_proj", in_proj[:e]), ("z_proj", in_proj[e:])):
            linear(f"{target}.{name}", half * gamma, half @ beta)
        out[f"{target}.conv_weight.value"] = get(f"{source}.conv.weight", e, 1, k)[:, 0].T.contiguous()
        out[f"{target}.conv_bias.value"] = get(f"{source}.conv.bias", e)
        linear(f"{target}.b_proj", get(f"{source}.B_proj.weight", n, e))
        linear(f"{target}.c_proj", get(f"{source}.C_proj.weight", n, e))
        linear(f"{target}.dt_proj", get(f"{source}.dt_proj.weight", e, e), get(f"{source}.dt_proj.bias", e))
        out[f"{target}.neg_A.value"] = get(f"{source}.log_neg_A", e, n).exp()
        out[f"{target}.skip.value"] = get(f"{source}.D", e)
        linear(f"{target}.out_proj", get(f"{source}.out_proj.weight", d, e))
    gamma, beta = get("backbone.norm.weight", d), get("backbone.norm.bias", d)
    linear("step.score", (get("head.query", d) * gamma)[None])
    out["step.score_reference"] = torch.zeros((), dtype=torch.float64)
    fc1 = get("head.fc1.weight", hidden, d)
    linear("head.fc1", fc1 * gamma, get("head.fc1.bias", hidden) + fc1 @ beta)
    linear("head.fc2", get("head.fc2.weight", hidden, hidden), get("head.fc2.bias", hidden))
    linear("head.fc3", get("head.fc3.weight", 2, hidden), get("head.fc3.bias", 2))
    scale, offset = float(normalisation["energy_scale"]), float(normalisation["energy_offset"])
    for name, value in (
        ("energy_gain", scale),
        ("energy_offset", offset),
        ("logvar_gain", 1.0),
        ("logvar_offset", 2 * math.log(scale)),
    ):
        out[f"head.{name}.value"] = torch.tensor([value], dtype=torch.float64)
    return out
