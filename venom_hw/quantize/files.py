"""The two QONNX files of a quantised VENOM, step and head, with the metadata that makes them self-contained."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from venom_hw.interchange.export import export_graph

from .formats import TensorFormat
from .network import QuantVenom

FILE_FORMAT = "venom-hw/qonnx/1"


def input_types(network: QuantVenom, formats: Mapping[str, TensorFormat]) -> dict[str, dict[str, Any]]:
    """Number format of each graph input (sample and states) as JSON entries."""
    shape = network.shape
    types: dict[str, dict[str, Any]] = {"sample": {"bits": 16, "frac": 0, "signed": True}}
    for k in range(shape.n_layers):
        suffix = f"_{k}" if k else ""
        for name, tensor in ((f"conv{suffix}", "q_xi"), (f"h{suffix}", "q_h")):
            types[name] = {
                k: v for k, v in formats[f"step.layers.{k}.{tensor}"].to_dict().items() if k != "rounding"
            }
    weight, feature = formats["step.q_e"], formats["step.norm.q_n"]
    steps = math.ceil(math.log2(shape.max_steps)) if shape.max_steps > 1 else 0
    types["pool_num"] = {
        "bits": weight.bits + feature.bits + steps,
        "frac": weight.frac + feature.frac,
        "signed": True,
    }
    types["pool_den"] = {"bits": weight.bits + steps, "frac": weight.frac, "signed": False}
    return types


def write_qonnx(
    network: QuantVenom,
    formats: Mapping[str, TensorFormat],
    folder: str | os.PathLike,
    *,
    model: str,
    window: Mapping[str, Any],
) -> tuple[Path, Path]:
    """Write step.onnx and head.onnx into ``folder``; parameters are put on their grids.  Returns the two
    paths.
    """
    network = network.float().eval()
    network.snap()
    step, head = network.step, network.head
    types = input_types(network, formats)
    states = step.state_names
    common = {
        "venom.format": FILE_FORMAT,
        "venom.model": model,
        "venom.max_steps": str(network.shape.max_steps),
        "venom.window": json.dumps(dict(window), sort_keys=True),
    }

    def describe(names: list[str]) -> dict[str, str]:
        return {f"venom.input.{name}": json.dumps(types[name], sort_keys=True) for name in names}

    cleared = step.initial_state(2, torch.float32)
    folder = Path(folder)
    step_path = export_graph(
        step,
        [torch.zeros(2, 2), *cleared],
        folder / "step.onnx",
        inputs=["sample", *states],
        outputs=["feature", "weight", "weighted_feature", *(f"{name}_out" for name in states)],
        metadata=common
        | {"venom.graph": "step"}
        | {f"venom.state.{name}": f"{name}_out" for name in states}
        | describe(["sample", *states]),
    )
    head_path = export_graph(
        head,
        [cleared[-2], cleared[-1] + 1.0],
        folder / "head.onnx",
        inputs=["pool_num", "pool_den"],
        outputs=["energy", "log_variance"],
        metadata=common | {"venom.graph": "head"} | describe(["pool_num", "pool_den"]),
    )
    return step_path, head_path
