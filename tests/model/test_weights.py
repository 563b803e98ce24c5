"""Weights from elsewhere: older PyTorch zips, other names, other forms of delta; nothing is dropped in silence."""

from __future__ import annotations

import pickle
import zipfile

import pytest
import torch
from safetensors.torch import save_file

from venom_hw.model import CheckpointError, MKIDEnergySSM, load_weights

PREFIX = "backbone.layers.0."


@pytest.fixture()
def source():
    torch.manual_seed(1)
    return MKIDEnergySSM()


@pytest.fixture()
def x():
    return torch.randn(4, 20, 2, generator=torch.Generator().manual_seed(0))


def assert_same(model, source, x, **tolerance):
    with torch.no_grad():
        for found, wanted in zip(model(x), source(x), strict=True):
            torch.testing.assert_close(found, wanted, **tolerance)


def test_real_safetensors_and_legacy_zip(tmp_path, source, x):
    save_file(source.state_dict(), tmp_path / "real.safetensors")
    torch.save(source.state_dict(), tmp_path / "legacy.safetensors")
    torch.save({"state_dict": source.state_dict(), "epoch": 3}, tmp_path / "wrapped.safetensors")
    assert zipfile.is_zipfile(tmp_path / "legacy.safetensors")
    for name in ("real", "legacy", "wrapped"):
        model = MKIDEnergySSM()
        report = load_weights(model, tmp_path / f"{name}.safetensors")
        assert_same(model, source, x, rtol=0, atol=0)
        assert len(report.placed) == 23 and report.unplaced == report.folded == []
    assert_same(MKIDEnergySSM().load_weights(tmp_path / "real.safetensors"), source, x, rtol=0, atol=0)


class Harmful:
    def __reduce__(self):
        return (print, ("executed",))


def test_a_zip_with_code_is_refused(tmp_path, capsys):
    torch.save({"head.query": Harmful()}, tmp_path / "bad.safetensors", pickle_module=pickle)
    with pytest.raises(CheckpointError, match="refused"):
        load_weights(MKIDEnergySSM(), tmp_path / "bad.safetensors")
    assert "executed" not in capsys.readouterr().out


def variants(state):
    """The same network with delta made in each of the known ways: name -> (tensors, the network's dt_proj.weight)."""
    generator = torch.Generator().manual_seed(4)
    rest = {k: v for k, v in state.items() if not k.startswith(PREFIX + "dt_proj")}
    bc = {k: rest[PREFIX + k] for k in ("B_proj.weight", "C_proj.weight")}
    without_bc = {k: v for k, v in rest.items() if not k.startswith((PREFIX + "B_", PREFIX + "C_"))}
    bias, full = state[PREFIX + "dt_proj.bias"], state[PREFIX + "dt_proj.weight"]
    down, up = torch.randn(8, 16, generator=generator) / 4, torch.randn(16, 8, generator=generator) / 4
    x, dt = PREFIX + "x_proj.", PREFIX + "dt_proj."
    joint = torch.cat([down, *bc.values()])
    return {
        "rank 8": (rest | {x + "weight": down, dt + "weight": up, dt + "bias": bias}, up @ down),
        "Mamba": (without_bc | {x + "weight": joint, dt + "weight": up, dt + "bias": bias}, up @ down),
        "x_proj with bias": (rest | {x + "weight": full, x + "bias": bias}, full),
        "x_proj of all": (without_bc | {x + "weight": torch.cat([full, *bc.values()]), PREFIX + "dt_bias": bias}, full),
    }


@pytest.mark.parametrize("name", ["rank 8", "Mamba", "x_proj with bias", "x_proj of all"])
def test_other_forms_of_delta_are_folded(tmp_path, source, x, name):
    tensors, weight = variants(source.state_dict())[name]
    if name != "x_proj of all":  # the count of the published network
        assert sum(t.numel() for t in tensors.values()) == 3314
    save_file({k: v.contiguous().clone() for k, v in tensors.items()}, tmp_path / "w.safetensors")
    model = MKIDEnergySSM()
    report = load_weights(model, tmp_path / "w.safetensors")
    assert report.folded and report.unplaced == []
    with torch.no_grad():
        source.backbone.layers[0].dt_proj.weight.copy_(weight)
    assert_same(model, source, x, rtol=1e-5, atol=1e-6)


def test_other_names_and_layouts(tmp_path, source, x):
    renamed = {}
    for name, value in source.state_dict().items():
        name = name.replace("backbone.layers.0.", "backbone.blocks.0.mixer.").replace(".conv.", ".conv1d.")
        name = name.replace("log_neg_A", "A_log").replace("head.fc1", "head.mlp.0").replace("head.fc2", "head.mlp.2")
        name = name.replace("head.fc3", "head.mlp.4").replace("head.query", "head.attn.weight")
        value = value.transpose(1, 2) if name.endswith("conv1d.weight") else value  # MLX: channels last
        renamed["model." + name] = (value[None] if name.endswith("attn.weight") else value).contiguous()
    save_file(renamed, tmp_path / "w.safetensors")
    model = MKIDEnergySSM()
    load_weights(model, tmp_path / "w.safetensors")
    assert_same(model, source, x, rtol=0, atol=0)


def test_what_has_no_place_is_said_and_the_model_is_left_alone(tmp_path, source, x):
    tensors = source.state_dict() | {"head.gate.weight": torch.zeros(3)}
    save_file(tensors, tmp_path / "more.safetensors")
    model, untouched = MKIDEnergySSM(), MKIDEnergySSM()
    untouched.load_state_dict(model.state_dict())
    with pytest.raises(CheckpointError, match="head.gate.weight"):
        load_weights(model, tmp_path / "more.safetensors")
    assert_same(model, untouched, x, rtol=0, atol=0)
    assert load_weights(model, tmp_path / "more.safetensors", strict=False).unplaced == ["head.gate.weight"]
    assert_same(model, source, x, rtol=0, atol=0)
    del tensors["head.query"], tensors["head.gate.weight"]
    save_file(tensors, tmp_path / "less.safetensors")
    with pytest.raises(CheckpointError, match="no tensor for head.query"):
        load_weights(model, tmp_path / "less.safetensors")
    with pytest.raises(CheckpointError, match=r"\(32, 16\), expected"):
        load_weights(MKIDEnergySSM(d_head_hidden=8), tmp_path / "more.safetensors", strict=False)


def test_no_weights_at_all(tmp_path):
    with pytest.raises(CheckpointError, match="no such file"):
        load_weights(MKIDEnergySSM(), tmp_path / "none")
    (tmp_path / "text").write_text("hello" * 20)
    with pytest.raises(CheckpointError, match="expected safetensors"):
        load_weights(MKIDEnergySSM(), tmp_path / "text")
    torch.save([torch.zeros(2)], tmp_path / "list")
    with pytest.raises(CheckpointError, match="dictionary of tensors"):
        load_weights(MKIDEnergySSM(), tmp_path / "list")
