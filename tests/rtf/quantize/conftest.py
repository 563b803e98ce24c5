"""A tiny encoder with random weights of a working scale, light curves as its inputs, and its exported file."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from rtf_models.model import LightCurveCompressor
from rtf_models.quantize.calibrate import RECIPES, calibrate
from rtf_models.quantize.files import write_qonnx
from rtf_models.quantize.fold import encoder_shape, fold_weights
from venom_hw.quantize.recipe import load_recipe

torch.set_num_threads(1)


def tiny_model(**sizes) -> LightCurveCompressor:
    """A LightCurveCompressor of d = 32, two heads, two layers, with every weight off its initial value."""
    torch.manual_seed(3)
    config = {"mode": "ae", "latent_dim": 8, "d_model": 32, "n_heads": 2, "n_encoder_layers": 2, "d_ff": 64}
    model = LightCurveCompressor(**config | {"n_decoder_layers": 1} | sizes).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.startswith(("encoder", "enc_norm", "time2vec", "in_proj", "gp_proj")):
                parameter.add_(torch.randn_like(parameter) * 0.15)
    return model


def tiny_curves(count=24, channels=7, seed=0, longest=60, features=0) -> list[dict[str, np.ndarray]]:
    """Inputs (x (L, channels), some with gp_features) of made-up light curves of 1 to ``longest`` detections."""
    rng = np.random.default_rng(seed)
    curves = []
    for _ in range(count):
        n = int(rng.integers(1, longest + 1))
        dt = np.concatenate([[0], np.cumsum(rng.exponential(2, n - 1))])
        x = np.zeros((n, channels), np.float32)
        x[:, 0], x[:, 1] = np.log1p(dt), np.log1p(np.diff(dt, prepend=0))
        x[:, 2:4] = rng.normal(0, 1, (n, 2))
        x[np.arange(n), 4 + rng.integers(0, 3, n)] = 1
        x[:, 7:] = rng.normal(0, 2, (n, channels - 7))
        curves.append({"x": x})
        if features:
            curves[-1]["gp_features"] = rng.normal(0, 2, features).astype(np.float32)
    return curves


def tiny_quantised(model, curves, overrides=()) -> SimpleNamespace:
    """model, curves, shape, parameters (folded), network, formats, recipe."""
    recipe = load_recipe(None, overrides, RECIPES)
    shape = encoder_shape(model.config(), recipe.tensors["e"]["bits"])
    parameters = fold_weights(model.state_dict(), shape, model.mode)
    network, formats = calibrate(parameters, shape, curves, recipe)
    return SimpleNamespace(
        model=model, curves=curves, shape=shape, parameters=parameters, network=network, formats=formats, recipe=recipe
    )


@pytest.fixture(scope="session")
def tiny():
    """The builders: test files of importlib mode cannot import a conftest."""
    return SimpleNamespace(model=tiny_model, curves=tiny_curves, quantised=tiny_quantised)


@pytest.fixture(scope="session")
def quantised():
    """The tiny network calibrated; not to be changed."""
    return tiny_quantised(tiny_model(), tiny_curves())


@pytest.fixture(scope="session")
def exported(quantised, tmp_path_factory):
    """Its QONNX file."""
    path = tmp_path_factory.mktemp("encoder") / "encoder.onnx"
    return write_qonnx(quantised.network, quantised.formats, path, model="tiny")
