"""Checkpoints: everything comes back from the file alone; damage is named."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from venom_hw.model import CheckpointError, MKIDEnergySSM, VenomCheckpoint, load_checkpoint, save_checkpoint

WINDOW = {"rate_hz": 5e5, "n_pre": 10, "length": 30, "tau_s": 8e-6, "n_tau": 5.0, "downsample": 4}
NORMALISATION = {"iq_mean": [100.0, -250.0], "iq_std": [900.0, 1400.0], "energy_offset": 1.2, "energy_scale": 0.2}


@pytest.fixture()
def checkpoint():
    torch.manual_seed(3)
    model = MKIDEnergySSM(d_model=8, d_state=4, d_head_hidden=12)
    training = {"command": "train me", "seed": 5}
    return VenomCheckpoint(model, dict(WINDOW), dict(NORMALISATION), training, {"preset": "ptsi"})


@pytest.fixture()
def counts():
    return np.random.default_rng(0).integers(-8000, 8000, (7, 30, 2)).astype(np.int16)


def rewrite(path, change):
    """Save the file again with its header changed by `change(header, tensors)`."""
    with safe_open(path, "pt") as file:
        header, tensors = json.loads(file.metadata()["venom"]), {n: file.get_tensor(n) for n in file.keys()}
    change(header, tensors)
    save_file(tensors, path, {"venom": json.dumps(header)})


def test_a_file_alone_rebuilds_the_model(tmp_path, checkpoint, counts):
    path = save_checkpoint(tmp_path / "deep" / "m.safetensors", checkpoint)
    loaded = load_checkpoint(path)
    assert loaded.model.config == checkpoint.model.config
    assert (loaded.window, loaded.normalisation) == (WINDOW, NORMALISATION)
    assert (loaded.training, loaded.data) == (checkpoint.training, checkpoint.data)
    for found, wanted in zip(loaded.predict(counts), checkpoint.predict(counts), strict=True):
        np.testing.assert_array_equal(found, wanted)
    assert [p.name for p in path.parent.iterdir()] == ["m.safetensors"]


def test_same_model_same_bytes(tmp_path, checkpoint):
    one, two = (save_checkpoint(tmp_path / n, checkpoint).read_bytes() for n in ("a", "b"))
    assert one == two


def test_predict_is_in_electronvolts(checkpoint, counts):
    energy, logvar = checkpoint.predict(counts)
    x = (torch.from_numpy(counts).float() - torch.tensor([100.0, -250.0])) / torch.tensor([900.0, 1400.0])
    with torch.no_grad():
        mu, lv = checkpoint.model(x)
    np.testing.assert_allclose(energy, 1.2 + 0.2 * mu.numpy(), rtol=1e-6)
    np.testing.assert_allclose(logvar, lv.numpy() + 2 * np.log(0.2), rtol=1e-6)
    assert energy.dtype == logvar.dtype == np.float64


def test_recurrent_lengths_and_batches(checkpoint, counts):
    lengths = np.array([1, 5, 30, 30, 12, 29, 2])
    whole = checkpoint.predict(counts, lengths=lengths)
    for options in ({"recurrent": True}, {"batch": 3}):
        other = checkpoint.predict(counts, lengths=lengths, **options)
        np.testing.assert_allclose(other, whole, rtol=1e-4, atol=1e-5)
    assert [len(v) for v in checkpoint.predict(counts[:0])] == [0, 0]


@pytest.mark.parametrize("change, message", [
    (lambda h, t: h.update(format="venom-hw/float/9"), "venom-hw/float/9"),
    (lambda h, t: h["model"].pop("d_state"), "model.d_state"),
    (lambda h, t: h["model"].update(d_model=16), "expected"),
    (lambda h, t: h["window"].pop("length"), "window.length"),
    (lambda h, t: h["normalisation"].update(iq_std=[1.0, 0.0]), "iq_std"),
    (lambda h, t: h["normalisation"].update(iq_mean=[1.0]), "iq_mean"),
    (lambda h, t: h["normalisation"].pop("energy_scale"), "energy_scale"),
    (lambda h, t: h.pop("data"), "'data'"),
    (lambda h, t: t.pop("head.query"), "'head.query' is missing"),
    (lambda h, t: t.update(extra=torch.zeros(1)), "'extra'"),
    (lambda h, t: t["head.query"].fill_(torch.nan), "not finite"),
    (lambda h, t: t.update({"head.query": torch.zeros(9)}), r"\(9,\), expected \(8,\)"),
])
def test_damage_is_named(tmp_path, checkpoint, change, message):
    path = save_checkpoint(tmp_path / "m.safetensors", checkpoint)
    rewrite(path, change)
    with pytest.raises(CheckpointError, match=message) as caught:
        load_checkpoint(path)
    assert str(path) in str(caught.value)


def test_other_files_are_refused(tmp_path, checkpoint):
    with pytest.raises(CheckpointError, match="no such file"):
        load_checkpoint(tmp_path / "none")
    (tmp_path / "text").write_text("not a model, by any means, but long enough to have a header")
    with pytest.raises(CheckpointError, match="not a safetensors file"):
        load_checkpoint(tmp_path / "text")
    save_file(checkpoint.model.state_dict(), tmp_path / "bare")
    with pytest.raises(CheckpointError, match="load_weights"):
        load_checkpoint(tmp_path / "bare")


def test_what_cannot_be_read_back_is_not_written(tmp_path, checkpoint):
    checkpoint.normalisation["energy_scale"] = float("nan")
    with pytest.raises(CheckpointError, match="energy_scale"):
        save_checkpoint(tmp_path / "m.safetensors", checkpoint)
    assert list(tmp_path.iterdir()) == []
