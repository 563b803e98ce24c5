"""The linear probe: separable classes, what takes no part, today's scikit-learn."""

import warnings

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from rtf_models.classes import APPLECIDER, ClassScheme
from rtf_models.evaluation import linear_probe
from rtf_models.evaluation.errors import EvaluationError
from rtf_models.evaluation.probe import fit_probe, with_scheme

COUNTS = {0: 40, 1: 15, 3: 20, 7: 15, 8: 10, 9: 10}


def test_separable_classes_are_told_apart(clusters):
    rng = np.random.default_rng(0)
    found = linear_probe(clusters(rng, COUNTS), clusters(rng, COUNTS), APPLECIDER)
    for level in ("coarse", "fine"):
        assert found[level]["accuracy"] == 1 and found[level]["roc_auc"] == 1 and found[level]["converged"]
    assert found["n_train"] == found["n_test"] == sum(COUNTS.values())
    assert found["coarse"]["missing_in_test"] == [] and "SN IIP" in found["fine"]["missing_in_test"]


def test_fingerprints_without_information_give_chance(clusters, embeddings):
    rng = np.random.default_rng(1)
    noise = [embeddings(rng.normal(0, 1, (600, 8)), np.repeat([0, 3, 8], 200)) for _ in range(2)]
    found = linear_probe(*noise, APPLECIDER)["coarse"]
    assert found["accuracy"] == pytest.approx(1 / 3, abs=0.07) and found["roc_auc"] == pytest.approx(0.5, abs=0.06)


def test_the_same_as_scikit_learn_alone(clusters):
    """No argument that it has dropped (multi_class, bug 8), and no warning."""
    rng = np.random.default_rng(2)
    train, test = clusters(rng, COUNTS, 0.7), clusters(rng, COUNTS, 0.7)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = linear_probe(train, test, APPLECIDER)
    plain = make_pipeline(StandardScaler(), LogisticRegression(C=1.0, max_iter=2000))
    plain.fit(train.embeddings.astype(float), train.labels_coarse)
    right = (plain.predict(test.embeddings.astype(float)) == test.labels_coarse).mean()
    assert found["coarse"]["accuracy"] == pytest.approx(right) and 0.3 < right < 1


def test_unknown_and_unread_sources_take_no_part(clusters, embeddings, replace):
    """Bug 13: neither label -1 nor the original's BAD rows (labelled 0) may count as SN Ia."""
    rng = np.random.default_rng(3)
    train, test = clusters(rng, COUNTS, 0.5), clusters(rng, COUNTS, 0.5)
    clean = linear_probe(train, test, APPLECIDER)

    def spoilt(part):
        n = 50
        junk = rng.normal(0, 5, (n, part.embeddings.shape[1]))
        labels = np.concatenate([part.labels_fine, np.where(np.arange(n) < 25, -1, 0)])
        ids = [*part.obj_ids, *("unknown" if k < 25 else "BAD" for k in range(n))]
        return embeddings(np.concatenate([part.embeddings, junk]), labels, ids=ids)

    found = linear_probe(spoilt(train), spoilt(test), APPLECIDER)
    assert found["unknown"] == {"train": 50, "test": 50}
    assert found["coarse"] == clean["coarse"] and found["fine"] == clean["fine"]
    outside = replace(test, labels_fine=np.full(len(test), 10), labels_coarse=np.full(len(test), 5))
    with pytest.raises(EvaluationError, match="labelled sources in the test"):
        linear_probe(train, outside, APPLECIDER)


def test_a_class_missing_in_the_test_is_named_and_does_not_spoil_the_area(clusters):
    rng = np.random.default_rng(4)
    found = linear_probe(clusters(rng, COUNTS), clusters(rng, {0: 20, 3: 10}), APPLECIDER)["coarse"]
    assert found["missing_in_test"] == ["Cataclysmic", "AGN", "TDE"]
    assert found["roc_auc"] == 1 and found["auc_classes"] == ["SN Ia", "SN cc"]


def test_a_class_missing_in_training_is_missed(clusters):
    rng = np.random.default_rng(5)
    found = linear_probe(clusters(rng, {0: 30, 3: 30}), clusters(rng, {0: 10, 3: 10, 9: 10}), APPLECIDER)["coarse"]
    assert found["missing_in_training"] == ["Cataclysmic", "AGN", "TDE"]
    assert found["per_class"]["TDE"]["recall"] == 0 and found["balanced_accuracy"] == pytest.approx(2 / 3)


def test_fine_classes_of_one_coarse_class(clusters):
    rng = np.random.default_rng(6)
    found = linear_probe(clusters(rng, {1: 20, 3: 20}), clusters(rng, {1: 20, 3: 20}), APPLECIDER)
    assert found["coarse"] is None and found["fine"]["accuracy"] == 1


def test_balanced_raises_the_recall_of_a_rare_class(clusters):
    rng = np.random.default_rng(7)
    counts = {0: 400, 9: 12}
    train, test = clusters(rng, counts, 0.6), clusters(rng, {0: 400, 9: 100}, 0.6)
    plain, balanced = (linear_probe(train, test, APPLECIDER, balanced=b)["coarse"] for b in (False, True))
    assert balanced["per_class"]["TDE"]["recall"] > plain["per_class"]["TDE"]["recall"]


def test_too_little_to_learn_is_refused(clusters):
    rng = np.random.default_rng(8)
    with pytest.raises(EvaluationError, match="expected two labelled classes or more"):
        linear_probe(clusters(rng, {0: 20}), clusters(rng, COUNTS), APPLECIDER)
    with pytest.raises(EvaluationError, match="1 of 5 classes"):
        fit_probe(np.zeros((3, 2)), np.zeros(3, int), 5)
    with pytest.raises(EvaluationError, match="2 of 4 embeddings are not finite"):
        fit_probe(np.array([[0.0], [np.nan], [np.inf], [1.0]]), np.array([0, 0, 1, 1]), 2)


def test_a_stopped_fit_says_so(clusters):
    rng = np.random.default_rng(9)
    train = clusters(rng, COUNTS, 1.0)
    assert not fit_probe(train.embeddings, train.labels_fine, 10, max_iter=1).converged


def test_coarse_labels_by_another_scheme(clusters):
    part = clusters(np.random.default_rng(10), {0: 3, 1: 3})
    other = ClassScheme("two", ("x", "y"), ("only",), (0, 0))
    assert set(with_scheme(part, other).labels_coarse) == {0} and set(part.labels_coarse) == {0, 1}
