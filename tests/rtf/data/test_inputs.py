"""What a network's inputs are: scaling, masks, causality, the original's conventions."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtf_models.data.inputs import InputSpec, per_sample_scaled
from rtf_models.data.metadata import METADATA_FIELDS, metadata_row, unfilled
from rtf_models.data.scaling import robust
from rtf_models.data.source import Source
from rtf_models.errors import DataError

KINDS = ("plain", "global", "per_sample", "everything", "original", "original_features")


def specs(sources) -> dict[str, InputSpec]:
    return {
        "plain": InputSpec.fit(sources),
        "global": InputSpec.fit(sources, metadata="global"),
        "per_sample": InputSpec.fit(sources, metadata="per_sample", max_len=20),
        "everything": InputSpec.fit(sources, metadata="global", images=True, features="causal", horizon=30.0),
        "original": InputSpec.original(images=True),
        "original_features": InputSpec.original(features=True, max_len=20),
    }


@pytest.fixture(scope="module")
def training(make_source):
    rng = np.random.default_rng(5)
    return [make_source(rng, int(rng.integers(1, 60)), f"s{k}", 0, True, True, True) for k in range(25)]


@pytest.fixture(scope="module")
def fitted(training):
    return specs(training)


@given(st.integers(1, 40), st.integers(1, 45), st.sampled_from(KINDS), st.integers(0, 10**6))
def test_prefix_then_prepare_is_prepare_of_n(fitted, make_source, count, n, kind, seed):
    source = make_source(np.random.default_rng(seed), count, "x", 0, True, True, True)
    spec = fitted[kind]
    one, other = spec.prepare(source, n), spec.prepare(source.prefix(n))
    assert one.keys() == other.keys()
    for key in one:
        np.testing.assert_array_equal(one[key], other[key])
    assert one["seq_len"] == spec.length(source, n) == len(one["x"])


@given(st.integers(2, 40), st.sampled_from(KINDS), st.integers(0, 10**6), st.data())
def test_no_later_detection_reaches_a_prefix(fitted, make_source, count, kind, seed, data):
    """Everything after detection n is replaced by something else: the inputs must be the same bits."""
    n = data.draw(st.integers(1, count - 1))
    source = make_source(np.random.default_rng(seed), count, "x", 0, True, True, True)
    later = make_source(np.random.default_rng(seed + 1), count, "x", 0, True, True, True)
    rows = source.feature_counts <= n
    changed = replace(
        source,
        time=np.concatenate([source.time[:n], source.time[n - 1] + 1 + np.cumsum(np.abs(later.mag[n:]))]),
        band=np.concatenate([source.band[:n], (source.band[n:] + 1) % 3]),
        mag=np.concatenate([source.mag[:n], later.mag[n:]]),
        mag_err=np.concatenate([source.mag_err[:n], later.mag_err[n:]]),
        metadata=np.concatenate([source.metadata[:n], later.metadata[n:]]),
        has_image=np.concatenate([source.has_image[:n], ~source.has_image[n:]]),
        images=lambda k: source.images(k) if k < n else later.images(k),
        features=np.where(rows[:, None], source.features, -source.features + 1),
    )
    spec = fitted[kind]
    one, other = spec.prepare(source, n), spec.prepare(changed, n)
    for key in one:
        np.testing.assert_array_equal(one[key], other[key])


def test_the_originals_features_of_a_prefix_are_missing(make_source):
    """Its files hold one vector, of the whole curve: a prefix gets it only where that is asked for."""
    source = make_source(np.random.default_rng(3), 20, features=True)
    original = replace(source, features=source.features[-1:], feature_counts=source.feature_counts[-1:])
    spec = InputSpec.original(metadata=False, features=True)
    whole = spec.prepare(original)["gp_features"]
    np.testing.assert_array_equal(whole, np.clip(np.nan_to_num(source.features[-1]), -10, 10))
    for n in (20, 300):
        np.testing.assert_array_equal(spec.prepare(original, n)["gp_features"], whole)
    for n in (1, 5, 19):
        assert not spec.prepare(original, n)["gp_features"].any()
        assert not spec.prepare(original.prefix(n))["gp_features"].any()
        leaked = spec.prepare(original, n, allow_future_features=True)
        np.testing.assert_array_equal(leaked["gp_features"], whole)
        assert leaked["seq_len"] == n
    # a folder of ours has vectors of prefixes: those are of the past
    known = np.clip(np.nan_to_num(source.features[list(source.feature_counts).index(5)]), -10, 10)
    np.testing.assert_array_equal(spec.prepare(source, 7)["gp_features"], known)


def test_what_a_network_leaves_out_of_a_whole_curve_does_not_make_it_a_prefix(make_source):
    """A curve longer than max_len is given whole: it keeps its vector, as the original's reader hands it over."""
    source = make_source(np.random.default_rng(3), 30)
    source = replace(source, features=np.ones((1, 114)), feature_counts=[30])
    spec = InputSpec.original(metadata=False, features=True, max_len=20)
    assert (spec.prepare(source)["gp_features"] == 1).all() and spec.prepare(source)["seq_len"] == 20
    assert not spec.prepare(source, 25)["gp_features"].any()


