"""From detections through features to fingerprint: another future changes no bit of a prefix's embedding."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from rtf_models.data.bts import read_bts
from rtf_models.data.inputs import InputSpec
from rtf_models.data.source import Source
from rtf_models.features import prefix_features
from rtf_models.model import LightCurveCompressor

COUNTS = (3, 5, 10)


def with_features(source):
    counts, rows = prefix_features(source, COUNTS)
    return replace(source, features=rows, feature_counts=counts)


def another_future(source, n, rng):
    """`source` with every detection after the first n drawn at random, and its features computed anew."""
    later = len(source) - n
    time = source.time[n - 1] + np.cumsum(rng.exponential(2.0, later))
    return with_features(Source(
        source.object_id, np.concatenate([source.time[:n], time]),
        np.concatenate([source.band[:n], rng.integers(0, 2, later)]),
        np.concatenate([source.mag[:n], rng.uniform(14, 21, later)]),
        np.concatenate([source.mag_err[:n], rng.uniform(0.01, 0.4, later)]),
    ))  # fmt: skip


@pytest.fixture(scope="module")
def sources(bts_file):
    sources = [source for source in read_bts(bts_file) if 12 <= len(source) <= 40]
    return [
        with_features(sources[k]) for k in np.random.default_rng(2).choice(len(sources), 5, replace=False)
    ]


@pytest.mark.parametrize("n", [4, 5, 11])
def test_embedding_of_a_prefix(sources, n):
    inputs = InputSpec.fit(sources, features="causal", feature_mask=True)
    torch.manual_seed(0)
    model = LightCurveCompressor(
        mode="ae", latent_dim=16, in_channels=inputs.in_channels, gp_dim=inputs.gp_dim, d_model=32, n_heads=4
    ).eval()
    rng = np.random.default_rng(n)

    def embedded(source, count=None):
        item = inputs.prepare(source, count)
        x = torch.from_numpy(item["x"])[None]
        features = torch.from_numpy(item["gp_features"])[None]
        return model.embed(x, torch.zeros(x.shape[:2], dtype=torch.bool), gp_features=features).numpy()

    for source in sources:
        other = another_future(source, n, rng)
        assert embedded(other, n).tobytes() == embedded(source, n).tobytes()
        assert not np.allclose(embedded(other), embedded(source))  # the whole does depend on it
