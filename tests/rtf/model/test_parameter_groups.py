"""What decays and what does not."""

import torch

from rtf_models.model import LightCurveCompressor, parameter_groups


def names(model, parameters):
    found = {id(p): name for name, p in model.named_parameters()}
    return {found[id(p)] for p in parameters}


def test_only_weights_of_linear_maps_and_convolutions_decay():
    model = LightCurveCompressor("vqvae", use_images=True, gp_dim=114, num_classes=3)
    decayed, others = parameter_groups(model, 0.01)
    assert decayed["weight_decay"] == 0.01 and others["weight_decay"] == 0.0
    some = names(model, decayed["params"])
    assert {"in_proj.weight", "encoder.layers.0.self_attn.in_proj_weight", "encoder.layers.3.self_attn.out_proj.weight",
            "decoder.layers.1.linear2.weight", "image_tower.cnn.0.weight", "gp_proj.0.weight",
            "head_band.weight"} <= some  # fmt: skip
    for name in some:
        assert name.endswith("weight") and "norm" not in name, name
    rest = names(model, others["params"])
    assert {"cls_tok", "pos_embed", "time2vec.w", "time2vec.w0", "enc_norm.weight", "gp_proj.1.weight",
            "image_tower.cnn.1.weight", "encoder.layers.0.self_attn.in_proj_bias"} <= rest  # fmt: skip
    every = {name for name, _ in model.named_parameters()}
    assert some | rest == every - {"vq.codebook.weight"} and not some & rest


def test_frozen_backbone_is_left_out_and_a_trained_one_is_not():
    model = LightCurveCompressor("ae", use_images=True, image_backbone="zoobot")
    groups = parameter_groups(model, 0.1)
    assert not any(name.startswith("image_tower.cnn") for g in groups for name in names(model, g["params"]))
    model = LightCurveCompressor("ae", use_images=True, image_backbone="zoobot", freeze_backbone=False)
    decayed, others = (names(model, g["params"]) for g in parameter_groups(model, 0.1))
    assert "image_tower.cnn.stages.1.blocks.0.conv_dw.weight" in decayed
    assert {"image_tower.cnn.stages.1.blocks.0.gamma", "image_tower.cnn.stages.1.blocks.0.norm.weight"} <= others


def test_adamw_moves_everything_and_decays_only_the_first():
    torch.manual_seed(0)
    model = LightCurveCompressor("ae", 4, d_model=16, n_heads=2, d_ff=16, n_encoder_layers=1, n_decoder_layers=1)
    optimiser = torch.optim.AdamW(parameter_groups(model, 0.5), lr=0.1)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    for p in model.parameters():
        p.grad = torch.zeros_like(p)
    optimiser.step()
    after = dict(model.named_parameters())
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == names(model, optimiser.param_groups[0]["params"])
    torch.testing.assert_close(after["z_proj.weight"].detach(), 0.95 * before["z_proj.weight"])
