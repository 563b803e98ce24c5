"""The command from end to end on a small simulated folder, and its errors."""

import json

import pytest
import torch

from venom_hw.detector import PRESETS, generate_folder, load_pulse_set, normalisation
from venom_hw.model.checkpoint import VenomCheckpoint, save_checkpoint
from venom_hw.model.network import MKIDEnergySSM
from venom_hw.quantize.__main__ import main
from venom_hw.quantize.checkpoint import load_quantised
from venom_hw.quantize.run import finished


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("command")
    generate_folder(PRESETS["ptsi"], folder / "data", 110, 0)
    pulses = load_pulse_set(folder / "data", n_tau=1.0)
    torch.manual_seed(0)
    model = MKIDEnergySSM()
    checkpoint = VenomCheckpoint(
        model, pulses.window.to_dict(), normalisation(pulses), {}, {"preset": "ptsi"}
    )
    return save_checkpoint(folder / "float.safetensors", checkpoint), folder / "data"


def test_from_float_model_to_files(inputs, tmp_path, capsys):
    model, data = inputs
    out = tmp_path / "out"
    arguments = [
        "--model",
        model,
        "--data",
        data,
        "--extra",
        data,
        "--out",
        out,
        "--quiet",
        "--windows",
        "40",
        "--bootstrap",
        "20",
        "--set",
        "training.steps=6",
        "--set",
        "calibration.windows=100",
    ]
    assert main([str(a) for a in arguments]) == 0
    names = sorted(p.name for p in out.iterdir())
    assert names == ["head.onnx", "model.safetensors", "report.json", "report.png", "step.onnx"]
    report = json.loads((out / "report.json").read_text())
    assert report["verification"]["mismatches"] == 0 and report["verification"]["window_form_mismatches"] == 0
    assert report["verification"]["windows"] == 40 and report["verification"]["compared"] > 100_000
    assert set(report["resolving_power"]) == {"kde", "gaussian"} and report["fidelity"]["per_cent"] > 0
    assert (out / "report.png").stat().st_size < 150_000
    assert load_quantised(out / "model.safetensors").name == "float"
    printed = capsys.readouterr().out
    assert "change of mean R" in printed and str(out / "step.onnx") in printed

    stamp = (out / "step.onnx").stat().st_mtime_ns
    assert main([str(a) for a in arguments]) == 0  # nothing changed: nothing is made again
    assert "already holds this result" in capsys.readouterr().out
    assert (out / "step.onnx").stat().st_mtime_ns == stamp
    assert finished(out, report["inputs"]) == report and finished(out, "other") is None
    (out / "head.onnx").write_bytes(b"damaged")
    assert finished(out, report["inputs"]) is None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"--model": "none.safetensors"}, "no such file"),
        ({"--set": "tensors.h.bits=99"}, "h.bits = 99"),
        ({"--set": "tensors.zz.bits=9"}, "has no 'zz'"),
    ],
)
def test_errors_are_one_line(inputs, tmp_path, capsys, change, words):
    arguments = {"--model": inputs[0], "--data": inputs[1], "--out": tmp_path / "out"} | change
    assert main([str(a) for pair in arguments.items() for a in pair]) != 0
    error = capsys.readouterr().err
    assert words in error and error.startswith("error: ") and error.count("\n") == 1
