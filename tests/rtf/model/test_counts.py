"""Parameter counts and state-dict keys of the original, row by row."""

import pytest
import torch

from rtf_models.model import LightCurveCompressor

DECODER_SIDE = ("z_proj", "pos_embed", "decoder.", "dec_norm", "head_cont", "head_band")
FULL = {"in_channels": 37, "gp_dim": 114, "use_images": True}
ROWS = [
    # mode, D, further arguments, total, encoder side
    ("ae", 64, {}, 1_241_927, 803_008),
    ("vae", 64, {}, 1_250_183, 811_264),
    ("vqvae", 64, {}, 1_274_695, 835_776),
    ("ae", 64, {"in_channels": 37}, 1_245_767, 806_848),
    ("ae", 64, {"gp_dim": 114}, 1_256_903, 817_984),
    ("ae", 64, {"in_channels": 37, "gp_dim": 114}, 1_260_743, 821_824),
    ("ae", 64, {"use_images": True}, 1_499_975, 1_061_056),
    ("ae", 64, {"in_channels": 37, "use_images": True}, 1_503_815, 1_064_896),
    ("ae", 64, FULL, 1_518_791, 1_079_872),
    ("ae", 64, {**FULL, "num_classes": 5}, 1_523_276, 1_079_872),
    ("ae", 64, {**FULL, "num_classes": 6}, 1_523_341, 1_079_872),
]
TOTAL_BY_DIM = {2: 1_225_993, 8: 1_227_535, 32: 1_233_703, 128: 1_258_375, 256: 1_291_271, 512: 1_357_063,
                1024: 1_488_647}  # fmt: skip
PIECES = {
    "in_proj.": 1_024, "time2vec.": 256, "cls_tok": 128, "encoder.layers.2.": 198_272, "encoder.": 793_088,
    "encoder.layers.0.self_attn.in_proj": 49_152 + 384, "encoder.layers.0.self_attn.out_proj": 16_384 + 128,
    "encoder.layers.0.norm": 512, "enc_norm.": 256, "bottleneck_proj.": 8_256, "z_proj.": 8_320, "pos_embed": 32_896,
    "decoder.": 396_544, "dec_norm.": 256, "head_cont.": 516, "head_band.": 387,
}  # fmt: skip


def count(model, *prefixes):
    return sum(p.numel() for name, p in model.named_parameters() if name.startswith(prefixes or ("",)))


@pytest.mark.parametrize(("mode", "dim", "arguments", "total", "encoder_side"), ROWS)
def test_rows(mode, dim, arguments, total, encoder_side):
    model = LightCurveCompressor(mode, dim, **arguments)
    assert count(model) == total
    assert count(model, *DECODER_SIDE) == 438_919
    assert count(model) - count(model, *DECODER_SIDE, "cls_head") == encoder_side
    assert count(model, "cls_head") == {0: 0, 5: 4_485, 6: 4_550}[model.num_classes]


@pytest.mark.parametrize("dim", TOTAL_BY_DIM)
def test_totals_by_latent_dim(dim):
    assert count(LightCurveCompressor("ae", dim)) == TOTAL_BY_DIM[dim]


def test_pieces():
    model = LightCurveCompressor("ae", 64)
    assert {name: count(model, name) for name in PIECES} == PIECES
    full = LightCurveCompressor("ae", 64, **FULL)
    assert count(full, "in_proj.") == 4_864
    assert (count(full, "image_tower."), count(full, "image_tower.cnn.")) == (258_048, 241_536)
    assert count(full, "gp_proj.") == 14_976


def test_buffers():
    assert sum(b.numel() for b in LightCurveCompressor("vqvae", 64).buffers()) == 33_280
    assert sum(b.numel() for b in LightCurveCompressor("ae", 64, use_images=True).buffers()) == 708
    assert sum(b.numel() for b in LightCurveCompressor("ae", 64).buffers()) == 0


