"""The original's checkpoints become one self-describing file each, with the same numbers."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from benchmarks.plain_rtf import PlainCompressor
from rtf_models import load_checkpoint
from rtf_models.convert_checkpoint import main
from rtf_models.errors import CheckpointError


def original(folder, **arguments):
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    model = PlainCompressor("vae", 8, **arguments).eval()
    torch.save(model.state_dict(), folder / "best_model.pt")
    return model


def test_same_numbers_from_one_file(tmp_path, capsys):
    model = original(tmp_path / "run", in_channels=37, gp_dim=114, num_classes=5)
    (tmp_path / "run" / "summary.json").write_text(json.dumps({"mode": "vae", "latent_dim": 8, "best_epoch": 3}))
    out = tmp_path / "ours.safetensors"
    assert main([str(tmp_path / "run"), "--out", str(out)]) == 0
    assert capsys.readouterr().out.strip() == f"{out}: vae D=8, 37 channels, 114 features, 5 classes, zero point 0"
    for path in (tmp_path / "run").iterdir():
        path.unlink()
    found = load_checkpoint(out)
    x, pad_mask, features = torch.randn(2, 9, 37), torch.zeros(2, 9, dtype=torch.bool), torch.randn(2, 114)
    features[1] = 0  # absent: the original adds its biases
    expected = model(x, pad_mask, None, features)
    embedding = found.model.embed(x, pad_mask, gp_features=features)
    torch.testing.assert_close(embedding, expected[2]["mu"], atol=1e-5, rtol=1e-5)
    decoded = found.model(x, pad_mask, gp_features=features)[0]
    torch.testing.assert_close(decoded, expected[0], atol=2e-5, rtol=1e-5)
    assert found.header["summary"]["best_epoch"] == 3 and len(found.header["original_sha256"]) == 64


def test_several_with_statistics(tmp_path, capsys):
    for name in ("a", "b"):
        original(tmp_path / name)
    np.savez(tmp_path / "stats.npz", mean=np.arange(4.0), std=np.ones(4))
    paths = (tmp_path / "a", tmp_path / "b" / "best_model.pt", "--stats", tmp_path / "stats.npz")
    assert main([str(path) for path in paths]) == 0
    assert capsys.readouterr().err.count("warning") == 0
    for name in ("a", "b"):
        assert load_checkpoint(tmp_path / name / "model.safetensors").inputs.base_mean == (0, 1, 2, 3)
    assert load_checkpoint(tmp_path / "a").path.name == "model.safetensors"  # ours comes first


def test_bare_safetensors(tmp_path):
    model = original(tmp_path, in_channels=37)
    save_file(model.state_dict(), tmp_path / "bare.safetensors")
    with pytest.raises(CheckpointError, match="convert-checkpoint"):
        load_checkpoint(tmp_path / "bare.safetensors")
    assert main([str(tmp_path / "bare.safetensors"), "--out", str(tmp_path / "ours.safetensors")]) == 0
    found = load_checkpoint(tmp_path / "ours.safetensors").model
    assert found.decode_all and torch.equal(found.z_proj.weight, model.z_proj.weight)
    assert main([str(tmp_path / "ours.safetensors"), "--force"]) == 2  # ours already


def test_missing_statistics_are_said(tmp_path, capsys):
    original(tmp_path)
    assert main([str(tmp_path)]) == 0
    assert "warning:" in (err := capsys.readouterr().err) and "unscaled channels" in err


@pytest.mark.parametrize("problem", ["absent", "ours", "there", "two", "same", "junk", "junk.safetensors"])
def test_errors_exit_with_2(tmp_path, capsys, problem):
    original(tmp_path / "run", in_channels=37)
    file = tmp_path / "run" / "best_model.pt"
    arguments = {
        "absent": [tmp_path / "nothing"],
        "ours": [tmp_path / "x.safetensors"],
        "there": [file, "--out", file],
        "two": [file, file, "--out", tmp_path / "o.safetensors"],
        "same": [file, tmp_path / "run"],
        "junk": [tmp_path / "junk.pt"],
        "junk.safetensors": [tmp_path / "junk.safetensors"],
    }[problem]
    for name in ("junk.pt", "junk.safetensors"):
        (tmp_path / name).write_bytes(b"junk")
    assert main([str(a) for a in arguments]) == 2
    assert capsys.readouterr().err.startswith("error: ")
    assert not (tmp_path / "run" / "model.safetensors").exists()