def test_constant_metadata_survive_global_scaling(training):
    """Two sources that differ in a field constant within each: apart globally, both 0 by the original."""
    place = METADATA_FIELDS.index("sgscore1")
    low, high = (replace(training[k], metadata=np.full((len(training[k]), 30), value, np.float32))
                 for k, value in ((0, 0.02), (1, 0.98)))
    ours, theirs = InputSpec.fit([low, high], metadata="global"), InputSpec.original()
    ours_low, ours_high = (ours.prepare(x)["x"][:, 7 + place] for x in (low, high))
    assert (ours_low < ours_high.min() - 1).all()
    for source in (low, high):
        np.testing.assert_array_equal(theirs.prepare(source)["x"][:, 7:], 0)


def test_missing_mask_says_what_is_missing(fitted, training):
    for source in training[:8]:
        x = fitted["global"].prepare(source)["x"]
        missing = ~np.isfinite(source.metadata[: len(x)])
        np.testing.assert_array_equal(x[:, 37:], missing)
        assert (x[:, 7:37][missing] == 0).all()
        assert np.abs(x[:, 7:37]).max() <= 10
        assert np.isfinite(x).all()


def test_a_source_without_metadata_is_all_missing(fitted, make_source):
    x = fitted["global"].prepare(make_source(np.random.default_rng(0), 4))["x"]
    assert (x[:, 7:37] == 0).all() and (x[:, 37:] == 1).all()


def test_features_are_masked(fitted, make_source):
    spec = fitted["everything"]
    assert spec.gp_dim == 228
    source = make_source(np.random.default_rng(1), 5, features=True)
    source = replace(source, time=np.arange(5.0))
    out = spec.prepare(source, 4)["gp_features"]
    row = source.features[list(source.feature_counts).index(3)]
    np.testing.assert_array_equal(out[114:], ~np.isfinite(row))
    assert (out[:114][out[114:] == 1] == 0).all()
    center, scale = np.array(spec.feature_center), np.array(spec.feature_scale)
    known = np.isfinite(row)
    np.testing.assert_allclose(out[:114][known], np.clip((row - center) / scale, -10, 10)[known], rtol=1e-4, atol=1e-5)
    nothing = spec.prepare(source, 2)["gp_features"]  # the first vector needs three detections
    assert (nothing[:114] == 0).all() and (nothing[114:] == 1).all()


def test_channels_are_what_they_say(fitted):
    source = Source("x", [100.0, 101.0, 104.5], [0, 2, 1], [18.0, 19.0, 17.5], [0.1, 0.2, 0.05])
    spec = InputSpec(zero_point=23.9)
    expected = [[0, 0, 0.4 * 5.9, 0.04, 1, 0, 0],
                [np.log(2), np.log(2), 0.4 * 4.9, 0.08, 0, 0, 1],
                [np.log(5.5), np.log(4.5), 0.4 * 6.4, 0.02, 0, 1, 0]]
    np.testing.assert_allclose(spec.prepare(source)["x"], expected, rtol=1e-6, atol=1e-7)
    assert spec.in_channels == 7 and fitted["global"].in_channels == 67 and fitted["original"].in_channels == 37
    for spec in fitted.values():
        assert len(spec.channel_names) == spec.in_channels == spec.prepare(source)["x"].shape[1]


