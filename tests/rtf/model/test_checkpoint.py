"""Checkpoints rebuild themselves; those of the original too; damaged ones say what is wrong."""

import json
import warnings

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from rtf_models import checkpoint as checkpoint_module
from rtf_models.checkpoint import find_checkpoint, load_checkpoint, save_checkpoint
from rtf_models.classes import APPLECIDER, APPLECIDER6, BTS
from rtf_models.data.inputs import InputSpec
from rtf_models.errors import CheckpointError
from rtf_models.model import LightCurveCompressor

SMALL = {"latent_dim": 8, "d_model": 32, "n_heads": 4, "n_encoder_layers": 1, "n_decoder_layers": 1, "d_ff": 48}


def small(mode="ae", **arguments):
    torch.manual_seed(0)
    return LightCurveCompressor(mode, **{**SMALL, **arguments}).eval()


@pytest.mark.parametrize("mode", ["ae", "vae", "vqvae"])
def test_file_alone_rebuilds_everything(tmp_path, mode):
    model = small(mode, in_channels=67, gp_dim=228, use_images=True, num_classes=3, kl_reduction="mean")
    inputs = InputSpec(metadata="global", missing_mask=True, images=True, features="causal", feature_mask=True,
                       base_mean=(1, 2, 3, 4), horizon=50.0)  # fmt: skip
    path = save_checkpoint(tmp_path / "model.safetensors", model, inputs, scheme=BTS, seed=3, metrics={"acc": [0.5]})
    found = load_checkpoint(tmp_path)  # the run folder
    assert found.inputs == inputs and found.scheme == BTS and found.path == path and len(found.sha256) == 64
    assert found.header == {"seed": 3, "metrics": {"acc": [0.5]}}
    assert found.model.config() == model.config() and not found.model.training
    x, images, features = torch.randn(3, 6, 67), torch.randn(3, 3, 63, 63), torch.randn(3, 228)
    assert torch.equal(found.model.embed(x, None, images, features), model.embed(x, None, images, features))
    error = model.reconstruction_error(x, None, images, features)
    assert torch.equal(found.model.reconstruction_error(x, None, images, features), error)


def test_behaviour_of_the_original_is_kept(tmp_path):
    model = small(decode_all=True, embed_absent=True)
    save_checkpoint(tmp_path / "m.safetensors", model, InputSpec(), scheme=BTS)
    assert load_checkpoint(tmp_path / "m.safetensors").model.decode_all


def test_shipped_name(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint_module, "PRETRAINED", tmp_path)
    monkeypatch.chdir(tmp_path)
    save_checkpoint(tmp_path / "tiny" / "model.safetensors", small(), InputSpec(), scheme=BTS)
    monkeypatch.chdir("/")
    assert find_checkpoint("tiny") == tmp_path / "tiny" / "model.safetensors"
    with pytest.raises(CheckpointError, match=r"tinny: no such file, run folder .*shipped: tiny"):
        load_checkpoint("tinny")


def test_writer_refuses_what_could_not_be_read(tmp_path):
    with pytest.raises(CheckpointError, match="the inputs have in_channels = 37, the network 7"):
        save_checkpoint(tmp_path / "m.safetensors", small(), InputSpec(metadata="global"), scheme=BTS)
    with pytest.raises(CheckpointError, match="not plain JSON"):
        save_checkpoint(tmp_path / "m.safetensors", small(), InputSpec(), scheme=BTS, best={1, 2})
    model = small()
    model.z_proj.weight.data[0, 0] = float("nan")
    with pytest.raises(CheckpointError, match="'z_proj.weight' holds values that are not finite"):
        save_checkpoint(tmp_path / "m.safetensors", model, InputSpec(), scheme=BTS)
    assert list(tmp_path.iterdir()) == []


def rewrite(path, change_tensors=lambda t: t, change_header=lambda h: h):
    with safe_open(path, "pt") as file:
        header = json.loads(file.metadata()["rtf"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}
    header = change_header(header) or header
    save_file(change_tensors(tensors) or tensors, path, {"rtf": json.dumps(header)})


def without(tensors, name):
    return {key: value for key, value in tensors.items() if key != name}


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ({"change_tensors": lambda t: without(t, "z_proj.bias")}, "'z_proj.bias' is missing"),
        ({"change_tensors": lambda t: {**t, "extra": torch.ones(1)}}, "unknown tensor 'extra'"),
        ({"change_tensors": lambda t: {**t, "z_proj.bias": torch.ones(3)}}, r"shape \(3,\), expected \(32,\)"),
        ({"change_tensors": lambda t: {**t, "z_proj.bias": torch.full((32,), torch.inf)}}, "not finite"),
        ({"change_header": lambda h: {**h, "format": "rtf/checkpoint/9"}}, "format 'rtf/checkpoint/9'"),
        ({"change_header": lambda h: {**h, "inputs": 3}}, "field 'inputs' is 3"),
        ({"change_header": lambda h: {**h, "model": {**h["model"], "mode": "gan"}}}, "mode is 'gan'"),
        ({"change_header": lambda h: {**h, "model": {**h["model"], "wings": 2}}}, "wings"),
        ({"change_header": lambda h: {**h, "inputs": {**h["inputs"], "metadata": "global"}}}, "in_channels = 37"),
    ],
)  # fmt: skip
def test_damage_is_named(tmp_path, damage, message):
    path = save_checkpoint(tmp_path / "m.safetensors", small(), InputSpec(), scheme=BTS)
    rewrite(path, **damage)
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(path)


