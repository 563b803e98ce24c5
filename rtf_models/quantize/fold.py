"""Float RTF weights -> parameters of the quantised encoder: the same function with less to compute.

* gamma and beta of each layer norm go into the linears behind it, those of the final one into the bottleneck;
* 1/sqrt(d_head) goes into the query;
* the key has no bias: it adds the same to all scores of a query, which softmax drops; the value's goes into the
  output projection, since attention weights sum to one;
* the linear feature of Time2Vec is added to the first row of in_proj; its sines are in turns (b modulo one turn);
* the first layer norm of the class token is a constant.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch

from .shape import EncoderError, EncoderShape

BOTTLENECK = {"ae": "bottleneck_proj", "vae": "mu_proj", "vqvae": "pre_vq_proj"}
FLOAT_EPS = 1e-5  # of the float model's layer norms


def encoder_shape(config: Mapping[str, Any], weight_bits: int) -> EncoderShape:
    """EncoderShape of a LightCurveCompressor's ``config()``.  Raises EncoderError naming what is not supported."""
    if config["use_images"]:
        raise EncoderError(
            f"use_images = True (backbone {config['image_backbone']!r}): the image tower is not quantised; "
            "expected a model of photometry, with or without metadata and light-curve features"
        )
    return EncoderShape(
        in_channels=config["in_channels"],
        d_model=config["d_model"],
        n_heads=config["n_heads"],
        n_layers=config["n_encoder_layers"],
        d_ff=config["d_ff"],
        latent_dim=config["latent_dim"],
        max_len=config["max_len"],
        features=config["gp_dim"],
        embed_absent=int(bool(config["gp_dim"]) and config["embed_absent"]),
        weight_bits=weight_bits,
    )


def fold_weights(weights: Mapping[str, torch.Tensor], shape: EncoderShape, mode: str) -> dict[str, torch.Tensor]:
    """State dict of :class:`~rtf_models.quantize.network.QuantEncoder` (float64) from a LightCurveCompressor's.

    ``mode``: ae (latent), vae (mu), vqvae (the latent before the codebook).  Raises EncoderError naming a missing
    tensor or one of another shape.
    """

    def get(name: str, *size: int) -> torch.Tensor:
        if name not in weights:
            raise EncoderError(f"float model has no tensor '{name}'")
        if tuple(weights[name].shape) != size:
            raise EncoderError(f"float model's '{name}' has shape {tuple(weights[name].shape)}, expected {size}")
        return weights[name].detach().to("cpu", torch.float64)

    d, out = shape.d_model, {}

    def linear(name: str, weight: torch.Tensor, bias: torch.Tensor | None = None) -> None:
        out[f"{name}.weight.value"] = weight
        if bias is not None:
            out[f"{name}.bias.value"] = bias

    def behind_norm(name: str, norm: str, weight: torch.Tensor, bias: torch.Tensor | None) -> None:
        gamma, beta = get(f"{norm}.weight", d), get(f"{norm}.bias", d)
        linear(name, weight * gamma, None if bias is None else bias + weight @ beta)

    in_weight, in_bias = get("in_proj.weight", d, shape.in_channels).clone(), get("in_proj.bias", d).clone()
    in_weight[0, 0] += get("time2vec.w0", 1)[0]
    in_bias[0] += get("time2vec.b0", 1)[0]
    linear("in_proj", in_weight, in_bias)
    none = torch.zeros(1, dtype=torch.float64)
    turns = torch.cat([none, get("time2vec.b", d - 1) / (2 * math.pi)])
    linear("time", torch.cat([none, get("time2vec.w", d - 1) / (2 * math.pi)])[:, None], turns - turns.round())
    cls = get("cls_tok", 1, 1, d)
    out["cls.value"] = cls
    centred = cls - cls.mean(-1, keepdim=True)
    out["layers.0.token.value"] = centred * torch.rsqrt(centred.square().mean(-1, keepdim=True) + FLOAT_EPS)

    for k in range(shape.n_layers):
        source, target = f"encoder.layers.{k}", f"layers.{k}"
        parts = get(f"{source}.self_attn.in_proj_weight", 3 * d, d).chunk(3)
        biases = get(f"{source}.self_attn.in_proj_bias", 3 * d).chunk(3)
        out_weight, out_bias = (
            get(f"{source}.self_attn.out_proj.weight", d, d),
            get(f"{source}.self_attn.out_proj.bias", d),
        )
        norm, scale = f"{source}.norm1", shape.d_head**-0.5
        beta = get(f"{norm}.bias", d)
        behind_norm(f"{target}.attention.query", norm, parts[0] * scale, biases[0] * scale)
        behind_norm(f"{target}.attention.key", norm, parts[1], None)
        behind_norm(f"{target}.attention.value", norm, parts[2], None)
        linear(f"{target}.attention.out", out_weight, out_bias + out_weight @ (biases[2] + parts[2] @ beta))
        first, second, ff = f"{source}.linear1", f"{source}.linear2", shape.d_ff
        behind_norm(f"{target}.linear1", f"{source}.norm2", get(f"{first}.weight", ff, d), get(f"{first}.bias", ff))
        linear(f"{target}.linear2", get(f"{second}.weight", d, ff), get(f"{second}.bias", d))
    name, size = BOTTLENECK[mode], shape.latent_dim
    behind_norm("bottleneck", "enc_norm", get(f"{name}.weight", size, d), get(f"{name}.bias", size))
    if shape.features:
        out["fusion.weight.value"] = get(f"{name}.weight", size, d)
        linear("features.linear", get("gp_proj.0.weight", d, shape.features), get("gp_proj.0.bias", d))
        out["features.gain.value"] = get("gp_proj.1.weight", d)
        out["features.offset.value"] = get("gp_proj.1.bias", d)
    return out
