"""Checkpoints: one safetensors file that rebuilds a trained network, its inputs and its classes, with no flags.

The file's metadata key `rtf` holds JSON: format, model (constructor arguments), inputs (`InputSpec`), classes
(`ClassScheme`), header (seeds, metrics, whatever the writer gives). Nothing is pickled. The original's `best_model.pt`
is read too (see original_checkpoint.py).
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from venom_hw.atomic import write_atomically
from venom_hw.tensor_check import check_finite

from .classes import ClassScheme
from .data.inputs import InputSpec
from .errors import CheckpointError, RtfError
from .model import LightCurveCompressor
from .model.tensors import load_tensors
from .original_checkpoint import read_original

FORMAT = "rtf/checkpoint/1"
METADATA_KEY = "rtf"
PRETRAINED = Path(__file__).resolve().parent / "pretrained"
FILE_NAME = "model.safetensors"
ORIGINAL_FILE_NAME = "best_model.pt"
ORIGINAL_SUFFIXES = (".pt", ".pth", ".bin")
QUANTISED_FORMAT, QUANTISED_FILE_NAME, ONNX_SUFFIX = "rtf/quantised/", "quantised.safetensors", ".onnx"
QUANTISED = (
    "a quantised encoder, of `python -m rtf_models quantize`: it has no decoder and no command takes it; "
    "rtf_models.quantize.checkpoint.load_quantised reads its quantised.safetensors (for embed_sources(..., "
    "reconstruct=False)), ONNX programs its encoder.onnx. Expected a float network, such as the one it was made from"
)


@dataclass(frozen=True)
class Checkpoint:
    """A network and what is needed to use it.

    model: in evaluation mode; inputs: how a source becomes its input; scheme: classes of its labels;
    header: what the writer noted (seed, epoch, metrics, ...); path and sha256 (hex) of the file it came from.
    """

    model: LightCurveCompressor
    inputs: InputSpec
    scheme: ClassScheme
    header: dict[str, Any] = field(default_factory=dict)
    path: Path | None = None
    sha256: str = ""


def shipped_names() -> list[str]:
    """Names of the checkpoints that come with the package, usable wherever a checkpoint's path is."""
    return sorted(path.parent.name for path in PRETRAINED.glob(f"*/{FILE_NAME}"))


def find_checkpoint(path: str | os.PathLike) -> Path:
    """The file of a path: a file, a run folder (its model.safetensors or best_model.pt), or a shipped name.

    Raises CheckpointError if there is none.
    """
    path = Path(path)
    if path.is_dir():
        for name in (FILE_NAME, ORIGINAL_FILE_NAME):
            if (path / name).is_file():
                return path / name
        if (path / QUANTISED_FILE_NAME).is_file():
            raise CheckpointError(f"{path}: {QUANTISED}")
        raise CheckpointError(f"{path}: a folder with neither {FILE_NAME} nor {ORIGINAL_FILE_NAME}")
    if path.is_file():
        return path
    shipped = PRETRAINED / path.name / FILE_NAME
    if path.parent == Path() and shipped.is_file():
        return shipped
    if path.parent == Path() and (PRETRAINED / path.name / QUANTISED_FILE_NAME).is_file():
        raise CheckpointError(f"{path}: {QUANTISED}")
    names = ", ".join(shipped_names()) or "none"
    raise CheckpointError(f"{path}: no such file, run folder or shipped checkpoint (shipped: {names})")


def save_checkpoint(
    path: str | os.PathLike, model: LightCurveCompressor, inputs: InputSpec, *, scheme: ClassScheme, **header: Any
) -> Path:
    """Write the network atomically; the path.

    Args:
        header: further keywords, plain JSON values, given back as `Checkpoint.header`.

    Raises:
        CheckpointError: `inputs` are not the model's, a weight is not finite, or the header is not JSON.
    """
    path = Path(path)
    _check_inputs(path, model, inputs)
    tensors = {}
    for name, tensor in model.state_dict().items():
        check_finite(path, name, tensor, CheckpointError)
        kept = torch.float32 if tensor.is_floating_point() else tensor.dtype
        tensors[name] = tensor.detach().to("cpu", kept).contiguous()
    content = {"format": FORMAT, "model": model.config(), "inputs": inputs.to_dict(), "classes": scheme.to_dict(),
               "header": header}  # fmt: skip
    try:
        text = json.dumps(content)
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: the header is not plain JSON ({error})") from error
    return write_atomically(path, save(tensors, {METADATA_KEY: text}))