def layer_shapes(prefix):
    shapes = {"self_attn.in_proj_weight": (384, 128), "self_attn.in_proj_bias": (384,),
              "self_attn.out_proj.weight": (128, 128), "self_attn.out_proj.bias": (128,),
              "linear1.weight": (512, 128), "linear1.bias": (512,), "linear2.weight": (128, 512),
              "linear2.bias": (128,), "norm1.weight": (128,), "norm1.bias": (128,), "norm2.weight": (128,),
              "norm2.bias": (128,)}  # fmt: skip
    return {f"{prefix}.{name}": shape for name, shape in shapes.items()}


def linear(name, out, into):
    return {f"{name}.weight": (out, into), f"{name}.bias": (out,)}


def image_shapes():
    shapes = linear("image_tower.proj.2", 128, 128)
    for k, (into, out) in enumerate(((3, 32), (32, 64), (64, 128), (128, 128))):
        shapes |= {f"image_tower.cnn.{3 * k}.weight": (out, into, 3, 3), f"image_tower.cnn.{3 * k}.bias": (out,)}
        norm = f"image_tower.cnn.{3 * k + 1}"
        shapes |= {f"{norm}.{part}": (out,) for part in ("weight", "bias", "running_mean", "running_var")}
        shapes[f"{norm}.num_batches_tracked"] = ()
    return shapes


BOTTLENECKS = {
    "ae": linear("bottleneck_proj", 64, 128),
    "vae": linear("mu_proj", 64, 128) | linear("logvar_proj", 64, 128),
    "vqvae": linear("pre_vq_proj", 64, 128)
    | {"vq.codebook.weight": (512, 64), "vq.ema_cluster_size": (512,), "vq.ema_embed_sum": (512, 64)},
}


@pytest.mark.parametrize("mode", BOTTLENECKS)
def test_state_dict_keys_and_shapes(mode):
    expected = {"cls_tok": (1, 1, 128), "pos_embed": (1, 257, 128), "time2vec.w0": (1,), "time2vec.b0": (1,),
                "time2vec.w": (127,), "time2vec.b": (127,), "gp_proj.1.weight": (128,),
                "gp_proj.1.bias": (128,)}  # fmt: skip
    expected |= linear("in_proj", 128, 37) | linear("gp_proj.0", 128, 114) | linear("z_proj", 128, 64)
    expected |= linear("head_cont", 4, 128) | linear("head_band", 3, 128) | BOTTLENECKS[mode] | image_shapes()
    expected |= linear("cls_head.0", 64, 64) | linear("cls_head.3", 5, 64)
    for norm in ("enc_norm", "dec_norm"):
        expected |= {f"{norm}.weight": (128,), f"{norm}.bias": (128,)}
    for k in range(4):
        expected |= layer_shapes(f"encoder.layers.{k}")
    for k in range(2):
        expected |= layer_shapes(f"decoder.layers.{k}")
    model = LightCurveCompressor(mode, 64, **FULL, num_classes=5)
    assert {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()} == expected


def test_layers_start_differently():
    layers = LightCurveCompressor("ae", 64).encoder.layers
    assert not torch.equal(layers[0].linear1.weight, layers[1].linear1.weight)


def test_defaults_are_the_originals():
    model = LightCurveCompressor()
    assert model.config().items() >= {
        "mode": "vae", "latent_dim": 32, "in_channels": 7, "d_model": 128, "n_heads": 8, "n_encoder_layers": 4,
        "n_decoder_layers": 2, "d_ff": 512, "dropout": 0.3, "max_len": 257, "free_bits": 0.25, "num_codes": 512,
        "commitment_cost": 0.25, "use_images": False, "image_backbone": "simple", "gp_dim": 0, "num_classes": 0,
    }.items()  # fmt: skip


@pytest.mark.parametrize(("dropout", "of_the_decoder"), [(0.3, 0.2), (0.15, 0.1), (0.0, 0.1)])
def test_dropouts(dropout, of_the_decoder):
    model = LightCurveCompressor("ae", dropout=dropout, use_images=True, gp_dim=114, num_classes=2)
    for stack, p in ((model.encoder, dropout), (model.decoder, of_the_decoder)):
        for layer in stack.layers:
            assert layer.dropout.p == layer.self_attn.dropout == pytest.approx(p)
    for module in (model.image_tower.proj[1], model.gp_proj[3], model.cls_head[2]):
        assert module.p == dropout
