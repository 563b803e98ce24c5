"""Anomaly scores: planted strangers are found, and length or units do not make one strange."""

import json

import numpy as np
import pytest
from scipy.stats import kstest, spearmanr

from rtf_models.classes import APPLECIDER
from rtf_models.evaluation.anomaly import AnomalyScorer, Observed, held_out_auc, observe
from rtf_models.evaluation.errors import EvaluationError
from rtf_models.evaluation.metrics import roc_auc

SCALES = np.array([30.0, 10.0, 0.01, 0.001, 0.3])  # time channels rule the plain sum, as in the original


def ordinary(rng, n, labels=None, dimension=6):
    """Errors that shrink with the number of detections, fingerprints around the mean of their class."""
    lengths = rng.integers(3, 200, n)
    errors = SCALES * np.exp(rng.normal(0, 0.3, (n, 5))) * (20 / lengths[:, None]) ** 0.7
    labels = rng.integers(0, 2, n) if labels is None else np.full(n, labels)
    latents = 4 * np.eye(dimension)[labels] + rng.normal(0, 1, (n, dimension)) @ np.diag([1, 5, 0.1, 1, 1, 1])
    return Observed.of(errors, latents, lengths, labels)


def mixed(rng, common, strange):
    parts = [getattr(common, f) for f in ("errors", "latents", "lengths", "labels")]
    others = [getattr(strange, f) for f in ("errors", "latents", "lengths", "labels")]
    truth = np.arange(len(common) + len(strange)) >= len(common)
    return Observed.of(*(np.concatenate(pair) for pair in zip(parts, others, strict=True))), truth


def test_one_bad_channel_is_found_however_small_its_units():
    """Bug 34: an error of flux ten times the usual is nothing in the plain sum, which the times rule."""
    rng = np.random.default_rng(0)
    train, common, strange = (ordinary(rng, n) for n in (800, 300, 60))
    strange.errors[:, 2] *= 10
    test, truth = mixed(rng, common, strange)
    scores = AnomalyScorer.fit(train).scores(test)
    assert roc_auc(truth, scores["reconstruction"]) > 0.97
    assert roc_auc(truth, test.errors[:, :4].mean(1) + test.errors[:, 4]) < 0.6
    assert roc_auc(truth, scores["combined"]) > 0.9 and roc_auc(truth, scores["mahalanobis"]) < 0.62


def test_a_strange_fingerprint_is_found():
    rng = np.random.default_rng(1)
    train, common, strange = (ordinary(rng, n) for n in (800, 300, 60))
    strange.latents[:, 2] += 1.5  # 15 sigma of that direction, but less than one of others
    test, truth = mixed(rng, common, strange)
    scores = AnomalyScorer.fit(train).scores(test)
    assert roc_auc(truth, scores["mahalanobis"]) > 0.95 and roc_auc(truth, scores["combined"]) > 0.9
    assert roc_auc(truth, np.linalg.norm(test.latents - train.latents.mean(0), axis=1)) < 0.65


def test_between_the_classes_is_strange_to_the_class_distance():
    rng = np.random.default_rng(2)
    train = ordinary(rng, 800)
    train.latents[:] = 8 * np.eye(6)[train.labels] + rng.normal(0, 0.5, train.latents.shape)
    common, strange = train.select(np.arange(200)), train.select(np.arange(200, 240))
    strange.latents[:] = 4 * (np.eye(6)[0] + np.eye(6)[1]) + rng.normal(0, 0.5, strange.latents.shape)
    test, truth = mixed(rng, common, strange)
    scores = AnomalyScorer.fit(train).scores(test)
    assert roc_auc(truth, scores["class_mahalanobis"]) > 0.99 > 0.5 > roc_auc(truth, scores["mahalanobis"])


def test_the_number_of_detections_makes_nobody_strange():
    rng = np.random.default_rng(3)
    train, test = ordinary(rng, 1500), ordinary(rng, 1500)
    score = AnomalyScorer.fit(train).scores(test)["reconstruction"]
    assert abs(spearmanr(score, test.lengths)[0]) < 0.1
    assert spearmanr(test.errors.sum(1), test.lengths)[0] < -0.8


def test_units_of_a_channel_do_not_matter():
    rng = np.random.default_rng(4)
    train, test = ordinary(rng, 300), ordinary(rng, 100)
    plain = AnomalyScorer.fit(train).scores(test)
    units = np.array([1e3, 1, 1e-3, 5, 0.2])
    for part in (train, test):
        part.errors[:] *= units
    other = AnomalyScorer.fit(train).scores(test)
    for name in plain:
        assert np.allclose(plain[name], other[name], rtol=1e-5, atol=1e-6)


