"""Calibration: run the unrounded network over real windows with observers, then choose each tensor's binary
point.

Scalar scales hold the largest magnitude seen (or a percentile, by recipe) plus guard bits; scales of the
state h and of the decay g are chosen for each (d, n), weights for each row.

Four choices make the gateware smaller; none is in the default recipe: ``scale = "channel"`` gives dx = delta x a
binary point for each d (few bits then hold channels of different delta); ``spread`` limits how far the binary
points of h of one d lie apart (the sum over n is as wide as its terms are misaligned); ``balance`` moves powers of
two from the rows of B to those of C, so that the states of one d are of one size (:func:`balance`); a tensor rounded
by ``floor`` behind a bias gets its half unit from that bias (:func:`round_in_bias`): half up, without an adder.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import numpy as np
import torch
from torch import nn

from .formats import FormatError, TensorFormat, frac_for
from .network import QuantVenom
from .quantisers import MAY_SHARE, Observer, QuantiserFactory, brevitas_factory, observer_factory
from .recipe import Recipe
from .shape import NetworkShape


def load_parameters(network: nn.Module, parameters: Mapping[str, torch.Tensor]) -> None:
    """Copy parameters into a network; names and shapes must match exactly."""
    own = network.state_dict()
    if set(own) != set(parameters):
        raise FormatError(
            f"parameters do not match the network: missing {sorted(set(own) - set(parameters))}, "
            f"unknown {sorted(set(parameters) - set(own))}"
        )
    network.load_state_dict({k: v.to(own[k].dtype) for k, v in parameters.items()}, strict=True)


def observe_network(
    build: Callable[[QuantiserFactory], nn.Module],
    parameters: Mapping[str, torch.Tensor],
    feed: Callable[[nn.Module], None],
    sample: int = Observer.SAMPLE,
) -> dict[str, Observer]:
    """Observers (by tensor name) of the unrounded network that ``build`` makes, after ``feed`` has run data through it.

    Everything in float64, without gradients.  ``sample``: values that each observer keeps of each call.
    """
    observers: dict[str, Observer] = {}
    network = build(observer_factory(observers, sample)).double()
    load_parameters(network, parameters)
    with torch.no_grad():
        feed(network)
    return observers


def observe(
    parameters: Mapping[str, torch.Tensor],
    shape: NetworkShape,
    counts: torch.Tensor,
    batch: int = 256,
    progress: Iterable | None = None,
) -> dict[str, Observer]:
    """Observers (by tensor name) after the unrounded network has seen counts (windows, L, 2)."""

    def feed(network: nn.Module) -> None:
        starts = range(0, len(counts), batch)
        for start in progress(starts) if callable(progress) else starts:
            network.window(network.embed(counts[start : start + batch]))

    return observe_network(lambda make: QuantVenom(shape, make), parameters, feed)


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
            limit, one = seen.limit, not seen.scale_shape
            if seen.tensor_class in MAY_SHARE and settings.get("scale", "tensor") == "tensor":
                limit, one = np.max(limit), True
            if one and percentile < 100:
                limit = seen.percentile(percentile)
            frac = frac_for(limit if np.ndim(limit) else float(limit), bits, seen.signed, guard)
            if seen.tensor_class == "g":  # a decay of 1 or more would not be a decay
                frac = np.maximum(frac, bits)
            if "spread" in settings:
                frac = np.minimum(frac, frac.min(axis=-1, keepdims=True) + settings["spread"])
        rounding, minimum = settings.get("rounding", "half_even"), settings.get("minimum")
        formats[name] = TensorFormat(bits, frac, seen.signed, rounding, minimum)
    return formats


def balance(
    parameters: Mapping[str, torch.Tensor], shape: NetworkShape, observers: Mapping[str, Observer]
) -> dict[str, torch.Tensor]:
    """The same function with states of similar size within each d: row n of B times 2^-k, row n of C times 2^k.

    h_n depends linearly on B_n and is read through C_n only, so the powers cancel exactly; k_n is the mean over d of
    how much larger than the others (in octaves) the largest |h[d, n]| is.
    """
    parameters = dict(parameters)
    for layer in range(shape.n_layers):
        name = f"step.layers.{layer}"
        octaves = np.log2(np.maximum(observers[f"{name}.q_h"].limit[0], 2.0**-40))
        k = np.rint((octaves - octaves.mean(axis=1, keepdims=True)).mean(axis=0))
        power = torch.as_tensor(np.exp2(k), dtype=torch.float64)[:, None]
        for projection, factor in (("b_proj", 1 / power), ("c_proj", power)):
            key = f"{name}.{projection}.weight.value"
            parameters[key] = parameters[key] * factor
    return parameters


def round_in_bias(
    parameters: Mapping[str, torch.Tensor], shape: NetworkShape, formats: Mapping[str, TensorFormat]
) -> dict[str, torch.Tensor]:
    """Parameters with half a unit of each tensor of rounding ``floor`` added to the bias in front of it."""
    parameters = dict(parameters)
    biases = {"step.q_in": "step.affine.bias", "step.q_res": "step.input_proj.bias"}
    for layer in (f"step.layers.{k}" for k in range(shape.n_layers)):
        for tensor, bias in (("xi", "x_proj.bias"), ("z", "z_proj.bias"), ("u", "conv_bias"), ("zt", "dt_proj.bias")):
            biases[f"{layer}.q_{tensor}"] = f"{layer}.{bias}"
    biases |= {f"head.q_{tensor}": f"head.fc{k}.bias" for k, tensor in enumerate(("a1", "a2", "out"), 1)}
    for tensor, bias in biases.items():
        if formats[tensor].rounding == "floor":
            parameters[f"{bias}.value"] = parameters[f"{bias}.value"] + 0.5 * formats[tensor].lsb
    return parameters


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
    for k, layer in enumerate(network.step.layers):
        layer.limit_decay(formats[f"step.layers.{k}.q_g"])
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
    if recipe.tensors["h"].get("balance"):
        parameters = balance(parameters, shape, observers)
        observers = observe(parameters, shape, counts, progress=progress)
    formats = choose_formats(observers, recipe)
    parameters = round_in_bias(parameters, shape, formats)
    parameters["step.score_reference"] = torch.tensor(
        score_reference(observers, formats), dtype=torch.float64
    )
    return build_network(shape, formats, parameters), formats
