"""What a quantised encoder takes in memory."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from venom_hw.quantize.formats import TensorFormat

from .network import QuantEncoder

# table -> (tensor that indexes it, tensor that it gives); the sine's period is one turn
TABLES = {
    "rsqrt": ("q_v", "q_rs"),
    "exp": ("q_u", "q_e"),
    "reciprocal": ("q_m", "q_inv"),
    "sine": ("q_phase", "q_sine"),
}


def sizes(network: QuantEncoder, formats: Mapping[str, TensorFormat]) -> dict[str, Any]:
    """Parameters and their bits, tables (each quantiser its own), fingerprint, all in bytes; beside float32."""
    bits = parameters = 0
    for name, parameter in network.named_parameters():
        parameters += parameter.numel()
        bits += parameter.numel() * parameter_format(name, formats).bits
    tables = {name: 0 for name in TABLES}
    for kind, (index, result) in TABLES.items():
        for name, fmt in formats.items():
            head, _, last = name.rpartition(".")
            if last == index:
                entries = 1 << (fmt.frac if kind == "sine" else fmt.bits)
                tables[kind] += entries * formats[f"{head}.{result}" if head else result].bits
    return {
        "parameters": parameters,
        "parameter_bytes": math.ceil(bits / 8),
        "float_bytes": 4 * parameters,
        "tables": {name: math.ceil(value / 8) for name, value in tables.items()},
        "table_bytes": math.ceil(sum(tables.values()) / 8),
        "fingerprint_bytes": math.ceil(network.latent_dim * formats["q_z"].bits / 8),
        "float_fingerprint_bytes": 4 * network.latent_dim,
    }


def parameter_format(name: str, formats: Mapping[str, TensorFormat]) -> TensorFormat:
    """Format of a parameter of the network (``layers.0.linear1.weight.value``)."""
    return formats[name.removesuffix(".value")]
