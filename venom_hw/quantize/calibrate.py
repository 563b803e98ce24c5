"""Calibration: run the unrounded network over real windows with observers, then choose each tensor's binary
point.

Scalar scales hold the largest magnitude seen (or a percentile, by recipe) plus guard bits; scales of the
state h and of the decay g are chosen for each (d, n), weights for each row.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import torch

from .formats import FormatError, TensorFormat, frac_for
from .network import QuantVenom
from .quantisers import Observer, brevitas_factory, observer_factory
from .recipe import Recipe
from .shape import NetworkShape


def load_parameters(network: QuantVenom, parameters: Mapping[str, torch.Tensor]) -> None:
    """Copy parameters into a network; names and shapes must match exactly."""
    own = network.state_dict()
    if set(own) != set(parameters):
        raise FormatError(
            f"parameters do not match the network: missing {sorted(set(own) - set(parameters))}, "
            f"unknown {sorted(set(parameters) - set(own))}"
        )
    network.load_state_dict({k: v.to(own[k].dtype) for k, v in parameters.items()}, strict=True)


def observe(
    parameters: Mapping[str, torch.Tensor],
    shape: NetworkShape,
    counts: torch.Tensor,
    batch: int = 256,
    progress: Iterable | None = None,
) -> dict[str, Observer]:
    """Observers (by tensor name) after the unrounded network has seen counts (windows, L, 2)."""
    observers: dict[str, Observer] = {}
    network = QuantVenom(shape, observer_factory(observers)).double()
    load_parameters(network, parameters)
    starts = range(0, len(counts), batch)
    with torch.no_grad():
        for start in progress(starts) if callable(progress) else starts:
            network.window(network.embed(counts[start : start + batch]))
    return observers


def choose_formats(observers: Mapping[str, Observer], recipe: Recipe) -> dict[str, TensorFormat]:
    """Format of every tensor from the observed ranges and the recipe."""
    formats = {}
    for name, seen in observers.items():
        settings = recipe.settings(seen.tensor_class)
        bits, guard = settings["bits"], settings.get("guard", 0)
        if "frac" in settings:
            frac: int | np.ndarray = settings["frac"]
        else:
            if seen.limit is None:
                raise FormatError(f"tensor '{name}' was never seen during calibration")
            percentile = settings.get("percentile", recipe.calibration["percentile"])
            limit = seen.percentile(percentile) if percentile < 100 and not seen.scale_shape else seen.limit
            frac = frac_for(limit if np.ndim(limit) else float(limit), bits, seen.signed, guard)
            if seen.tensor_class == "g":  # a decay of 1 or more would not be a decay
                frac = np.maximum(frac, bits)
        formats[name] = TensorFormat(bits, frac, seen.signed, settings.get("rounding", "half_even"))
    return formats


def score_reference(observers: Mapping[str, Observer], formats: Mapping[str, TensorFormat]) -> float:
    """S0: the largest score seen, rounded up to the grid of the score."""
    lsb = float(formats["step.q_s"].lsb)
    return float(np.ceil(observers["step.q_s"].maximum / lsb) * lsb)


def build_network(
    shape: NetworkShape,
    formats: Mapping[str, TensorFormat],
    parameters: Mapping[str, torch.Tensor] | None = None,
) -> QuantVenom:
    """The quantised network of given formats (float32; ``.double()`` it to judge), with parameters if given."""
    h_formats = [formats[f"step.layers.{k}.q_h"] for k in range(shape.n_layers)]
    network = QuantVenom(shape, brevitas_factory(formats), h_formats)
    if parameters is not None:
        load_parameters(network, parameters)
    return network


def calibrate(
    parameters: Mapping[str, torch.Tensor],
    shape: NetworkShape,
    counts: torch.Tensor,
    recipe: Recipe,
    progress: Iterable | None = None,
) -> tuple[QuantVenom, dict[str, TensorFormat]]:
    """Post-training quantisation: (network, formats) from folded float parameters and calibration counts
    (windows, L, 2).
    """
    observers = observe(parameters, shape, counts, progress=progress)
    formats = choose_formats(observers, recipe)
    parameters = dict(parameters)
    parameters["step.score_reference"] = torch.tensor(
        score_reference(observers, formats), dtype=torch.float64
    )
    return build_network(shape, formats, parameters), formats
