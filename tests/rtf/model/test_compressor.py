"""LightCurveCompressor: what each mode promises, whatever the batch, the train flag and the length."""

import copy
import warnings

import pytest
import torch
import torch.nn.functional as F

from rtf_models.model import LightCurveCompressor, ModelError, kl_divergence

MODES = ("ae", "vae", "vqvae")
LOSS_KEYS = {"total_loss", "recon_cont", "recon_band", "band_acc", "mse_dt", "mse_dt_prev", "mse_logflux",
             "mse_logflux_err", "kld", "beta", "vq_loss", "cls_loss", "cls_acc", "codebook_usage"}  # fmt: skip


def small(mode="ae", **arguments):
    torch.manual_seed(0)
    sizes = {"latent_dim": 8, "d_model": 32, "n_heads": 4, "n_encoder_layers": 2, "n_decoder_layers": 1, "d_ff": 64,
             "num_codes": 16}  # fmt: skip
    return LightCurveCompressor(mode, **{**sizes, **arguments})


def batch(lengths=(5, 12, 1), channels=7, seed=1):
    generator = torch.Generator().manual_seed(seed)
    size = (len(lengths), max(lengths))
    x = torch.randn(*size, channels, generator=generator)
    x[..., 4:7] = F.one_hot(torch.randint(3, size, generator=generator), 3).float()
    pad_mask = torch.arange(size[1]) >= torch.tensor(lengths)[:, None]
    return x * ~pad_mask[..., None], pad_mask


@pytest.mark.parametrize("mode", MODES)
def test_shapes_losses_and_gradients(mode):
    model, (x, pad_mask) = small(mode).train(), batch()
    out = model(x, pad_mask)
    assert out[0].shape == (3, 12, 4) and out[1].shape == (3, 12, 3) and out[2]["z"].shape == (3, 8)
    losses = model.compute_loss(x, pad_mask, out)
    assert set(losses) >= LOSS_KEYS
    assert all(value.shape == () and value.isfinite() for value in losses.values())
    assert [name for name, value in losses.items() if value.requires_grad] == ["total_loss"]
    losses["total_loss"].backward()
    assert model.in_proj.weight.grad.abs().sum() > 0
    assert losses["kld"] > 0 if mode == "vae" else losses["kld"] == 0
    assert (losses["vq_loss"] > 0) == (mode == "vqvae")
    assert 0 <= losses["codebook_usage"] <= 3
    error = model.reconstruction_error(x, pad_mask)
    assert error.shape == (3,) and (error >= 0).all() and not error.requires_grad


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("training", [False, True])
def test_embed_is_pure(mode, training):
    """The train flag changes neither result nor module, nor does embedding touch codebook or random generator."""
    model, (x, pad_mask) = small(mode, use_images=True), batch()
    images = torch.randn(3, 3, 63, 63)
    expected = model.eval().embed(x, pad_mask, images)
    model.train(training)
    model.enc_norm.eval()
    before, flags = copy.deepcopy(model.state_dict()), [m.training for m in model.modules()]
    random_state = torch.get_rng_state()
    found = model.embed(x, pad_mask, images)
    assert torch.equal(found, expected) and not found.requires_grad
    model.reconstruction_error(x, pad_mask, images)
    assert torch.equal(torch.get_rng_state(), random_state)
    assert [m.training for m in model.modules()] == flags
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name]), name


