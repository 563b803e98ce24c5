"""Checkpoints of the original RTF: a pickled state dict, `best_model.pt`, beside a `summary.json` that says little.

All that shows in names and shapes is read from there; the rest is the original's fixed choice (8 heads) and its
conventions for inputs (`InputSpec.original`). The state dict is unpickled with weights_only=True: nothing in it runs.
The same tensors in a bare safetensors file are read too.
"""

from __future__ import annotations

import json
import os
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from .classes import APPLECIDER, APPLECIDER6, ClassScheme
from .data.inputs import InputSpec
from .errors import CheckpointError, RtfError
from .model import LightCurveCompressor
from .model.tensors import load_tensors

HEADS = 8  # of every model that the original's commands build; no shape shows it
SUMMARY_NAME = "summary.json"
STATS_NAMES = ("feature_stats_day100.npz", "feature_stats.npz")
PHOTOMETRY_CHANNELS, METADATA_CHANNELS, N_FEATURES = 7, 37, 114
BOTTLENECKS = {"ae": "bottleneck_proj.weight", "vae": "mu_proj.weight", "vqvae": "pre_vq_proj.weight"}
CHECKED = ("mode", "latent_dim", "in_channels", "d_model", "gp_dim", "use_images")  # of the summary


def read_original(
    path: Path,
    *,
    summary: str | os.PathLike | None = None,
    stats: str | os.PathLike | None = None,
    kind: str | None = None,
) -> tuple[LightCurveCompressor, InputSpec, ClassScheme, dict[str, Any]]:
    """The network of a state-dict file, its inputs, classes and a header with what the summary says.

    Args:
        summary: its summary.json; default: the one beside it, if there is one.
        stats: feature_stats file of its photo_events data; default: one beside it; without: unscaled channels.
        kind: "compact" or "photo_events"; default: photo_events for plain photometry, else compact, as the original.

    Raises:
        CheckpointError: not such a file, or it contradicts its summary.
    """
    state = _state_dict(path)
    about = _summary(path, summary)
    config = config_of(state, path, about)
    model = LightCurveCompressor(**config)
    load_tensors(path, model, state)
    return model, _inputs(path, model, about, stats, kind), _scheme(model), {"original": True, "summary": about}


def config_of(state: Mapping[str, Tensor], path: Path, summary: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Constructor arguments of the network whose state dict this is; CheckpointError if it is none."""
    modes = [mode for mode, key in BOTTLENECKS.items() if key in state]
    if len(modes) != 1 or "in_proj.weight" not in state or "z_proj.weight" not in state:
        raise CheckpointError(f"{path}: not the state dict of a LightCurveCompressor (expected in_proj.weight, "
                              f"z_proj.weight and one of {', '.join(BOTTLENECKS.values())})")  # fmt: skip
    d_model, in_channels = state["in_proj.weight"].shape
    config: dict[str, Any] = {
        "mode": modes[0],
        "latent_dim": state["z_proj.weight"].shape[1],
        "in_channels": in_channels,
        "d_model": d_model,
        "n_heads": int((summary or {}).get("n_heads", HEADS)),
        "n_encoder_layers": _layers(state, "encoder"),
        "n_decoder_layers": _layers(state, "decoder"),
        "d_ff": len(state.get("encoder.layers.0.linear1.bias", ())),
        "max_len": state["pos_embed"].shape[1] if "pos_embed" in state else 0,
        "use_images": any(name.startswith("image_tower.") for name in state),
        "image_backbone": "zoobot" if "image_tower.cnn.stem.0.weight" in state else "simple",
        "gp_dim": state["gp_proj.0.weight"].shape[1] if "gp_proj.0.weight" in state else 0,
        "num_classes": len(state.get("cls_head.3.bias", ())),
        "decode_all": True,
        "embed_absent": True,
    }
    if modes[0] == "vqvae" and "vq.codebook.weight" in state:
        config["num_codes"] = len(state["vq.codebook.weight"])
    for name in CHECKED:
        if summary and name in summary and summary[name] is not None and summary[name] != config[name]:
            raise CheckpointError(f"{path}: its summary says {name} = {summary[name]!r}, its tensors {config[name]!r}")
    try:
        LightCurveCompressor(**config)
    except RtfError as error:
        raise CheckpointError(f"{path}: {error}") from error
    return config


def _layers(state: Mapping[str, Tensor], stack: str) -> int:
    found = (re.match(rf"{stack}\.layers\.(\d+)\.", name) for name in state)
    return 1 + max((int(match[1]) for match in found if match), default=-1)


def _state_dict(path: Path) -> dict[str, Tensor]:
    try:
        bare = path.suffix == ".safetensors"
        state = load_file(path) if bare else torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # zip, pickle and torch each raise their own kinds for files that are something else
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CheckpointError(f"{path}: cannot be read as a plain state dict ({reason})") from error
    for wrapper in ("state_dict", "model_state_dict", "model"):
        if isinstance(state, Mapping) and isinstance(state.get(wrapper), Mapping):
            state = state[wrapper]
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise CheckpointError(f"{path}: holds a {type(state).__name__}, expected a state dict: names and tensors")
    return {name.removeprefix("module."): tensor for name, tensor in state.items()}


def _summary(path: Path, given: str | os.PathLike | None) -> dict[str, Any] | None:
    file = path.parent / SUMMARY_NAME if given is None else Path(given)
    if given is None and not file.is_file():
        return None
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{file}: cannot be read as JSON ({error})") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{file}: holds a {type(content).__name__}, expected an object")
    return content


def _inputs(path: Path, model: LightCurveCompressor, summary: dict | None, stats, kind: str | None) -> InputSpec:
    if model.in_channels not in (PHOTOMETRY_CHANNELS, METADATA_CHANNELS) or model.gp_dim not in (0, N_FEATURES):
        raise CheckpointError(f"{path}: takes {model.in_channels} channels and {model.gp_dim} features; known are "
                              f"{PHOTOMETRY_CHANNELS} or {METADATA_CHANNELS} and 0 or {N_FEATURES}")  # fmt: skip
    metadata = model.in_channels == METADATA_CHANNELS
    plain = not (metadata or model.use_images or model.gp_dim)
    kind = kind or ("photo_events" if plain else "compact")
    if kind == "photo_events" and stats is None:
        stats = next((path.parent / name for name in STATS_NAMES if (path.parent / name).is_file()), None)
        if stats is None:
            warnings.warn(f"{path}: trained on photo_events, and no feature_stats file is given or beside it: taken as "
                          "trained on unscaled channels", stacklevel=4)  # fmt: skip
    first_n = (summary or {}).get("max_detections")
    try:
        return InputSpec.original(
            kind, stats, metadata=metadata, images=model.use_images, features=model.gp_dim > 0,
            max_len=model.max_len if first_n is None else min(int(first_n), model.max_len),
        )  # fmt: skip
    except RtfError as error:
        raise CheckpointError(f"{path}: {error}") from error


def _scheme(model: LightCurveCompressor) -> ClassScheme:
    return APPLECIDER6 if model.num_classes == len(APPLECIDER6.coarse) else APPLECIDER