@given(st.integers(1, 50), st.integers(0, 10**6), st.sampled_from(["plain", "original"]))
def test_to_physical_undoes_the_scaling(fitted, make_source, count, seed, kind):
    source = make_source(np.random.default_rng(seed), count)
    spec = fitted[kind]
    out = spec.prepare(source)
    n = out["seq_len"]
    physical = spec.to_physical(out["x"][:, :4])
    np.testing.assert_allclose(physical["days"], (source.time - source.time[0])[:n], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(physical["days_since_previous"], np.diff(source.time, prepend=source.time[0])[:n],
                               rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(physical["mag"], source.mag[:n], atol=1e-5)
    np.testing.assert_allclose(physical["mag_err"], source.mag_err[:n], atol=1e-5)


def test_fitted_channels_have_unit_size(fitted, training):
    x = np.concatenate([fitted["plain"].prepare(source)["x"][:, :4] for source in training])
    np.testing.assert_allclose(x.mean(0), 0, atol=0.05)
    np.testing.assert_allclose(x.std(0), 1, atol=0.05)
    values = np.concatenate([fitted["global"].prepare(source)["x"] for source in training])
    known = values[:, 7:37][values[:, 37:] == 0]
    assert abs(np.median(known)) < 0.05 and 0.8 < known.std() < 1.2


def test_robust_scale():
    rng = np.random.default_rng(0)
    values = np.stack([rng.normal(7, 2, 4000), np.full(4000, 3.0), np.full(4000, np.nan),
                       np.where(rng.random(4000) < 0.1, 5.0, 0.0), rng.normal(0, 1, 4000)], axis=1)
    values[:400, 4] = 1e9  # outliers do not reach the scale
    center, scale = robust(values)
    np.testing.assert_allclose(center[:4], [7, 3, 0, 0], atol=0.1)
    np.testing.assert_allclose(scale[:4], [2, 1, 1, 1.5], rtol=0.05)
    assert abs(center[4]) < 0.3 and scale[4] < 1.5


def test_horizon_and_max_len(make_source):
    source = Source("x", np.arange(300.0), np.zeros(300), np.full(300, 18), np.full(300, 0.1))
    assert InputSpec(horizon=100.0).length(source) == 101
    assert InputSpec(horizon=None).length(source) == 300
    assert InputSpec(horizon=None, max_len=257).length(source) == 257
    assert InputSpec(horizon=100.0, max_len=50).length(source, 10) == 10
    assert InputSpec(horizon=0.0).length(source) == 1


def test_json_round_trip(fitted):
    for spec in fitted.values():
        again = InputSpec.from_dict(json.loads(json.dumps(spec.to_dict())))
        assert again == spec and hash(again) == hash(spec)
    with pytest.raises(DataError, match="flux"):
        InputSpec.from_dict({"flux": 1})
    with pytest.raises(DataError):
        InputSpec.from_dict({"base_mean": "nonsense"})


BAD = [{"metadata": "some"}, {"features": "all"}, {"missing_mask": True}, {"feature_mask": True, "features": "file"},
       {"base_std": (1, 1, 0, 1)}, {"base_mean": (0, 0, 0)}, {"base_mean": (0, 0, 0, np.nan)}, {"horizon": -1.0},
       {"max_len": 0}]


@pytest.mark.parametrize("change", BAD, ids=[str(k) for k in range(len(BAD))])
def test_bad_descriptions_are_refused(change):
    with pytest.raises(DataError, match=f"'{list(change)[0]}'"):
        InputSpec(**change)


def test_fit_says_what_no_source_has(make_source):
    sources = [make_source(np.random.default_rng(0), 5)]
    with pytest.raises(DataError, match="metadata"):
        InputSpec.fit(sources, metadata="global")
    with pytest.raises(DataError, match="fit-gp"):
        InputSpec.fit(sources, features="causal")
    with pytest.raises(DataError, match="no sources"):
        InputSpec.fit([])


def test_fit_is_seeded(training):
    some = [InputSpec.fit(training, max_sources=5, seed=seed) for seed in (1, 1, 2)]
    assert some[0] == some[1] != some[2]


# The original's conventions, written out channel by channel as its description has them.
def original_per_sample(values: np.ndarray) -> np.ndarray:
    out = np.empty_like(values)
    for k in range(values.shape[1]):
        column = values[:, k]
        median = np.median(column)
        spread = np.percentile(column, 75) - np.percentile(column, 25)
        out[:, k] = (column - median) / spread if spread > 1e-6 else column - median
    return np.clip(out, -10, 10)


@given(st.integers(1, 40), st.integers(0, 10**6))
def test_per_sample_scaling_is_the_originals(count, seed):
    rng = np.random.default_rng(seed)
    values = (rng.normal(0, 1, (count, 30)) ** 3).astype(np.float32)
    values[:, rng.random(30) < 0.3] = 0.97
    values[rng.random(values.shape) < 0.2] = 0
    np.testing.assert_allclose(per_sample_scaled(values), original_per_sample(values), rtol=1e-5, atol=1e-6)


def test_metadata_fields():
    assert len(METADATA_FIELDS) == len(set(METADATA_FIELDS)) == 30
    row = metadata_row({"sgscore1": None, "sgscore2": -999.0, "rb": 0.5, "nmtchps": 0, "clrcoeff": float("nan"),
                        "fwhm": "wide", "distnr": True, "szmag2": np.float32(20.5)})
    found = {name: value for name, value in zip(METADATA_FIELDS, row, strict=True) if np.isfinite(value)}
    assert found == {"rb": 0.5, "nmtchps": 0.0, "szmag2": 20.5}


def test_zeros_of_the_originals_files():
    """0 stands for missing there, except where it is a likely measurement."""
    values = np.zeros((3, 30), np.float32)
    place = METADATA_FIELDS.index
    values[0, place("distpsnr1")], values[0, place("fwhm")] = 3.0, 2.0
    values[2, place("rb")] = 0.4
    present = [{METADATA_FIELDS[k] for k in np.flatnonzero(np.isfinite(row))} for row in unfilled(values)]
    always = {"rb", "classtar", "nmtchps"}
    assert present == [{"distpsnr1", "sgscore1", "fwhm"} | always, set(), always]
