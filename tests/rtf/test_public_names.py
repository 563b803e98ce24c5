"""The names that users of the original import, and ours beside them, without loading what is not used."""

import importlib
import inspect
import subprocess
import sys

import pytest

import rtf_models

ORIGINAL = ["LightCurveCompressor", "Time2Vec", "VectorQuantizer", "ImageTower", "AlertDataset", "MetaNPZDataset",
            "PhotoNPZDataset", "collate_fn"]
OURS = ["Checkpoint", "ClassScheme", "Embeddings", "InputSpec", "RtfError", "Source", "SourceDataset", "embed_sources",
        "load_checkpoint", "open_split", "save_checkpoint"]


@pytest.mark.parametrize("name", ORIGINAL + OURS)
def test_every_name_is_there(name):
    assert getattr(rtf_models, name).__name__ == name
    assert name in rtf_models.__all__ and name in dir(rtf_models)


def test_nothing_else_is_promised():
    assert sorted(rtf_models.__all__) == rtf_models.__all__ == sorted(ORIGINAL + OURS)
    with pytest.raises(AttributeError, match="no_such_thing"):
        _ = rtf_models.no_such_thing


def test_importing_the_package_loads_nothing_heavy():
    code = """import sys, rtf_models
assert not {"torch", "numpy", "scipy", "sklearn"} & set(sys.modules), "import rtf_models"
from rtf_models import ClassScheme
assert "torch" not in sys.modules, "class schemes"
from rtf_models import LightCurveCompressor
assert "torch" in sys.modules"""
    subprocess.run([sys.executable, "-c", code], check=True)


KEYWORDS = {
    "LightCurveCompressor": "mode latent_dim in_channels d_model n_heads n_encoder_layers n_decoder_layers d_ff "
    "dropout max_len free_bits num_codes commitment_cost use_images image_backbone freeze_backbone gp_dim num_classes",
    "Time2Vec": "d_model",
    "VectorQuantizer": "num_codes code_dim commitment_cost ema_decay",
    "ImageTower": "d_model dropout backbone freeze_backbone",
    "AlertDataset": "data_dir splits_path split labels_path use_metadata max_len horizon",
    "MetaNPZDataset": "data_dir max_len use_images use_gp max_detections random_truncate min_detections",
    "PhotoNPZDataset": "data_dir stats_path max_len horizon use_metadata",
    "collate_fn": "batch",
}


@pytest.mark.parametrize("name", KEYWORDS)
def test_arguments_have_the_original_s_names(name):
    wanted = KEYWORDS[name].split()
    thing = getattr(rtf_models, name)
    found = [p for p in inspect.signature(thing).parameters if p != "self"]
    assert found[: len(wanted)] == wanted


DEFAULTS = {"mode": "vae", "latent_dim": 32, "in_channels": 7, "d_model": 128, "n_heads": 8, "n_encoder_layers": 4,
            "n_decoder_layers": 2, "d_ff": 512, "dropout": 0.3, "max_len": 257, "free_bits": 0.25, "num_codes": 512,
            "commitment_cost": 0.25, "use_images": False, "image_backbone": "simple", "freeze_backbone": None,
            "gp_dim": 0, "num_classes": 0}


def test_the_compressor_has_the_original_s_defaults():
    parameters = inspect.signature(rtf_models.LightCurveCompressor).parameters
    assert {name: parameters[name].default for name in DEFAULTS} == DEFAULTS


def test_methods_and_attributes():
    model = rtf_models.LightCurveCompressor(d_model=16, n_heads=2, n_encoder_layers=1, n_decoder_layers=1, d_ff=16)
    for name in ("encode", "decode", "forward", "reparameterize", "embed", "reconstruction_error", "compute_loss",
                 "compression_info"):
        assert callable(getattr(model, name)), name
    for name in ("mode", "latent_dim", "in_channels", "d_model", "max_len", "num_classes", "gp_dim", "use_images"):
        assert getattr(model, name) == model.config()[name]
    wanted = ["x", "pad_mask", "forward_out", "beta", "labels", "cls_weight"]
    assert list(inspect.signature(model.compute_loss).parameters)[:6] == wanted


@pytest.mark.parametrize("room", ["evaluation", "data", "model"])
def test_what_a_room_promises_it_has(room):
    module = importlib.import_module(f"rtf_models.{room}")
    for name in getattr(module, "__all__", ()):
        assert getattr(module, name) is not None
