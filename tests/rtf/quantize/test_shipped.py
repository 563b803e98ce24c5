"""The shipped quantised encoder: checkpoint, QONNX file and report belong together and to the shipped float model."""

import hashlib
import json

import numpy as np
import onnx
import pytest
import torch

from rtf_models.checkpoint import load_checkpoint
from rtf_models.quantize.calibrate import padded
from rtf_models.quantize.checkpoint import load_quantised
from rtf_models.quantize.files import write_qonnx
from rtf_models.quantize.training import float_latent
from rtf_models.quantize.verify import LENGTHS, verify_file
from venom_hw.interchange.export import count_quantisers, quant_nodes


@pytest.fixture(scope="module")
def folder(pytestconfig):
    return pytestconfig.rootpath / "rtf_models" / "pretrained" / "bts-ae-quantised"


@pytest.fixture(scope="module")
def shipped(folder):
    return load_quantised(folder / "quantised.safetensors")


@pytest.fixture(scope="module")
def report(folder):
    return json.loads((folder / "report.json").read_text())


def test_report_belongs_to_the_files(folder, report):
    for file, facts in report["files"].items():
        assert hashlib.sha256((folder / file).read_bytes()).hexdigest() == facts["sha256"], file
    check = report["verification"]
    assert check["mismatches"] == check["padding_mismatches"] == 0 and check["compared"] > 50_000_000
    assert check["cases"][: len(LENGTHS)] == [f"length {n}" for n in LENGTHS]
    assert (folder / "encoder.onnx").stat().st_size < 6_000_000


def test_eight_bits_and_close_to_float(report):
    recipe = report["recipe"]
    weights = ("w_in", "w_query", "w_key", "w_value", "w_out", "w_1", "w_2", "w_z")
    assert all(recipe["weights"][w]["bits"] == 8 for w in weights)
    assert all(recipe["tensors"][t]["bits"] == 8 for t in ("n", "query", "key", "value", "e", "p", "a", "z"))
    for entry in report["evaluation"].values():
        near = entry["fine-tuned"]["fidelity"]
        assert near["cosine_mean"] > 0.999 and near["cosine_1_per_cent"] > 0.997
        probes = [entry[name]["probe"]["coarse"]["accuracy"] for name in ("float", "fine-tuned")]
        assert abs(probes[0] - probes[1]) < 0.03


def test_made_from_the_shipped_float_model(shipped, folder, report):
    model = load_checkpoint("bts-ae")
    assert shipped.training["float_sha256"] == report["float_sha256"] == model.sha256
    assert shipped.inputs == model.inputs and shipped.scheme == model.scheme
    assert "/" not in shipped.training["command"].split("--checkpoint")[1].split()[0]


def test_file_is_the_network_on_every_integer(shipped, folder, tiny):
    """The committed file, at some lengths and mixed (the report has them all)."""
    nodes = quant_nodes(onnx.load(folder / "encoder.onnx"))
    assert len(nodes) == count_quantisers(shipped.model) == len(shipped.formats)
    curves = tiny.curves(16, longest=40)
    check = verify_file(shipped.model, shipped.formats, folder / "encoder.onnx", curves, lengths=(1, 26), count=1)
    assert check.mismatches == 0 == check.padding_mismatches, check.first


def test_fingerprints_follow_the_float_model(shipped, tiny):
    """On made-up light curves in the range of real ones: not what it was tuned on."""
    model = load_checkpoint("bts-ae").model
    feeds = padded(tiny.curves(32, longest=40))
    wanted = float_latent(model.double(), **feeds)
    found = shipped.model.double().embed(**feeds)
    shipped.model.float()
    assert torch.cosine_similarity(found, wanted).min() > 0.99
    assert np.abs(shipped.codes(found.numpy())).max() <= 127


@pytest.mark.slow
def test_checkpoint_gives_the_shipped_onnx_bytes(shipped, folder, tmp_path):
    path = write_qonnx(shipped.model, shipped.formats, tmp_path / "encoder.onnx", model=shipped.name)
    assert path.read_bytes() == (folder / "encoder.onnx").read_bytes()
