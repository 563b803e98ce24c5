"""The lean models that ship: files belong together, meet the goal of resolving power, and are as small as promised."""

import hashlib
import json

import numpy as np
import pytest

from venom_hw.datapath.passes.factor_decay import factor_decay
from venom_hw.flow.golden_vectors import load_vectors
from venom_hw.flow.model_files import find_model
from venom_hw.interchange.importer import import_venom
from venom_hw.quantize.checkpoint import load_quantised
from venom_hw.quantize.files import write_qonnx
from venom_hw.quantize.recipe import load_recipe
from venom_hw.quantize.verify import verify_files
from venom_hw.tradeoff.area import estimate_area


@pytest.fixture(params=["ptsi", "inhf"])
def lean(request):
    return request.param, find_model(f"{request.param}-lean")


@pytest.mark.slow
def test_checkpoint_gives_the_shipped_onnx_bytes(lean, tmp_path):
    _, files = lean
    loaded = load_quantised(files.checkpoint)
    assert loaded.name == files.name
    for path in write_qonnx(loaded.network, loaded.formats, tmp_path, model=files.name, window=loaded.window):
        assert path.read_bytes() == (files.step.parent / path.name).read_bytes()


def test_executed_files_equal_the_shipped_network(lean):
    _, files = lean
    loaded = load_quantised(files.checkpoint)
    samples = load_vectors(files.name).arrays["samples"]
    check = verify_files(loaded.network, loaded.formats, files.step, files.head, samples)
    assert check.mismatches == check.window_form_mismatches == 0, check.first
    assert check.compared > samples.shape[0] * samples.shape[1] * 193


def test_report_belongs_to_the_files_and_meets_the_goal(lean):
    preset, files = lean
    report = json.loads(files.report.read_text())
    for file, facts in report["files"].items():
        assert hashlib.sha256((files.step.parent / file).read_bytes()).hexdigest() == facts["sha256"], file
    check = report["verification"]
    assert check["mismatches"] == check["window_form_mismatches"] == 0 and check["windows"] == 1000
    for change in report["change_of_resolving_power"].values():
        assert change["value"] > -0.01
    assert report["change_of_resolving_power"]["gaussian"]["low"] > -0.015
    assert report["fidelity"]["per_cent"] < 15
    float_model = files.step.parents[1] / f"{preset}.safetensors"
    assert load_quantised(files.checkpoint).training["float_sha256"] == sha256(float_model)


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_made_by_the_shipped_recipe(lean):
    recipe = load_recipe("lean")
    assert json.loads(lean[1].report.read_text())["recipe"] == recipe.to_dict()
    assert recipe.tensors["dx"]["bits"] + 2 * recipe.tensors["B"]["bits"] <= 27, "two dx B must share a DSP"
    assert 8 * recipe.tensors["g"]["bits"] + recipe.tensors["delta"]["bits"] <= 72, "one block RAM for each d"


def test_lean_is_less_than_half_of_the_default_model(lean):
    preset, files = lean
    small, usual = (estimate_area(import_venom(f.step, f.head).step) for f in (files, find_model(preset)))
    assert small.luts < 0.45 * usual.luts and small.luts < 24_000
    assert small.dsp_packed <= 432 and small.bram36() <= 165
    assert sum(small.state_bits.values()) < 0.78 * sum(usual.state_bits.values())


def test_decays_have_constant_upper_bits(lean):
    step = factor_decay(import_venom(lean[1].step, lean[1].head).step)
    (decay,) = [n for n in step.nodes if n.op == "table" and n.shape == (16, 8)]
    entries = step.constants[decay.attrs["entries"]].reshape(512, 128)
    varying = np.bitwise_or.reduce(entries ^ entries[0])
    assert varying.max() < 128 and entries.max() < 1 << 17
