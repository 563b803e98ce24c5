"""Calibration: the unrounded encoder runs over real light curves with observers, then tensors get their binary points.

Light curves run in groups of one length, without padding: a padding position would widen ranges for nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn

from rtf_models.data.dataset import SourceDataset
from venom_hw.quantize.calibrate import choose_formats, load_parameters, observe_network
from venom_hw.quantize.formats import TensorFormat
from venom_hw.quantize.quantisers import brevitas_factory
from venom_hw.quantize.recipe import Recipe, RecipeBook, fills_unit_interval

from .network import QuantEncoder
from .shape import EncoderShape

BATCH = 32
Curve = Mapping[str, np.ndarray]  # as InputSpec.prepare gives it: x (L, C) and, where there are any, gp_features (G,)
SAMPLE = 500  # values that an observer keeps of each of some hundred batches


def _check(recipe: Recipe, source: str) -> None:
    fills_unit_interval(recipe, source, "e", "m")


RECIPES = RecipeBook(
    Path(__file__).parent / "recipes" / "default.toml",
    {key: () for key in ("scale", "spread", "minimum", "balance")},
    check=_check,
)


def calibration_curves(data: SourceDataset, count: int, seed: int = 0) -> list[Curve]:
    """Inputs of ``count`` sources drawn at random, whole, and of one random prefix of each."""
    rng = np.random.default_rng(seed)
    chosen = rng.permutation(len(data.sources))[:count]
    curves = []
    for index in chosen:
        source = data.sources[int(index)]
        whole = data.inputs.prepare(source, data.max_detections)
        curves += [whole, data.inputs.prepare(source, int(rng.integers(1, len(whole["x"]), endpoint=True)))]
    return curves


def padded(curves: Sequence[Curve], length: int | None = None) -> dict[str, torch.Tensor]:
    """Arguments of an ``embed``, float64: x (B, L, C) with zeros behind each curve, pad_mask (B, L) bool, True there,
    gp_features (B, G) where the curves have them.
    """
    length = length or max(len(c["x"]) for c in curves)
    x = np.zeros((len(curves), length, curves[0]["x"].shape[1]))
    mask = np.ones((len(curves), length), bool)
    for row, curve in enumerate(curves):
        n = len(curve["x"])
        x[row, :n], mask[row, :n] = curve["x"], False
    batch = {"x": x, "pad_mask": mask}
    if "gp_features" in curves[0]:
        batch["gp_features"] = np.stack([np.asarray(c["gp_features"], np.float64) for c in curves])
    return {name: torch.from_numpy(value) for name, value in batch.items()}


def same_length_batches(curves: Sequence[Curve], batch: int = BATCH) -> list[dict[str, torch.Tensor]]:
    """:func:`padded` batches of curves of one length each."""
    lengths = np.array([len(c["x"]) for c in curves])
    batches = []
    for length in np.unique(lengths):
        rows = np.flatnonzero(lengths == length)
        for start in range(0, len(rows), batch):
            batches.append(padded([curves[k] for k in rows[start : start + batch]]))
    return batches


def build_encoder(
    shape: EncoderShape, formats: Mapping[str, TensorFormat], parameters: Mapping[str, torch.Tensor] | None = None
) -> QuantEncoder:
    """The quantised encoder of given formats (float32; ``.double()`` it to judge), with parameters if given."""
    network = QuantEncoder(shape, brevitas_factory(formats))
    for k, layer in enumerate(network.layers):
        name = f"layers.{k}.attention"
        layer.attention.limit_scores(formats[f"{name}.q_query"], formats[f"{name}.q_key"], shape.d_head)
    if parameters is not None:
        load_parameters(network, parameters)
    return network


def calibrate(
    parameters: Mapping[str, torch.Tensor],
    shape: EncoderShape,
    curves: Sequence[Curve],
    recipe: Recipe,
    progress: Callable[[Iterable], Iterable] | None = None,
) -> tuple[QuantEncoder, dict[str, TensorFormat]]:
    """Post-training quantisation: (network, formats) from folded float parameters and light curves."""

    def feed(network: nn.Module) -> None:
        batches = same_length_batches(curves)
        for batch in progress(batches) if progress else batches:
            network.embed(**batch)

    observers = observe_network(lambda make: QuantEncoder(shape, make), parameters, feed, SAMPLE)
    formats = choose_formats(observers, recipe)
    return build_encoder(shape, formats, parameters).eval(), formats
