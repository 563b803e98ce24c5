"""Anomaly scores mean the same at every number of detections, and strange sources stand out."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from rtf_models.checkpoint import load_checkpoint, save_checkpoint, shipped_names
from rtf_models.classes import BTS
from rtf_models.data.inputs import InputSpec
from rtf_models.model import LightCurveCompressor
from rtf_models.stream.calibrate import main
from rtf_models.stream.calibration import StreamCalibration
from rtf_models.stream.encoder import CheckpointEncoder, find_scorer
from rtf_models.stream.errors import StreamError


@pytest.fixture
def checkpoint(tmp_path):
    torch.manual_seed(0)
    network = LightCurveCompressor(mode="ae", latent_dim=8, d_model=16, n_heads=2, n_encoder_layers=1, d_ff=32,
                                   n_decoder_layers=1)  # fmt: skip
    return load_checkpoint(save_checkpoint(tmp_path / "model.safetensors", network, InputSpec(), scheme=BTS))


def scores(checkpoint, calibration, sources):
    encoder = CheckpointEncoder(checkpoint, scorer=calibration)
    return encoder.encode([encoder.prepare(s) for s in sources])[1]


def test_prefixes_of_every_length_are_ordinary_and_strange_ones_are_not(checkpoint, toy_sources, tmp_path):
    fitted = StreamCalibration.fit(checkpoint, toy_sources[::2], toy_sources[1::2], counts=(1, 2, 3, 5, 10))
    calibration = StreamCalibration.load(fitted.save(tmp_path / "c.json"))
    for count in (1, 3, 10):
        own = [s.prefix(count) for s in toy_sources[1::2] if len(s) >= count]
        plain = scores(checkpoint, calibration, own)
        assert abs(np.median(plain)) < 1e-3 and 0.4 < np.median(np.abs(plain)) < 1.0
        np.testing.assert_allclose(plain, scores(checkpoint, fitted, own), rtol=1e-5, atol=1e-6)
        strange = scores(checkpoint, calibration, [replace(s, mag=s.mag - 12) for s in own])
        assert np.median(strange) > 5


def test_calibration_of_another_model_or_no_calibration(checkpoint, toy_sources, tmp_path):
    fitted = StreamCalibration.fit(checkpoint, toy_sources, toy_sources, counts=(1, 2))
    with pytest.raises(StreamError, match="calibration of this model"):
        CheckpointEncoder(checkpoint, scorer=replace(fitted, model="00" * 32))
    for content in ("", "{}", '{"format": "x"}'):
        (tmp_path / "bad.json").write_text(content)
        with pytest.raises(StreamError, match="expected a calibration"):
            StreamCalibration.load(tmp_path / "bad.json")
    with pytest.raises(StreamError, match="fewer than 10 reference"):
        StreamCalibration.fit(checkpoint, toy_sources, toy_sources[:3], counts=(1, 2))
    assert find_scorer(checkpoint, None) is None
    fitted.save(tmp_path / "stream_calibration.json")
    assert find_scorer(checkpoint, None).model == checkpoint.sha256


def test_shipped_calibrations_belong_to_their_models():
    for name in shipped_names():
        checkpoint = load_checkpoint(name)
        if (scorer := find_scorer(checkpoint, None)) is not None:
            assert scorer.model == checkpoint.sha256 and scorer.dim == checkpoint.model.latent_dim


def test_the_command_says_what_is_missing(tmp_path, capsys):
    assert main(["--checkpoint", "nothing-here", "--data-dir", str(tmp_path)]) == 2
    assert "nothing-here" in capsys.readouterr().err