def load_checkpoint(
    path: str | os.PathLike,
    *,
    summary: str | os.PathLike | None = None,
    stats: str | os.PathLike | None = None,
    kind: str | None = None,
    device: str | torch.device = "cpu",
) -> Checkpoint:
    """Rebuild a network from a file alone.

    Args:
        path: a file, a run folder, or a shipped name (`find_checkpoint`).
        summary, stats, kind: for checkpoints of the original only: its summary.json (default: the one beside the
            file), the feature_stats file of its photo_events data, and its data's kind ("compact", "photo_events").
        device: where the network goes.

    Raises:
        CheckpointError: names the file, the field or tensor, and what was expected.
    """
    path = find_checkpoint(path)
    if path.suffix in ORIGINAL_SUFFIXES:
        model, inputs, scheme, header = read_original(path, summary=summary, stats=stats, kind=kind)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        return Checkpoint(model.to(device).eval(), inputs, scheme, header, path, digest)
    if summary is not None or stats is not None or kind is not None:
        raise CheckpointError(f"{path}: summary, stats and kind are for the original's checkpoints "
                              f"({', '.join(ORIGINAL_SUFFIXES)}); this file describes itself")  # fmt: skip
    if path.suffix == ONNX_SUFFIX:
        raise CheckpointError(f"{path}: an ONNX file, which is {QUANTISED}")
    content = path.read_bytes()
    try:
        tensors, metadata = load(content), _metadata(content)
    except (SafetensorError, ValueError, KeyError) as error:
        raise CheckpointError(f"{path}: not a safetensors file ({error})") from error
    about = _described(path, metadata)
    try:
        model = LightCurveCompressor(**about["model"])
        inputs, scheme = InputSpec.from_dict(about["inputs"]), ClassScheme.from_dict(about["classes"], path)
    except (RtfError, TypeError) as error:
        raise CheckpointError(f"{path}: {error}") from error
    _check_inputs(path, model, inputs)
    load_tensors(path, model, tensors)
    return Checkpoint(model.to(device).eval(), inputs, scheme, about["header"], path,
                      hashlib.sha256(content).hexdigest())  # fmt: skip


def _metadata(content: bytes) -> dict[str, str]:
    """The safetensors file's own metadata: the header is JSON behind its length, 8 bytes little-endian."""
    size = int.from_bytes(content[:8], "little")
    return json.loads(content[8 : 8 + size]).get("__metadata__") or {}


def _described(path: Path, metadata: Mapping[str, str]) -> dict:
    if METADATA_KEY not in metadata and any(QUANTISED_FORMAT in text for text in metadata.values()):
        raise CheckpointError(f"{path}: {QUANTISED}")
    if METADATA_KEY not in metadata:
        raise CheckpointError(f"{path}: no metadata key '{METADATA_KEY}': these are bare weights; bring them into a "
                              "checkpoint with python -m rtf_models convert-checkpoint")  # fmt: skip
    try:
        about = json.loads(metadata[METADATA_KEY])
    except json.JSONDecodeError as error:
        raise CheckpointError(f"{path}: metadata key '{METADATA_KEY}' is not JSON ({error})") from error
    if not isinstance(about, dict) or about.get("format") != FORMAT:
        found = about.get("format") if isinstance(about, dict) else about
        raise CheckpointError(f"{path}: format {found!r}, expected '{FORMAT}'")
    for name in ("model", "inputs", "classes", "header"):
        if not isinstance(about.get(name), dict):
            raise CheckpointError(f"{path}: field '{name}' is {about.get(name)!r}, expected an object")
    return about


def _check_inputs(path: Path, model: LightCurveCompressor, inputs: InputSpec) -> None:
    """The description gives what the network takes."""
    for name, given, wanted in (
        ("in_channels", inputs.in_channels, model.in_channels),
        ("gp_dim", inputs.gp_dim, model.gp_dim),
        ("images", inputs.images, model.use_images),
    ):
        if given != wanted:
            raise CheckpointError(f"{path}: the inputs have {name} = {given}, the network {wanted}")
