"""The side file <checkpoint>_meta.json, ours and the original's."""

from __future__ import annotations

import json

import pytest

from venom_hw.train import TrainError
from venom_hw.train.meta import meta_path, read_meta, write_meta


def test_written_and_read_back(tmp_path):
    checkpoint = tmp_path / "venom_ptsi.safetensors"
    history = [{"epoch": 1, "train_loss": 0.5}, {"epoch": 2, "train_loss": 0.25}]
    assert write_meta(checkpoint, history, [5, 1, 9]) == tmp_path / "venom_ptsi_meta.json" == meta_path(checkpoint)
    meta = read_meta(checkpoint)
    assert meta.history == history and meta.validation_indices.tolist() == [5, 1, 9] and meta.extra == {}


def test_histories_by_name_and_other_keys(tmp_path):
    (tmp_path / "a_meta.json").write_text(json.dumps({
        "history": {"train_loss": [0.5, 0.25], "lr": [1, 2]}, "val_indices": [3], "mean_R": 19.8}))
    meta = read_meta(tmp_path / "a.safetensors")
    assert meta.history == [{"train_loss": 0.5, "lr": 1}, {"train_loss": 0.25, "lr": 2}]
    assert meta.validation_indices.tolist() == [3] and meta.extra == {"mean_R": 19.8}


@pytest.mark.parametrize("text, message", [
    ("{", "not JSON"), ("[]", "a JSON list, expected an object"),
    ('{"validation_indices": []}', "no field 'training_history'; found validation_indices"),
    ('{"training_history": []}', "no field 'validation_indices'"),
    ('{"training_history": [], "validation_indices": [1, 1]}', "different whole numbers"),
    ('{"training_history": [], "validation_indices": [-1]}', "different whole numbers"),
    ('{"training_history": [], "validation_indices": [true]}', "different whole numbers"),
    ('{"training_history": {"a": [1], "b": []}, "validation_indices": []}', "a list of epochs"),
    ('{"training_history": 3, "validation_indices": []}', "a list of epochs"),
])
def test_what_does_not_fit_is_named(tmp_path, text, message):
    (tmp_path / "a_meta.json").write_text(text)
    with pytest.raises(TrainError, match=message):
        read_meta(tmp_path / "a.safetensors")


def test_a_missing_file(tmp_path):
    with pytest.raises(TrainError, match="b_meta.json: no such file; expected it beside b.safetensors"):
        read_meta(tmp_path / "b.safetensors")