def test_p_values_of_ordinary_sources_are_uniform():
    rng = np.random.default_rng(5)
    train, reference, test = (ordinary(rng, n) for n in (600, 900, 900))
    p = AnomalyScorer.fit(train, reference).scores(test)["p_value"]
    assert p.min() > 0 and p.max() <= 1 and kstest(p, "uniform").pvalue > 1e-3
    strange = ordinary(rng, 5)
    strange.errors[:] *= 1e3
    assert (AnomalyScorer.fit(train, reference).scores(strange)["p_value"] == 1 / 901).all()


def test_the_calibration_survives_json(tmp_path):
    rng = np.random.default_rng(6)
    for labels in (None, -1):
        scorer = AnomalyScorer.fit(ordinary(rng, 200, labels), ordinary(rng, 60, labels))
        test = ordinary(rng, 50)
        read = AnomalyScorer.load(scorer.save(tmp_path / "c.json"))
        first, second = scorer.scores(test), read.scores(test)
        assert first.keys() == second.keys() and all(np.array_equal(first[k], second[k]) for k in first)
        assert ("class_mahalanobis" in first) == (labels is None)
        assert np.array_equal(read.score(test.errors, test.latents, test.lengths), first["combined"])
        again = AnomalyScorer.from_dict(json.loads(json.dumps(scorer.to_dict())))
        assert np.array_equal(again.scores(test)["combined"], first["combined"])


def test_classes_held_out_of_the_calibration():
    """A class apart from the others is found though its own training sources were there to be calibrated on."""
    rng = np.random.default_rng(7)

    def sample(n):
        common, apart = ordinary(rng, n), ordinary(rng, n // 4, labels=4)
        apart.latents[:, 3] += 9
        return mixed(rng, common, apart)[0]

    train, test = sample(800), sample(200)
    found = held_out_auc(train, test, APPLECIDER)
    assert set(found) == {"SN Ia", "SN cc", "TDE"} and found["TDE"]["n"] == 50 and found["TDE"]["others"] == 200
    assert found["TDE"]["mahalanobis"] > 0.95 and found["TDE"]["combined"] > 0.85 and found["TDE"]["original"] < 0.7
    with_it = AnomalyScorer.fit(train).scores(test)["class_mahalanobis"]
    assert roc_auc(test.labels == 4, with_it) < 0.7, "it is ordinary to a calibration that has seen it"
    assert list(held_out_auc(train, test, APPLECIDER, classes=["TDE"])) == ["TDE"]


def test_observations_of_a_network(tiny, class_sources):
    checkpoint = tiny("vae")
    found = observe(checkpoint, class_sources[1])
    assert found.errors.shape == (30, 5) and found.latents.shape == (30, 6) and (found.errors >= 0).all()
    assert found.lengths.tolist() == [len(s) for s in class_sources[1]]
    assert found.labels.tolist() == [APPLECIDER.coarse_id(s.label) for s in class_sources[1]]
    scores = AnomalyScorer.fit(observe(checkpoint, class_sources[0])).scores(found)
    assert all(np.isfinite(values).all() and values.shape == (30,) for values in scores.values())


def test_identical_errors_are_no_division_by_zero():
    rng = np.random.default_rng(8)
    train = ordinary(rng, 100)
    train.errors[:, 1] = 0.0  # sources of one detection: no time error at all
    train.latents[:, 0] = 2.0
    assert np.isfinite(AnomalyScorer.fit(train).scores(train)["combined"]).all()


def test_what_cannot_be_calibrated_is_refused(tmp_path, tiny):
    rng = np.random.default_rng(9)
    with pytest.raises(EvaluationError, match="9 sources"):
        AnomalyScorer.fit(ordinary(rng, 9))
    with pytest.raises(EvaluationError, match="no sources"):
        observe(tiny(), [])
    with pytest.raises(EvaluationError, match=r"expected \(N, 5\)"):
        Observed.of(np.zeros((3, 4)), np.zeros((3, 2)), np.ones(3))
    (tmp_path / "bad.json").write_text('{"knots": [1]}')
    with pytest.raises(EvaluationError, match="bad.json"):
        AnomalyScorer.load(tmp_path / "bad.json")
    (tmp_path / "worse.json").write_text("{")
    with pytest.raises(EvaluationError, match="worse.json"):
        AnomalyScorer.load(tmp_path / "worse.json")