@pytest.mark.parametrize("mode", MODES)
def test_no_source_depends_on_its_batch(mode):
    model, (x, pad_mask) = small(mode).eval(), batch((5, 300, 40))
    together, error = model.embed(x, pad_mask), model.reconstruction_error(x, pad_mask)
    decoded = model(x, pad_mask)[0]
    for k, length in enumerate((5, 300, 40)):
        alone = x[k : k + 1, :length]
        torch.testing.assert_close(model.embed(alone)[0], together[k], atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(model.reconstruction_error(alone)[0], error[k], atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(model(alone)[0][0], decoded[k, :length], atol=1e-5, rtol=1e-4)


def test_padding_content_does_not_matter():
    model, (x, pad_mask) = small().eval(), batch()
    other = torch.where(pad_mask[..., None], torch.full_like(x, 7.0), x)
    assert torch.equal(model.embed(x, pad_mask), model.embed(other, pad_mask))
    losses = [model.compute_loss(y, pad_mask, model(y, pad_mask))["total_loss"] for y in (x, other)]
    torch.testing.assert_close(*losses)


def test_decoder_runs_as_many_positions_as_there_are(monkeypatch):
    lengths = []
    for decode_all in (False, True):
        model = small(decode_all=decode_all).eval()
        model.decoder.layers[0].register_forward_pre_hook(lambda module, args: lengths.append(args[0].shape[1]))
        model(*batch((12, 12)))
        assert model.decode(torch.zeros(2, 8))[0].shape == (2, 257, 4)
    assert lengths == [12, 257, 257, 257]


def test_positions_beyond_the_learned_are_interpolated():
    from rtf_models.model.positions import position_codes

    learned = torch.arange(5.0)[None, :, None]
    torch.testing.assert_close(position_codes(learned, 9).flatten(), torch.arange(9) / 2)
    visible = torch.arange(9) < torch.tensor([[9], [3]])
    codes = position_codes(learned, 9, visible).squeeze(-1)
    torch.testing.assert_close(codes[0], torch.arange(9) / 2)
    torch.testing.assert_close(codes[1, :3], torch.arange(3.0))
    assert torch.equal(position_codes(learned, 3), learned[:, :3])


def test_vae_draws_in_training_alone():
    model, inputs = small("vae"), batch()
    model.train()
    for part in model.modules():
        if isinstance(part, torch.nn.Dropout):
            part.p = 0.0
    for layer in model.encoder.layers:
        layer.self_attn.dropout = 0.0
    first, second = model.encode(*inputs), model.encode(*inputs)
    torch.testing.assert_close(first[1]["mu"], second[1]["mu"])
    assert not torch.equal(first[0], second[0])
    model.eval()
    z, extras = model.encode(*inputs)
    assert torch.equal(z, extras["mu"]) and torch.equal(model.embed(*inputs), z)


def test_reparameterize_has_the_right_distribution():
    model = small("vae").train()
    mu, logvar = torch.full((200_000, 1), 3.0), torch.full((200_000, 1), 0.8)
    z = model.reparameterize(mu, logvar)
    assert abs(z.mean() - 3) < 0.02 and abs(z.var() - torch.tensor(0.8).exp()) < 0.05


def test_kl_is_the_divergence_of_two_normals():
    mu, logvar = torch.tensor([[0.3, -1.0, 0.0]]), torch.tensor([[0.2, -0.5, 0.0]])
    normal, unit = torch.distributions.Normal(mu, (0.5 * logvar).exp()), torch.distributions.Normal(0.0, 1.0)
    exact = torch.distributions.kl_divergence(normal, unit)
    torch.testing.assert_close(kl_divergence(mu, logvar), exact)
    torch.testing.assert_close(kl_divergence(mu, logvar, 0.25), exact.clamp(min=0.25))


def test_kl_reductions_and_beta():
    x, pad_mask = batch()
    by = {}
    for reduction in ("sum", "mean"):
        model = small("vae", kl_reduction=reduction).eval()
        out = model(x, pad_mask)
        by[reduction] = model.compute_loss(x, pad_mask, out, beta=0.5)
        plain = model.compute_loss(x, pad_mask, out, beta=0.0)["total_loss"]
        torch.testing.assert_close(by[reduction]["total_loss"] - plain, 0.5 * by[reduction]["kld"])
    torch.testing.assert_close(by["sum"]["kld"], 8 * by["mean"]["kld"])
    torch.testing.assert_close(by["sum"]["kl_sum"], 8 * by["sum"]["kl_mean"])
    assert by["sum"]["kl_sum"] < by["sum"]["kld"]  # free bits lift what is below


@pytest.mark.parametrize("mode", MODES)
def test_class_head_ignores_unknown_labels(mode):
    model, (x, pad_mask) = small(mode, num_classes=3).eval(), batch()
    out = model(x, pad_mask)
    logits = model.cls_head(out[2]["mu" if mode == "vae" else "z"])
    labels = torch.tensor([2, -1, 0])
    losses = model.compute_loss(x, pad_mask, out, labels=labels, cls_weight=0.5)
    torch.testing.assert_close(losses["cls_loss"], F.cross_entropy(logits[[0, 2]], labels[[0, 2]]).detach())
    plain = model.compute_loss(x, pad_mask, out)
    torch.testing.assert_close(losses["total_loss"] - plain["total_loss"], 0.5 * losses["cls_loss"])
    weights = torch.tensor([0.5, 1.0, 4.0])
    weighted = model.compute_loss(x, pad_mask, out, labels=labels, cls_weight=0.5, class_weights=weights)
    expected = F.cross_entropy(logits[[0, 2]], labels[[0, 2]], weight=weights).detach()
    torch.testing.assert_close(weighted["cls_loss"], expected)
    nobody = model.compute_loss(x, pad_mask, out, labels=torch.full((3,), -1), cls_weight=0.5)
    torch.testing.assert_close(nobody["total_loss"], plain["total_loss"])
    losses["total_loss"].backward()
    assert model.cls_head[0].weight.grad.abs().sum() > 0  # also vqvae: the head is trained


def test_nothing_adds_nothing():
    """No image, no feature: the embedding is that of the photometry; in the original's manner it is not."""
    x, pad_mask = batch()
    for absent_counts in (False, True):
        model = small(use_images=True, gp_dim=228, embed_absent=absent_counts).eval()
        missing = torch.cat([torch.zeros(3, 114), torch.ones(3, 114)], 1)  # values, which of them are missing
        same = torch.equal(model.embed(x, pad_mask, torch.zeros(3, 3, 63, 63), missing), model.embed(x, pad_mask))
        assert same != absent_counts
    model = small(use_images=True).train()
    images = torch.zeros(3, 3, 63, 63)
    model(x, pad_mask, images)
    assert model.image_tower.cnn[1].num_batches_tracked == 0  # absent images do not enter the batch statistics
    images[1] = torch.randn(3, 63, 63)
    model.eval()
    alone = model.embed(x[1:2], pad_mask[1:2], images[1:2])
    torch.testing.assert_close(model.embed(x, pad_mask, images)[1:2], alone, atol=1e-5, rtol=1e-4)


def test_gradients_reach_every_modality():
    model, (x, pad_mask) = small(use_images=True, gp_dim=114, num_classes=2).train(), batch()
    out = model(x, pad_mask, torch.randn(3, 3, 63, 63), torch.randn(3, 114))
    losses = model.compute_loss(x, pad_mask, out, labels=torch.tensor([0, 1, 1]), cls_weight=1.0)
    losses["total_loss"].backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name


@pytest.mark.parametrize("mode", MODES)
def test_half_precision_autocast(mode):
    model, (x, pad_mask) = small(mode, num_classes=2).train(), batch((5, 300, 9))
    with torch.autocast("cpu", torch.bfloat16):
        out = model(x, pad_mask)
        losses = model.compute_loss(x, pad_mask, out, labels=torch.tensor([0, 1, 1]), cls_weight=1.0)
    losses["total_loss"].backward()
    assert losses["total_loss"].dtype == torch.float32 and losses["total_loss"].isfinite()


def test_config_rebuilds():
    model = small("vqvae", num_classes=4, kl_reduction="mean", decode_all=True)
    again = LightCurveCompressor(**model.config())
    again.load_state_dict(model.state_dict())
    assert again.config() == model.config()
    assert torch.equal(again.embed(*batch()), model.embed(*batch()))


def test_version_of_the_state_dict_keeps_the_behaviour():
    new, old = small(), small(decode_all=True, embed_absent=True)
    for source in (new, old):
        target = small()
        target.load_state_dict(source.state_dict())
        assert target.config() == source.config()


def plain_dictionary(model):
    return {f"module.{name}".removeprefix("module."): tensor for name, tensor in model.state_dict().items()}


@pytest.mark.parametrize("mode", ["ae", "vae", "vqvae"])
def test_a_state_dict_without_version_is_the_originals(mode):
    """Metadata lost by a dict comprehension or a bare file: the same embeddings where image and features are absent."""
    more = {"use_images": True, "gp_dim": 114}
    old = small(mode, **more, decode_all=True, embed_absent=True)
    (x, pad_mask), absent = batch(), (torch.zeros(3, 3, 63, 63), torch.zeros(3, 114))
    target = small(mode, **more)
    with pytest.warns(UserWarning, match="taken as the original"):
        target.load_state_dict(plain_dictionary(old), strict=True)
    assert target.config() == old.config()
    torch.testing.assert_close(target.embed(x, pad_mask, *absent), old.embed(x, pad_mask, *absent))
    if mode != "vqvae":  # whose codes, untrained, are all alike
        assert not torch.allclose(small(mode, **more).embed(x, pad_mask, *absent), old.embed(x, pad_mask, *absent))


def test_a_network_rebuilt_from_its_config_keeps_its_behaviour():
    for behaviour in ({}, {"decode_all": True, "embed_absent": True}, {"decode_all": True}):
        source = small(**behaviour)
        target = LightCurveCompressor(**source.config())
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            target.load_state_dict(plain_dictionary(source))
        assert target.config() == source.config()


def test_new_weights_after_the_originals():
    target = small()
    target.load_state_dict(small(decode_all=True, embed_absent=True).state_dict())
    target.load_state_dict(small().state_dict())
    assert not target.decode_all and not target.embed_absent


@pytest.mark.parametrize("mode", ["ae", "vqvae"])
def test_padding_may_hold_anything(mode):
    model, (x, pad_mask) = small(mode).eval(), batch()
    spoiled = x.masked_fill(pad_mask[..., None], torch.nan)
    assert pad_mask.any()
    torch.testing.assert_close(model.embed(spoiled, pad_mask), model.embed(x, pad_mask))
    error = model.reconstruction_error(x, pad_mask)
    torch.testing.assert_close(model.reconstruction_error(spoiled, pad_mask), error)
    expected = model.compute_loss(x, pad_mask, model(x, pad_mask))
    for name, value in model.compute_loss(spoiled, pad_mask, model(spoiled, pad_mask)).items():
        torch.testing.assert_close(value, expected[name], msg=name)
    model.zero_grad()
    model.compute_loss(spoiled, pad_mask, model(spoiled, pad_mask))["total_loss"].backward()
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)


def test_compression_info():
    assert LightCurveCompressor("ae", 8).compression_info()["raw_bytes"] == 7196
    assert LightCurveCompressor("ae", 8, in_channels=37).compression_info()["raw_bytes"] == 38036
    for dim, ratio in ((8, 224.9), (64, 28.1), (256, 7.0)):
        info = LightCurveCompressor("ae", dim).compression_info()
        assert info["compressed_bytes"] == 4 * dim and round(info["compression_ratio"], 1) == ratio
    for codes, size in ((256, 1), (512, 2), (1024, 2), (1, 1)):
        assert LightCurveCompressor("vqvae", num_codes=codes).compression_info()["compressed_bytes"] == size


def test_honest_ratio_counts_what_a_light_curve_has():
    """26 detections of 13 bytes against 64 float32, whatever the padding and the channels."""
    info = LightCurveCompressor("ae", 64, in_channels=67).compression_info(26)
    assert info["photometry_ratio"] == pytest.approx(26 * 13 / 256)
    assert info["ratio_a_detection"] == pytest.approx(13 / 256)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"mode": "gan"}, "mode is 'gan', expected one of ae, vae, vqvae"),
        ({"latent_dim": 0}, "latent_dim is 0, expected a whole number, 1 or more"),
        ({"in_channels": 6}, "in_channels is 6, expected a whole number, 7 or more"),
        ({"dropout": 1.0}, "dropout is 1.0"),
        ({"image_backbone": "vit"}, "image_backbone is 'vit'"),
        ({"kl_reduction": "max"}, "kl_reduction is 'max'"),
    ],
)
def test_impossible_arguments(arguments, message):
    with pytest.raises(ModelError, match=message):
        LightCurveCompressor(**arguments)


def test_wrong_inputs():
    model = small(gp_dim=114, use_images=True)
    x, pad_mask = batch()
    with pytest.raises(ModelError, match=r"x has shape \(3, 12, 5\), expected \(batch, length >= 1, 7\)"):
        model.embed(x[..., :5])
    with pytest.raises(ModelError, match="pad_mask has shape"):
        model.embed(x, pad_mask[:, 1:])
    with pytest.raises(ModelError, match=r"gp_features have shape \(3, 5\), expected \(3, 114\)"):
        model.embed(x, pad_mask, gp_features=torch.ones(3, 5))
    with pytest.raises(ModelError, match="images have shape"):
        model.embed(x, pad_mask, images=torch.ones(3, 63, 63))