def test_other_files(tmp_path):
    (tmp_path / "m.safetensors").write_bytes(b"junk")
    with pytest.raises(CheckpointError, match="not a safetensors file"):
        load_checkpoint(tmp_path / "m.safetensors")
    save_file({"a": torch.ones(1)}, tmp_path / "bare.safetensors")
    with pytest.raises(CheckpointError, match="bare weights"):
        load_checkpoint(tmp_path / "bare.safetensors")
    with pytest.raises(CheckpointError, match="neither model.safetensors nor best_model.pt"):
        load_checkpoint(tmp_path)


def test_a_quantised_encoder_is_called_that(tmp_path, monkeypatch):
    header = {"venom": json.dumps({"format": "rtf/quantised/1"})}
    save_file({"a": torch.ones(1)}, tmp_path / "quantised.safetensors", header)
    (tmp_path / "encoder.onnx").write_bytes(b"onnx")
    monkeypatch.setattr(checkpoint_module, "PRETRAINED", tmp_path.parent)
    for path in (tmp_path, tmp_path / "quantised.safetensors", tmp_path / "encoder.onnx", tmp_path.name):
        with pytest.raises(CheckpointError, match="a quantised encoder.*load_quantised.*Expected a float network"):
            load_checkpoint(path)


# ---- the original's


def original(tmp_path, mode="ae", summary=None, name="best_model.pt", **arguments):
    model = LightCurveCompressor(mode, 16, decode_all=True, embed_absent=True, **arguments).eval()
    torch.save(model.state_dict(), tmp_path / name)
    if summary is not None:
        (tmp_path / "summary.json").write_text(json.dumps(summary))
    return model


def test_everything_that_shows_in_the_shapes(tmp_path):
    arguments = {"in_channels": 37, "d_model": 64, "d_ff": 96, "n_encoder_layers": 3, "n_decoder_layers": 1,
                 "num_codes": 32, "use_images": True, "gp_dim": 114, "max_len": 300}  # fmt: skip
    model = original(tmp_path, "vqvae", **arguments)
    found = load_checkpoint(tmp_path).model
    assert found.config() == model.config()


def test_photo_events_with_and_without_statistics(tmp_path):
    original(tmp_path)
    with pytest.warns(UserWarning, match="no feature_stats file"):
        inputs = load_checkpoint(tmp_path).inputs
    assert (inputs.zero_point, inputs.horizon, inputs.base_std) == (23.9, 100.0, (1.0,) * 4)
    mean, std = np.array([2.0, 1, -1, 0.1]), np.array([1.5, 1, 0.5, 0.05])
    np.savez(tmp_path / "feature_stats_day100.npz", mean=mean, std=std)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for inputs in (load_checkpoint(tmp_path).inputs,
                       load_checkpoint(tmp_path, stats=tmp_path / "feature_stats_day100.npz").inputs):  # fmt: skip
            np.testing.assert_allclose(inputs.base_mean, mean, rtol=1e-6)
            np.testing.assert_allclose(inputs.base_std, std, rtol=1e-6)
        assert load_checkpoint(tmp_path, kind="compact").inputs.zero_point == 0.0


def test_summary_is_used_and_checked(tmp_path):
    summary = {"mode": "ae", "latent_dim": 16, "in_channels": 37, "max_detections": 5, "num_codes": None}
    original(tmp_path, summary=summary, in_channels=37, num_classes=6)
    found = load_checkpoint(tmp_path)
    assert found.inputs.max_len == 5 and found.header["summary"] == summary and found.scheme == APPLECIDER6
    other = tmp_path / "other.json"
    other.write_text(json.dumps({**summary, "latent_dim": 32}))
    with pytest.raises(CheckpointError, match="its summary says latent_dim = 32, its tensors 16"):
        load_checkpoint(tmp_path, summary=other)


def test_zoobot_is_recognised(tmp_path):
    original(tmp_path, in_channels=37, use_images=True, image_backbone="zoobot", num_classes=5)
    found = load_checkpoint(tmp_path)
    assert found.model.config()["image_backbone"] == "zoobot" and found.scheme == APPLECIDER


def test_wrappings(tmp_path):
    model = original(tmp_path, in_channels=37)
    state = {f"module.{name}": tensor for name, tensor in model.state_dict().items()}
    torch.save({"model_state_dict": state, "epoch": torch.tensor(3)}, tmp_path / "best_model.pt")
    assert torch.equal(load_checkpoint(tmp_path).model.z_proj.weight, model.z_proj.weight)


class Payload:
    def __reduce__(self):
        return (print, ("executed",))


def test_nothing_in_the_file_runs(tmp_path, capsys):
    torch.save({"in_proj.weight": Payload()}, tmp_path / "best_model.pt")
    with pytest.raises(CheckpointError, match="cannot be read as a plain state dict"):
        load_checkpoint(tmp_path)
    assert "executed" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: {"weight": torch.ones(2)}, "not the state dict of a LightCurveCompressor"),
        (lambda s: {k: v for k, v in s.items() if k != "enc_norm.bias"}, "'enc_norm.bias' is missing"),
        (lambda s: {k: v for k, v in s.items() if not k.startswith("decoder")}, "n_decoder_layers is 0"),
        (lambda s: {**s, "in_proj.weight": torch.ones(128, 13)}, "takes 13 channels"),
        (lambda s: [1, 2], "holds a list"),
    ],
)
def test_other_state_dicts(tmp_path, change, message):
    model = original(tmp_path, in_channels=37)
    torch.save(change(dict(model.state_dict())), tmp_path / "best_model.pt")
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(tmp_path)


def test_flags_are_for_the_original(tmp_path):
    save_checkpoint(tmp_path / "m.safetensors", small(), InputSpec(), scheme=BTS)
    with pytest.raises(CheckpointError, match="this file describes itself"):
        load_checkpoint(tmp_path / "m.safetensors", kind="compact")
