"""Leave-one-line-out: what is left out is really absent, finished lines are not trained again, the numbers are R."""

import json

import numpy as np
import pytest

from venom_hw.detector import PRESETS, generate_folder, load_pulse_set
from venom_hw.evaluation import EvaluationError, leave_one_out
from venom_hw.evaluation.__main__ import main
from venom_hw.evaluation.left_out import folder_without
from venom_hw.model import load_checkpoint

SMALL = ["n_tau=2", "d_model=8", "d_state=2", "d_head_hidden=8", "batch=16", "lr=1e-2", "warmup=0.2", "ema=0.5"]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "ptsi"
    generate_folder(PRESETS["ptsi"], folder, 120, 9)
    return folder


def test_folder_without_a_line(data, tmp_path):
    rest = folder_without(data, "920nm", tmp_path / "rest")
    found = load_pulse_set(rest)
    assert found.wl_labels == ["808nm", "980nm", "1120nm", "1310nm"] and found.noise is not None
    whole = load_pulse_set(data)
    np.testing.assert_array_equal(found.counts, whole.counts[whole.wl_ids != 1])
    assert json.loads((rest / "metadata.json").read_text())["left_out"] == "920nm"
    assert (data / "920nm.npz").exists() and folder_without(data, "920nm", rest) == rest


def test_command_line_and_resumption(data, tmp_path, capsys, monkeypatch):
    out = tmp_path / "out"
    argv = ["leave-one-out", "--data", str(data), "--out", str(out), "--epochs", "2", "--bootstrap", "4", "--quiet",
            "--lines", "808nm", "980nm", "--set", *SMALL]
    assert main(argv) == 0
    said = capsys.readouterr().out
    assert "808nm (edge)" in said and "980nm" in said and "mean of the inner lines" in said and "Written to" in said
    model = load_checkpoint(out / "980nm" / "model.safetensors")
    assert model.data["lines"] == ["808nm", "920nm", "1120nm", "1310nm"] and model.training["settings"]["epochs"] == 2
    stored = json.loads((out / "980nm.json").read_text())["result"]
    assert stored["energy"] == pytest.approx(1239.842 / 980) and not stored["edge"] and stored["pulses"] >= 10
    assert set(stored["R"]) == set(stored["bias"]) == {"VENOM float", "OF, shared template"}

    def never(*_, **__):
        raise AssertionError("trained again")

    monkeypatch.setattr("venom_hw.evaluation.left_out.train", never)
    assert main(argv) == 0 and capsys.readouterr().out == said
    with pytest.raises(AssertionError, match="trained again"):  # other settings are another judgement
        main([*argv[:-len(SMALL)], *SMALL, "lr=1e-3"])


def test_refusals(data, tmp_path, capsys):
    with pytest.raises(EvaluationError, match="line '500nm': expected some of 808nm"):
        leave_one_out(data, tmp_path / "out", lines=["500nm"])
    generate_folder(PRESETS["ptsi"], tmp_path / "three", 20, 1, [1.0, 1.2, 1.4])
    assert main(["leave-one-out", "--data", str(tmp_path / "three"), "--out", str(tmp_path / "o")]) == 2
    assert "3 lines; expected 4 or more" in capsys.readouterr().err
    assert main(["leave-one-out", "--data", str(data), "--out", str(tmp_path / "o"), "--set", "lrr=1"]) == 2
    assert "lrr" in capsys.readouterr().err
