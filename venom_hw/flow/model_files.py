"""Which files a model is made of: a shipped name, or a folder that `python -m venom_hw.quantize` wrote."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

PRETRAINED = Path(__file__).resolve().parents[1] / "pretrained"
SUFFIX = "-quantised"


class ModelError(ValueError):
    """A model that does not exist or lacks a file."""


@dataclass(frozen=True)
class ModelFiles:
    """A quantised model on disk. `checkpoint` and `report` describe; step and head are the model."""

    name: str
    step: Path
    head: Path
    checkpoint: Path | None
    report: Path | None

    def parameters(self) -> int | None:
        """Parameters of the float network that the model was made of, from the checkpoint; None without one."""
        if self.checkpoint is None:
            return None
        sizes = self._header().get("model") or {}
        try:
            d, n, k, hidden = (int(sizes[key]) for key in ("d_model", "d_state", "d_conv", "d_head_hidden"))
            inner, layers = d * int(sizes["expand"]), int(sizes["n_layers"])
        except (KeyError, TypeError, ValueError):
            return None
        norm, projections, conv = 2 * d, 2 * inner * d + d * inner, inner * (k + 1)
        selection, poles, skip = 2 * n * inner + inner * (inner + 1), inner * n, inner
        block = norm + projections + conv + selection + poles + skip
        head = d + (d + 1) * hidden + (hidden + 1) * hidden + 2 * (hidden + 1)
        return 3 * d + layers * block + 2 * d + head

    def weight_bits(self) -> dict[str, int]:
        """Bits of each class of weights, from the checkpoint's recipe; empty without one."""
        weights = (self._header().get("recipe") or {}).get("weights") if self.checkpoint else None
        return {name: int(entry["bits"]) for name, entry in (weights or {}).items()}

    def _header(self) -> dict:
        from safetensors import safe_open

        try:
            with safe_open(self.checkpoint, "numpy") as file:
                return json.loads((file.metadata() or {}).get("venom", "{}"))
        except Exception as error:  # safetensors raises its own untyped errors
            raise ModelError(f"{self.checkpoint}: not a readable safetensors file ({error})") from error


def shipped_models() -> list[str]:
    """Names of the models that come with the project: folder names, the standard models' without `-quantised`."""
    return sorted(p.parent.name.removesuffix(SUFFIX) for p in PRETRAINED.glob("*/step.onnx"))


def find_model(model: str | None = None) -> ModelFiles:
    """The files of a shipped model (`ptsi` by default), or of a folder with step.onnx and head.onnx.

    Raises:
        ModelError: no such model; says what there is.
    """
    model = model or "ptsi"
    folder = Path(model)
    if model in shipped_models():
        name, folder = model, PRETRAINED / f"{model}{SUFFIX}"
        folder = folder if folder.is_dir() else PRETRAINED / model
    elif folder.is_dir():
        name = folder.resolve().name.removesuffix(SUFFIX)
    else:
        raise ModelError(
            f"model {model!r} is neither a shipped model ({', '.join(shipped_models()) or 'none'}) nor a folder"
        )
    missing = [f for f in ("step.onnx", "head.onnx") if not (folder / f).is_file()]
    if missing:
        raise ModelError(
            f"{folder}: {missing[0]} is missing; expected a folder that python -m venom_hw.quantize wrote"
        )
    optional = {f: folder / f if (folder / f).is_file() else None for f in ("model.safetensors", "report.json")}
    return ModelFiles(
        name, folder / "step.onnx", folder / "head.onnx", optional["model.safetensors"], optional["report.json"]
    )
