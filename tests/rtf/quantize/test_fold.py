"""Folding changes no function: the unrounded quantised network is the float model."""

import pytest
import torch

from rtf_models.quantize.calibrate import padded
from rtf_models.quantize.fold import encoder_shape, fold_weights
from rtf_models.quantize.network import QuantEncoder
from rtf_models.quantize.shape import EncoderError
from rtf_models.quantize.training import float_latent
from venom_hw.quantize.calibrate import load_parameters
from venom_hw.quantize.quantisers import observer_factory


def unrounded(model):
    shape = encoder_shape(model.config(), 8)
    network = QuantEncoder(shape, observer_factory({})).double()
    load_parameters(network, fold_weights(model.state_dict(), shape, model.mode))
    return network


CASES = [
    {},
    {"mode": "vae"},
    {"mode": "vqvae", "num_codes": 16},
    {"in_channels": 37},
    {"n_encoder_layers": 1, "n_heads": 4},
    {"n_encoder_layers": 3, "d_ff": 48, "n_heads": 1},
    {"gp_dim": 114},
    {"gp_dim": 228, "embed_absent": True, "mode": "vae"},
]


@pytest.mark.parametrize("sizes", CASES, ids=lambda s: ",".join(f"{k}={v}" for k, v in s.items()) or "default")
def test_unrounded_network_is_the_float_model(tiny, sizes):
    """Padded batches of all lengths; what is left is eps: 2^-17 for 1e-5."""
    model = tiny.model(**sizes)
    feeds = padded(tiny.curves(12, model.in_channels, features=model.gp_dim))
    if model.gp_dim:
        feeds["gp_features"][:3] = 0  # absent
    model.double()
    wanted = float_latent(model, **feeds)
    if model.mode != "vqvae":
        torch.testing.assert_close(wanted, model.embed(**feeds), rtol=0, atol=0)
    found = unrounded(model).embed(**feeds)
    assert wanted.std() > 0.1
    torch.testing.assert_close(found, wanted, rtol=0, atol=3e-5)


def test_every_parameter_of_the_encoder_is_used(tiny):
    """A change of any encoder weight changes the folded parameters (biases of keys excepted: softmax drops them)."""
    model = tiny.model()
    shape = encoder_shape(model.config(), 8)
    before = fold_weights(model.state_dict(), shape, "ae")
    encoder = ("in_proj", "time2vec", "cls_tok", "encoder", "enc_norm", "bottleneck_proj")
    names = [n for n in model.state_dict() if n.startswith(encoder)]
    assert len(names) == 2 + 4 + 1 + 2 * 12 + 2 + 2
    for name in names:
        weights = {k: v.clone() for k, v in model.state_dict().items()}
        weights[name] += 0.3 + 0.1 * torch.arange(weights[name].numel()).reshape(weights[name].shape)
        after = fold_weights(weights, shape, "ae")
        assert any(not torch.equal(after[k], before[k]) for k in before), name


def test_unsupported_models_are_refused_by_name(tiny):
    with pytest.raises(EncoderError, match="use_images = True .*image tower is not quantised"):
        encoder_shape(tiny.model(use_images=True).config(), 8)
    with pytest.raises(EncoderError, match="d_model = 24: expected a power of two"):
        encoder_shape(tiny.model(d_model=24).config(), 8)


def test_missing_and_misshapen_tensors_are_named(tiny):
    model = tiny.model()
    shape = encoder_shape(model.config(), 8)
    weights = dict(model.state_dict())
    wrong = weights | {"encoder.layers.1.linear1.weight": torch.zeros(3, 3)}
    with pytest.raises(EncoderError, match=r"layers.1.linear1.weight' has shape \(3, 3\), expected \(64, 32\)"):
        fold_weights(wrong, shape, "ae")
    del weights["time2vec.w"]
    with pytest.raises(EncoderError, match="no tensor 'time2vec.w'"):
        fold_weights(weights, shape, "ae")
