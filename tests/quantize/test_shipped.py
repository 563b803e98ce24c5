"""The shipped quantised models: checkpoint, QONNX files and report belong together and meet the goal."""

import hashlib
import json

import pytest

from venom_hw.flow.golden_vectors import load_vectors
from venom_hw.interchange.execute import Executor
from venom_hw.model.checkpoint import load_checkpoint
from venom_hw.quantize.checkpoint import load_quantised
from venom_hw.quantize.files import write_qonnx
from venom_hw.quantize.verify import verify_files


@pytest.fixture(params=["ptsi", "inhf"])
def shipped(request, pytestconfig):
    folder = pytestconfig.rootpath / "venom_hw" / "pretrained"
    return request.param, folder / f"{request.param}.safetensors", folder / f"{request.param}-quantised"


def test_checkpoint_gives_the_shipped_onnx_bytes(shipped, tmp_path):
    name, _, folder = shipped
    loaded = load_quantised(folder / "model.safetensors")
    assert loaded.name == name
    for path in write_qonnx(loaded.network, loaded.formats, tmp_path, model=name, window=loaded.window):
        assert path.read_bytes() == (folder / path.name).read_bytes()


def test_executed_files_equal_the_shipped_network(shipped):
    name, _, folder = shipped
    loaded = load_quantised(folder / "model.safetensors")
    samples = load_vectors(name).arrays["samples"]
    check = verify_files(loaded.network, loaded.formats, folder / "step.onnx", folder / "head.onnx", samples)
    assert check.mismatches == check.window_form_mismatches == 0, check.first
    assert check.compared > samples.shape[0] * samples.shape[1] * 193


def test_report_belongs_to_the_files_and_meets_the_goal(shipped):
    name, float_model, folder = shipped
    report = json.loads((folder / "report.json").read_text())
    for file, facts in report["files"].items():
        assert hashlib.sha256((folder / file).read_bytes()).hexdigest() == facts["sha256"], file
    check = report["verification"]
    assert check["mismatches"] == check["window_form_mismatches"] == 0 and check["windows"] == 1000
    assert all(
        report["recipe"]["weights"][w]["bits"] == 8 for w in ("w_x", "w_z", "w_dt", "w_out", "w_fc1", "w_fc2")
    )
    for change in report["change_of_resolving_power"].values():
        assert abs(change["value"]) < 0.01
    assert report["fidelity"]["per_cent"] < 5
    assert (folder / "report.png").stat().st_size < 150_000


def test_made_from_the_shipped_float_model(shipped):
    name, float_model, folder = shipped
    loaded = load_quantised(folder / "model.safetensors")
    assert loaded.training["float_sha256"] == hashlib.sha256(float_model.read_bytes()).hexdigest()
    assert loaded.window == load_checkpoint(float_model).window
    assert Executor(folder / "step.onnx").metadata["venom.max_steps"] == str(loaded.window["length"])
