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
SAMPLE = 500  # values that an observer keeps of each of some hundred batches


def _check(recipe: Recipe, source: str) -> None:
    fills_unit_interval(recipe, source, "e", "m")


RECIPES = RecipeBook(
    Path(__file__).parent / "recipes" / "default.toml",
    {key: () for key in ("scale", "spread", "minimum", "balance")},
    check=_check,
)


def calibration_curves(data: SourceDataset, count: int, seed: int = 0) -> list[np.ndarray]:
    """Inputs (L, C) of ``count`` sources drawn at random, whole, and of one random prefix of each."""
    rng = np.random.default_rng(seed)
    chosen = rng.permutation(len(data.sources))[:count]
    curves = []
    for index in chosen:
        x = data.inputs.prepare(data.sources[int(index)], data.max_detections)["x"]
        curves += [x, x[: rng.integers(1, len(x), endpoint=True)]]
    return curves


def same_length_batches(curves: Sequence[np.ndarray], batch: int = BATCH) -> list[torch.Tensor]:
    """The curves stacked (B, L, C) float64, each batch of one length."""
    lengths = np.array([len(x) for x in curves])
    batches = []
    for length in np.unique(lengths):
        rows = np.flatnonzero(lengths == length)
        for start in range(0, len(rows), batch):
            batches.append(torch.from_numpy(np.stack([curves[k] for k in rows[start : start + batch]])).double())
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
    curves: Sequence[np.ndarray],
    recipe: Recipe,
    progress: Callable[[Iterable], Iterable] | None = None,
) -> tuple[QuantEncoder, dict[str, TensorFormat]]:
    """Post-training quantisation: (network, formats) from folded float parameters and light curves (L, C)."""

    def feed(network: nn.Module) -> None:
        batches = same_length_batches(curves)
        for x in progress(batches) if progress else batches:
            network(x, x.new_zeros(x.shape[:2]))

    observers = observe_network(lambda make: QuantEncoder(shape, make), parameters, feed, SAMPLE)
    formats = choose_formats(observers, recipe)
    return build_encoder(shape, formats, parameters).eval(), formats
