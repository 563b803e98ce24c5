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
    return export_graph(
        network,
        [torch.zeros(2, min(5, shape.max_len), shape.in_channels), torch.zeros(2, min(5, shape.max_len))],
        path,
        inputs=INPUTS,
        outputs=[OUTPUT],
        metadata={
            "venom.format": FILE_FORMAT,
            "venom.graph": "encoder",
            "venom.model": model,
            "venom.max_steps": str(shape.max_len),
            "venom.input.x": describe(formats["q_in"].bits, formats["q_in"].frac, True),
            "venom.input.pad_mask": describe(1, 0, False),
            "venom.output.fingerprint": describe(latent.bits, latent.frac, True),
        },
        axes={name: {1: "length"} for name in INPUTS},
        ranges={"length": (1, shape.max_len)},
    )
