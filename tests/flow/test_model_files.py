"""Which files a model is made of."""

import pytest

from venom_hw.flow.model_files import ModelError, find_model, shipped_models


def test_all_shipped_models_are_there_with_the_parameters_of_the_winner():
    assert shipped_models() == ["inhf", "inhf-lean", "ptsi", "ptsi-lean"]
    for name in shipped_models():
        files = find_model(name)
        assert files.name == name and files.parameters() == 3314
        bits = files.weight_bits()
        lean = name.endswith("-lean")
        assert {bits[w] for w in ("w_x", "w_z", "w_B", "w_C", "w_dt", "w_out")} == {4 if lean else 8}
        assert {bits[w] for w in ("w_fc1", "w_fc2")} == {8}


def test_ptsi_is_the_default():
    assert find_model().name == "ptsi"


def test_a_folder(tmp_path):
    for name in ("step.onnx", "head.onnx"):
        (tmp_path / name).write_bytes(b"")
    files = find_model(str(tmp_path))
    assert files.name == tmp_path.name and files.parameters() is None and files.weight_bits() == {}


def test_errors_say_what_there_is(tmp_path):
    shipped = r"\(inhf, inhf-lean, ptsi, ptsi-lean\)"
    with pytest.raises(ModelError, match=rf"'nosuch' is neither a shipped model {shipped} nor a folder"):
        find_model("nosuch")
    with pytest.raises(ModelError, match="step.onnx is missing; expected a folder that python -m venom_hw.quantize"):
        find_model(str(tmp_path))
