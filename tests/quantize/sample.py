"""A small quantised VENOM with seeded random weights, calibrated on synthetic pulses."""

import math

import numpy as np
import torch

from venom_hw.quantize.calibrate import calibrate
from venom_hw.quantize.fold import fold_weights, network_shape
from venom_hw.quantize.recipe import load_recipe

WINDOW = {
    "rate_hz": 5e5,
    "n_pre": 4,
    "length": 24,
    "tau_s": 8e-6,
    "n_tau": 5.0,
    "downsample": 4,
    "counts_per_unit": 1.0,
    "centre": [0.0, 0.0],
}
NORMALISATION = {
    "iq_mean": [5700.0, 700.0],
    "iq_std": [500.0, 900.0],
    "energy_offset": 1.2,
    "energy_scale": 0.25,
}


def float_weights(d_model=16, d_state=8, d_conv=4, expand=1, n_layers=1, hidden=32, seed=1):
    """Random state dict of MKIDEnergySSM, of a scale that makes all parts of the network work."""
    generator = torch.Generator().manual_seed(seed)
    d_inner = expand * d_model

    def rand(*size, fan=None):
        return torch.randn(*size, generator=generator) / math.sqrt(fan or size[-1])

    weights = {
        "backbone.input_proj.weight": rand(d_model, 2),
        "backbone.input_proj.bias": rand(d_model, fan=4),
        "backbone.norm.weight": 1 + 0.1 * rand(d_model, fan=1),
        "backbone.norm.bias": 0.1 * rand(d_model, fan=1),
        "head.query": rand(d_model, fan=1),
        "head.fc1.weight": rand(hidden, d_model),
        "head.fc1.bias": 0.1 * rand(hidden, fan=1),
        "head.fc2.weight": rand(hidden, hidden),
        "head.fc2.bias": 0.1 * rand(hidden, fan=1),
        "head.fc3.weight": rand(2, hidden, fan=1),
        "head.fc3.bias": 0.1 * rand(2, fan=1),
    }
    for k in range(n_layers):
        p = f"backbone.layers.{k}."
        weights |= {
            p + "norm.weight": 1 + 0.1 * rand(d_model, fan=1),
            p + "norm.bias": 0.1 * rand(d_model, fan=1),
            p + "in_proj.weight": rand(2 * d_inner, d_model),
            p + "conv.weight": rand(d_inner, 1, d_conv),
            p + "conv.bias": 0.1 * rand(d_inner, fan=1),
            p + "B_proj.weight": rand(d_state, d_inner),
            p + "C_proj.weight": rand(d_state, d_inner),
            p + "dt_proj.weight": rand(d_inner, d_inner),
            p + "dt_proj.bias": -2 + rand(d_inner, fan=1),
            p + "log_neg_A": torch.log(torch.arange(1.0, d_state + 1)).repeat(d_inner, 1),
            p + "D": torch.ones(d_inner),
            p + "out_proj.weight": rand(d_model, d_inner),
        }
    return weights


def pulses(windows, length=24, seed=0):
    """int16 counts (windows, length, 2) of exponential pulses on a loop, with noise."""
    rng = np.random.default_rng(seed)
    t = np.arange(length) - 4
    shape = np.where(t >= 0, np.exp(-t / 6.0), 0.0)
    height = rng.uniform(1500, 4000, (windows, 1))
    iq = np.stack([6000 - 0.4 * height * shape, height * shape], -1) + rng.normal(0, 60, (windows, length, 2))
    return np.rint(iq).astype(np.int16)


def quantised(length=24, overrides=(), **sizes):
    """(network float32, formats, folded parameters, recipe) calibrated on pulses."""
    recipe = load_recipe(overrides=overrides)
    config = {
        "d_model": sizes.get("d_model", 16),
        "d_state": sizes.get("d_state", 8),
        "n_layers": sizes.get("n_layers", 1),
        "d_conv": sizes.get("d_conv", 4),
        "expand": sizes.get("expand", 1),
        "d_head_hidden": sizes.get("hidden", 32),
    }
    shape = network_shape(config, length, recipe.tensors["e"]["bits"])
    parameters = fold_weights(float_weights(**sizes), shape, NORMALISATION)
    network, formats = calibrate(parameters, shape, torch.from_numpy(pulses(64, length)), recipe)
    return network.eval(), formats, parameters, recipe
