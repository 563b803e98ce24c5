"""The QONNX file of a quantised encoder, with the metadata that makes it self-contained."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

import torch

from venom_hw.interchange.export import export_graph
from venom_hw.quantize.formats import TensorFormat

from .network import QuantEncoder

FILE_FORMAT = "rtf/qonnx/1"
INPUTS, OUTPUT = ("x", "pad_mask"), "fingerprint"
FEATURE_INPUTS = ("features", "present")


def write_qonnx(
    network: QuantEncoder, formats: Mapping[str, TensorFormat], path: str | os.PathLike, *, model: str
) -> Path:
    """Write encoder.onnx; batch and length are dynamic.  Parameters are put on their grids.  Returns the path."""
    network = network.float().eval()
    network.snap()
    shape = network.shape

    def describe(bits: int, frac: int, signed: bool) -> str:
        return json.dumps({"bits": bits, "frac": frac, "signed": signed}, sort_keys=True)

    latent = formats["q_z"]
    inputs = INPUTS + (FEATURE_INPUTS if shape.features else ())
    types = {"x": formats["q_in"], "features": formats.get("features.q_in")}
    inputs_stated = {
        f"venom.input.{name}": describe(types[name].bits, types[name].frac, True)
        if name in types
        else describe(1, 0, False)
        for name in inputs
    }
    example = network.arguments(torch.zeros(2, min(5, shape.max_len), shape.in_channels))
    return export_graph(
        network,
        example,
        path,
        inputs=inputs,
        outputs=[OUTPUT],
        metadata={
            "venom.format": FILE_FORMAT,
            "venom.graph": "encoder",
            "venom.model": model,
            "venom.max_steps": str(shape.max_len),
            "venom.output.fingerprint": describe(latent.bits, latent.frac, True),
        }
        | inputs_stated,
        axes={name: {1: "length"} for name in INPUTS},
        ranges={"length": (1, shape.max_len)},
    )
