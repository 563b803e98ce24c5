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


def network(inputs, mode="ae", seed=0):
    torch.manual_seed(seed)
    return LightCurveCompressor(
        mode=mode, latent_dim=16, in_channels=inputs.in_channels, gp_dim=inputs.gp_dim, d_model=32, n_heads=4,
        use_images=inputs.images,
    ).eval()  # fmt: skip


def embedded(model, inputs, source, count=None):
    item = inputs.prepare(source, count)
    batch = {key: torch.from_numpy(item[key])[None] for key in ("x", "images", "gp_features") if key in item}
    mask = torch.zeros(batch["x"].shape[:2], dtype=torch.bool)
    return model.embed(batch.pop("x"), mask, **batch).numpy()


@pytest.mark.parametrize("n", [4, 5, 11])
def test_embedding_of_a_prefix(sources, n):
    inputs = InputSpec.fit(sources, features="causal", feature_mask=True)
    model = network(inputs)
    rng = np.random.default_rng(n)
    for source in sources:
        other = another_future(source, n, rng)
        assert embedded(model, inputs, other, n).tobytes() == embedded(model, inputs, source, n).tobytes()
        # the whole does depend on it
        assert not np.allclose(embedded(model, inputs, other), embedded(model, inputs, source))


def rich(rng, count, object_id="x"):
    """Photometry, metadata with gaps, stamps of most detections and features of prefixes, all at random."""
    values = rng.normal(5, 3, (count, 30)).astype(np.float32)
    values[rng.random((count, 30)) < 0.2] = np.nan
    stamps = rng.normal(100, 10, (count, 3, 63, 63)).astype(np.float32)
    return with_features(Source(
        object_id, 2459000.5 + np.cumsum(rng.exponential(2.0, count)), rng.integers(0, 2, count),
        rng.normal(18, 1, count), rng.uniform(0.02, 0.3, count), metadata=values, images=stamps.__getitem__,
        has_image=rng.random(count) < 0.7,
    ))  # fmt: skip


def with_another_future(source, n, rng):
    """Every later detection another: times, bands, magnitudes, metadata, stamps; the features computed anew."""
    other = rich(rng, len(source) + 3)
    shift = source.time[n - 1] + 0.5 - other.time[n]
    joined = {key: np.concatenate([getattr(source, key)[:n], getattr(other, key)[n:]])
              for key in ("band", "mag", "mag_err", "metadata", "has_image")}  # fmt: skip
    return with_features(Source(
        source.object_id, np.concatenate([source.time[:n], other.time[n:] + shift]), **joined,
        images=lambda k: source.images(k) if k < n else other.images(k),
    ))  # fmt: skip


EVERYTHING = {"metadata": "global", "images": True, "features": "causal"}
SPECS = {
    "ours, everything": lambda sources: InputSpec.fit(sources, **EVERYTHING, horizon=40.0),
    "the original, everything": lambda _: InputSpec.original(images=True, features=True),
    "the original, features": lambda _: InputSpec.original(metadata=False, features=True, max_len=12),
}


@pytest.mark.parametrize("mode", ["ae", "vqvae"])
@pytest.mark.parametrize("kind", SPECS)
def test_no_later_alert_reaches_the_embedding_of_a_prefix(kind, mode):
    """Metadata, stamps and features of later alerts too; a folder's vectors of prefixes, and the original's of whole
    curves alone."""
    rng = np.random.default_rng(3)
    sources = [rich(rng, int(count), f"s{k}") for k, count in enumerate(rng.integers(9, 20, 8))]
    inputs = SPECS[kind](sources)
    model = network(inputs, mode)
    differ = 0
    for source in sources:
        n = int(rng.integers(2, 9))
        other = with_another_future(source, n, rng)
        pairs = [(source, other)]
        if inputs.features == "file":  # as the original's files: one vector, of the whole curve
            pairs.append(tuple(
                replace(x, features=x.features[-1:], feature_counts=x.feature_counts[-1:]) for x in (source, other)
            ))  # fmt: skip
        for one, two in pairs:
            expected = embedded(model, inputs, one, n).tobytes()
            assert embedded(model, inputs, two, n).tobytes() == expected
            assert embedded(model, inputs, one.prefix(n)).tobytes() == expected
            differ += not np.allclose(embedded(model, inputs, two), embedded(model, inputs, one))
    assert differ >= len(sources) - 1  # whole curves do depend on what is in them


def test_allowed_features_of_the_future_do_reach_it():
    """The other side of the test above, for the original's networks."""
    source = rich(np.random.default_rng(5), 15)
    whole = replace(source, features=source.features[-1:], feature_counts=source.feature_counts[-1:])
    inputs = InputSpec.original(metadata=False, features=True)
    honest, leaking = inputs.prepare(whole, 5), inputs.prepare(whole, 5, allow_future_features=True)
    assert not honest["gp_features"].any() and leaking["gp_features"].any()
    np.testing.assert_array_equal(leaking["gp_features"], inputs.prepare(whole)["gp_features"])
    np.testing.assert_array_equal(leaking["x"], honest["x"])
