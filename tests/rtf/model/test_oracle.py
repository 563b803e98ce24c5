"""State dicts in the original's form, from an independent network out of torch.nn modules, give its numbers."""

import pytest
import torch
import torch.nn.functional as F

from benchmarks.plain_rtf import PlainCompressor
from rtf_models.checkpoint import load_checkpoint
from rtf_models.model import LightCurveCompressor

VARIANTS = {
    "photometry": {},
    "metadata": {"in_channels": 37},
    "features": {"gp_dim": 114},
    "image": {"use_images": True},
    "all, with head": {"in_channels": 37, "gp_dim": 114, "use_images": True, "num_classes": 5},
    "small": {"latent_dim": 8, "d_model": 64},
}
CASES = [(mode, name) for mode in ("ae", "vae", "vqvae") for name in VARIANTS]


def batch(in_channels=7, gp_dim=0, use_images=False, lengths=(3, 1, 40, 17), **_):
    generator = torch.Generator().manual_seed(1)
    size = (len(lengths), max(lengths))
    x = torch.randn(*size, in_channels, generator=generator)
    x[..., 4:7] = F.one_hot(torch.randint(3, size, generator=generator), 3).float()
    pad_mask = torch.arange(size[1]) >= torch.tensor(lengths)[:, None]
    x[pad_mask] = 0
    images = torch.randn(len(lengths), 3, 63, 63, generator=generator) if use_images else None
    features = torch.randn(len(lengths), gp_dim, generator=generator) if gp_dim else None
    if use_images:
        images[1] = 0  # no stamp
    if gp_dim:
        features[2] = 0
    return x, pad_mask, images, features


def plain(mode, **variant):
    """The oracle with every parameter away from its start value, so that none can be mixed up or left out."""
    torch.manual_seed(3)
    network = PlainCompressor(mode, **variant).eval()
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if "vq" in name:
                parameter.normal_(0, 0.5)
            elif parameter.dim() == 1:
                parameter.add_(0.1 * torch.randn_like(parameter))
            else:
                parameter.mul_(torch.empty_like(parameter).uniform_(0.5, 1.5))
        for name, buffer in network.named_buffers():
            if "running_var" in name:
                buffer.uniform_(0.1, 0.3)
            elif "running_mean" in name:
                buffer.normal_(0, 0.1)
    return network


def ours(oracle, mode, **variant):
    network = LightCurveCompressor(mode, **{"latent_dim": 64, **variant})
    network.load_state_dict(oracle.state_dict(), strict=True)
    return network.eval()


@pytest.mark.parametrize(("mode", "name"), CASES)
def test_same_embedding_reconstruction_and_loss(mode, name):
    variant, labels = VARIANTS[name], torch.tensor([0, 4, 2, 1])
    oracle = plain(mode, **variant)
    network = ours(oracle, mode, **variant)
    inputs = batch(**variant)
    expected = oracle(*inputs)
    key = "mu" if mode == "vae" else "z"
    torch.testing.assert_close(network.embed(*inputs), expected[2][key], atol=1e-5, rtol=1e-5)
    out = network(*inputs)
    torch.testing.assert_close(out[0], expected[0], atol=2e-5, rtol=1e-5)
    torch.testing.assert_close(out[1], expected[1], atol=2e-5, rtol=1e-5)
    labels = labels if variant.get("num_classes") else None
    loss = network.compute_loss(*inputs[:2], out, beta=0.7, labels=labels, cls_weight=0.5)["total_loss"]
    torch.testing.assert_close(loss, oracle.loss(*inputs[:2], expected, 0.7, labels, 0.5), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("mode", ["ae", "vae"])
def test_same_gradients(mode):
    variant = VARIANTS["all, with head"]
    oracle = plain(mode, **variant)
    network, inputs, labels = ours(oracle, mode, **variant), batch(**variant), torch.tensor([0, 4, 2, 1])
    oracle.loss(*inputs[:2], oracle(*inputs), 0.7, labels, 0.5).backward()
    network.compute_loss(*inputs[:2], network(*inputs), 0.7, labels, 0.5)["total_loss"].backward()
    expected = dict(oracle.named_parameters())
    for name, parameter in network.named_parameters():
        torch.testing.assert_close(parameter.grad, expected[name].grad, atol=2e-5, rtol=1e-3, msg=name)


@pytest.mark.parametrize("length", [1, 26, 257])
def test_lengths(length):
    oracle = plain("ae")
    network, inputs = ours(oracle, "ae"), batch(lengths=(length, max(1, length // 2)))
    torch.testing.assert_close(network.embed(*inputs), oracle(*inputs)[2]["z"], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(network(*inputs)[0], oracle(*inputs)[0], atol=2e-5, rtol=1e-5)


def test_a_change_of_any_weight_shows():
    """The comparison can fail: each tensor that the embedding needs, changed, changes the embedding."""
    variant = VARIANTS["all, with head"]
    oracle, inputs = plain("ae", **variant), batch(**variant)
    expected = oracle(*inputs)[2]["z"]
    without_effect = ("z_proj", "pos_embed", "decoder.", "dec_norm", "head_", "cls_head")  # and BN's counters
    network = LightCurveCompressor("ae", 64, **variant, embed_absent=True, decode_all=True).eval()
    for name, tensor in oracle.state_dict().items():
        if name.startswith(without_effect) or name.endswith("num_batches_tracked"):
            continue
        network.load_state_dict(oracle.state_dict() | {name: tensor + 0.3 * torch.rand_like(tensor)})
        assert (network.embed(*inputs) - expected).abs().max() > 1e-4, name


@pytest.mark.parametrize("mode", ["ae", "vae", "vqvae"])
def test_file_of_the_original_needs_no_flags(mode, tmp_path):
    variant = VARIANTS["all, with head"]
    oracle, inputs = plain(mode, **variant), batch(**variant)
    torch.save(oracle.state_dict(), tmp_path / "best_model.pt")
    checkpoint = load_checkpoint(tmp_path)
    key = "mu" if mode == "vae" else "z"
    found = checkpoint.model.embed(*inputs)
    torch.testing.assert_close(found, oracle(*inputs)[2][key], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(checkpoint.model(*inputs)[0], oracle(*inputs)[0], atol=2e-5, rtol=1e-5)
    assert (checkpoint.inputs.metadata, checkpoint.inputs.features, checkpoint.inputs.images) == (
        "per_sample", "file", True,
    )  # fmt: skip
    assert checkpoint.model.num_classes == (0 if mode == "vqvae" else 5)


def test_longer_than_the_positions_as_the_original_would_have_to():
    """A long sequence beside a short one: the short one's reconstruction is what it is alone."""
    oracle = plain("ae")
    network, inputs = ours(oracle, "ae"), batch(lengths=(300, 20))
    together, alone = network(*inputs)[0], network(inputs[0][1:, :20])[0]
    torch.testing.assert_close(together[1:, :20], alone, atol=2e-5, rtol=1e-5)
    assert together.shape == (2, 300, 4)
