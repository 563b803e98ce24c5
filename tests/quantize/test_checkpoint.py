"""The quantised checkpoint rebuilds network and files exactly from itself alone."""

import json

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from tests.quantize.sample import NORMALISATION, WINDOW, pulses, quantised
from venom_hw.quantize.checkpoint import CheckpointError, QuantisedCheckpoint, load_quantised, save_quantised
from venom_hw.quantize.evaluate import predict
from venom_hw.quantize.files import write_qonnx


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkpoint")
    network, formats, _, recipe = quantised()
    checkpoint = QuantisedCheckpoint(
        "test", network, formats, recipe.to_dict(), WINDOW, NORMALISATION, {"seed": 1}, {}
    )
    return checkpoint, save_quantised(folder / "model.safetensors", checkpoint)


def test_reload_gives_the_same_onnx_bytes(saved, tmp_path):
    original, path = saved
    loaded = load_quantised(path)
    assert loaded.formats == original.formats and loaded.window == WINDOW and loaded.recipe == original.recipe
    files = [
        write_qonnx(c.network, c.formats, tmp_path / name, model=c.name, window=c.window)
        for name, c in (("a", original), ("b", loaded))
    ]
    assert [p.read_bytes() for p in files[0]] == [p.read_bytes() for p in files[1]]
    counts = pulses(16)
    assert np.array_equal(predict(original.network, counts), predict(loaded.network, counts))


def test_header_is_plain_json_and_saving_again_changes_nothing(saved, tmp_path):
    _, path = saved
    with safe_open(str(path), framework="pt") as file:
        header = json.loads(file.metadata()["venom"])
    assert header["format"] == "venom-hw/quantised/1" and header["formats"]["step.q_in"]["bits"] == 16
    assert (
        save_quantised(tmp_path / "again.safetensors", load_quantised(path)).read_bytes() == path.read_bytes()
    )


def test_errors_name_the_file(tmp_path):
    with pytest.raises(CheckpointError, match="none.safetensors: no such file"):
        load_quantised(tmp_path / "none.safetensors")
    (tmp_path / "junk.safetensors").write_bytes(b"not a tensor file")
    with pytest.raises(CheckpointError, match="junk.safetensors: not a safetensors"):
        load_quantised(tmp_path / "junk.safetensors")
    save_file({"x": torch.zeros(1)}, tmp_path / "bare.safetensors")
    with pytest.raises(CheckpointError, match="format is None"):
        load_quantised(tmp_path / "bare.safetensors")
