"""Packets as the stream reads them against the data room's sources, and the encoder against embed_sources."""

import numpy as np
import pytest
import torch

from rtf_models.checkpoint import load_checkpoint, save_checkpoint
from rtf_models.classes import BTS
from rtf_models.data.alerts import source_from_alerts
from rtf_models.data.inputs import InputSpec
from rtf_models.embedding import embed_sources
from rtf_models.errors import DataError
from rtf_models.evaluation.anomaly import AnomalyScorer, observe
from rtf_models.model import LightCurveCompressor
from rtf_models.stream.arrival import taken
from rtf_models.stream.detections import source_of
from rtf_models.stream.encoder import CheckpointEncoder
from rtf_models.stream.errors import StreamError
from rtf_models.stream.file_stream import FileStream
from rtf_models.stream.packets import BrokenPacket, alert_of
from rtf_models.stream.triplets import Triplets
from tests.rtf.stream.toy import detection, packet


@pytest.fixture(scope="module")
def real_packets(ztf_folder):
    folders = [str(ztf_folder / "alerts_avro"), str(ztf_folder / "alerts_parquet")]
    return [arrival.packet for arrival in taken(FileStream(folders))]


def same(a, b):
    for name in ("time", "band", "mag", "mag_err", "metadata"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name), err_msg=name)


def test_all_real_packets_give_the_data_rooms_sources(real_packets):
    """A packet alone, without memory of the object: the same detections as source_from_alerts."""
    encoded = 0
    assert len(real_packets) == 161
    for one in real_packets:
        alert = alert_of(one, metadata=True)
        if len(alert.rows):
            same(source_of(alert.object_id, alert.rows), source_from_alerts(alert.object_id, [one], images=False))
            encoded += 1
        else:
            with pytest.raises(DataError, match="negative"):
                source_from_alerts(alert.object_id, [one], images=False)
    assert encoded > 100


def test_an_alert_knows_its_past_only():
    previous = [detection(1, 10.0), detection(2, 12.0, positive="f"), {"jd": 11.0, "fid": 1, "magpsf": None},
                detection(3, 99.0), detection(4, 20.0, mag=15.0), detection(1, 10.0)]
    alert = alert_of(packet("x", 4, 20.0, previous, mag=19.0), metadata=False)
    assert alert.rows["candid"].tolist() == [1, 4] and alert.rows["mag"][1] == np.float32(19.0) and alert.own
    alert = alert_of(packet("x", 4, 20.0, previous, positive="f"), metadata=False)
    assert alert.rows["candid"].tolist() == [1] and not alert.own


@pytest.mark.parametrize("change", [{"objectId": None}, {"objectId": ""}, {"candid": None}, {"candid": 1.5},
                                    {"candid": 2**70}, {"candid": True}, {"candidate": None}, {"candidate": {}}])
def test_packets_that_are_none(change):
    with pytest.raises((BrokenPacket, DataError)):
        alert_of(packet("x", 1, 1.0) | change, metadata=True)


SPECS = {"photometry": InputSpec(), "metadata": InputSpec(metadata="global", missing_mask=True),
         "images": InputSpec(images=True), "features": InputSpec(features="causal", feature_mask=True),
         "original": InputSpec.original("compact")}  # fmt: skip


def checkpoint_of(path, spec, **more):
    torch.manual_seed(0)
    model = LightCurveCompressor(mode="ae", latent_dim=8, d_model=16, n_heads=2, n_encoder_layers=1, d_ff=32,
                                 n_decoder_layers=1, in_channels=spec.in_channels, use_images=spec.images,
                                 gp_dim=spec.gp_dim, **more)  # fmt: skip
    return load_checkpoint(save_checkpoint(path / "model.safetensors", model, spec, scheme=BTS))


@pytest.mark.parametrize("kind", SPECS)
def test_fingerprints_are_those_of_embed_sources(real_packets, tmp_path, kind):
    """The stream's batched way and the way of training and evaluation: the same fingerprints."""
    spec = SPECS[kind]
    checkpoint = checkpoint_of(tmp_path, spec)
    encoder = CheckpointEncoder(checkpoint)
    sources, wanted = [], []
    for one in real_packets[:40]:
        alert = alert_of(one, metadata=encoder.metadata)
        if len(alert.rows):
            image = Triplets(0).newest(alert, one, alert.rows) if encoder.images else None
            sources.append(source_of(alert.object_id, alert.rows, image))
            wanted.append(source_from_alerts(alert.object_id, [one]))
    latent, anomaly = encoder.encode([encoder.prepare(s) for s in sources])
    if kind != "features":  # those are computed on the way
        np.testing.assert_allclose(latent, embed_sources(checkpoint, wanted, reconstruct=False).embeddings, atol=2e-6)
    alone = np.concatenate([encoder.encode([encoder.prepare(s)])[0] for s in sources])
    np.testing.assert_allclose(latent, alone, atol=2e-6)
    assert np.isnan(anomaly).all() and np.ptp(latent, axis=0).max() > 0


def test_images_and_features_can_be_left_out(tmp_path, toy_sources):
    for kind, option in (("images", "images"), ("features", "features")):
        checkpoint = checkpoint_of(tmp_path, SPECS[kind])
        encoder = CheckpointEncoder(checkpoint, **{option: False})
        latent, _ = encoder.encode([encoder.prepare(s) for s in toy_sources[:5]])
        plain = embed_sources(checkpoint, toy_sources[:5], reconstruct=False).embeddings
        np.testing.assert_allclose(latent, plain, atol=2e-6)
    with_features = CheckpointEncoder(checkpoint).encode([CheckpointEncoder(checkpoint).prepare(toy_sources[1])])[0]
    assert np.abs(with_features - latent[1]).max() > 1e-3


def test_anomaly_scores_are_those_of_the_evaluation(tmp_path, toy_sources):
    checkpoint = checkpoint_of(tmp_path, InputSpec())
    observed = observe(checkpoint, toy_sources)
    scorer = AnomalyScorer.fit(observed)
    encoder = CheckpointEncoder(checkpoint, scorer=scorer)
    latent, anomaly = encoder.encode([encoder.prepare(s) for s in toy_sources])
    np.testing.assert_allclose(latent, observed.latents, atol=2e-6)
    np.testing.assert_allclose(anomaly, scorer.score(observed.errors, observed.latents, observed.lengths), rtol=1e-3,
                               atol=1e-4)
    other = LightCurveCompressor(mode="ae", latent_dim=4, d_model=16, n_heads=2)
    save_checkpoint(tmp_path / "b" / "model.safetensors", other, InputSpec(), scheme=BTS)
    with pytest.raises(StreamError, match="of 8 numbers"):
        CheckpointEncoder(load_checkpoint(tmp_path / "b"), scorer=scorer)
