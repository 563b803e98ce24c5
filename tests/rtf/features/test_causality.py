"""Nothing later than the prefix is looked at: on real light curves, to the last bit."""

import numpy as np
import pytest

from rtf_models.data.bts import read_bts
from rtf_models.data.source import Source
from rtf_models.features import FEATURE_NAMES, extract_features, prefix_features


@pytest.fixture(scope="module")
def real_sources(bts_file):
    sources = [s for s in read_bts(bts_file) if len(s) >= 8]
    return [sources[k] for k in np.random.default_rng(5).choice(len(sources), 7, replace=False)]


def with_another_future(source, n, rng, extra):
    """The first n detections of `source`, then detections that have nothing to do with it (`extra` more of them)."""
    count = len(source) - n + extra
    time = source.time[n - 1] + np.cumsum(rng.exponential(1.0, count))
    return Source(
        "other", np.concatenate([source.time[:n], time]),
        np.concatenate([source.band[:n], rng.integers(0, 3, count)]),
        np.concatenate([source.mag[:n], rng.uniform(10, 25, count)]),
        np.concatenate([source.mag_err[:n], rng.uniform(0.001, 1.0, count)]),
    )  # fmt: skip


def test_another_future_gives_the_same_prefix_vectors(real_sources):
    rng = np.random.default_rng(0)
    changed_whole = 0
    for source in real_sources:
        for n in (3, 5, len(source) // 2, len(source) - 1):
            truth = extract_features(source, n)
            for extra in (0, 7, n - len(source)):  # as many, more, none
                other = with_another_future(source, n, rng, extra)
                assert extract_features(other, n).tobytes() == truth.tobytes()
                counts, rows = prefix_features(other, [n])
                assert rows[counts.tolist().index(n)].tobytes() == truth.tobytes()
        changed_whole += extract_features(with_another_future(source, 5, rng, 0)).tobytes() != (
            extract_features(source).tobytes()
        )
    assert changed_whole == len(real_sources)  # the future matters to the whole: the test can fail


def test_prefix_rows_are_the_vectors_of_their_counts(real_sources):
    for source in real_sources[:4]:
        counts, rows = prefix_features(source)
        assert counts.dtype == np.int64 and rows.dtype == np.float32 and rows.shape == (len(counts), 114)
        assert counts.tolist() == [c for c in (3, 5, 7, 10, 15, 20, 30, 50, 100) if c < len(source)] + [
            len(source)
        ]
        for n, row in zip(counts, rows, strict=True):
            assert row.tobytes() == extract_features(source, int(n)).tobytes()
        assert rows[-1].tobytes() == extract_features(source).tobytes()


def test_time_zero_does_not_matter(real_sources):
    source = real_sources[0]
    moved = Source("moved", source.time - 1024.0, source.band, source.mag, source.mag_err)
    np.testing.assert_allclose(extract_features(moved), extract_features(source), rtol=1e-3, atol=1e-4)


def test_most_features_are_defined_on_real_light_curves(real_sources):
    whole = np.array([extract_features(source) for source in real_sources])
    defined = dict(zip(FEATURE_NAMES, np.isfinite(whole).mean(0), strict=True))
    for name in ("np_peak_color_g_r", "param_bazin_decay_tau", "thermal_log_temp_peak", "gp2d_temp_range"):
        assert defined[name] > 0.7, name
