"""Scores of class probabilities: known answers, scikit-learn's numbers, classes that are not there."""

import json
import warnings

import numpy as np
import pytest
from sklearn import metrics as reference

from rtf_models.evaluation.errors import EvaluationError
from rtf_models.evaluation.metrics import classification_metrics, roc_auc

NAMES = ("a", "b", "c")


def random_case(seed, n=200, k=3):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, k, n)
    logits = rng.normal(0, 1, (n, k)) + 1.5 * np.eye(k)[labels]
    return labels, np.exp(logits) / np.exp(logits).sum(1, keepdims=True)


@pytest.mark.parametrize("seed", range(5))
def test_equal_to_scikit_learn(seed):
    labels, probabilities = random_case(seed)
    found = classification_metrics(labels, probabilities, NAMES)
    said = probabilities.argmax(1)
    assert found["accuracy"] == pytest.approx(reference.accuracy_score(labels, said))
    assert found["balanced_accuracy"] == pytest.approx(reference.balanced_accuracy_score(labels, said))
    assert found["roc_auc"] == pytest.approx(reference.roc_auc_score(labels, probabilities, multi_class="ovr"))
    assert np.array_equal(found["confusion"], reference.confusion_matrix(labels, said))
    for k, name in enumerate(NAMES):
        one = found["per_class"][name]
        assert one["recall"] == pytest.approx(reference.recall_score(labels == k, said == k))
        assert one["precision"] == pytest.approx(reference.precision_score(labels == k, said == k))


def test_area_by_hand():
    assert roc_auc([True, True, False, False], [4, 3, 2, 1]) == 1.0
    assert roc_auc([True, False, True, False], [4, 3, 2, 1]) == 0.75
    assert roc_auc([True, False], [1, 1]) == 0.5
    assert roc_auc([True, True], [1, 2]) is None and roc_auc([False], [1]) is None


def test_a_rare_class_weighs_as_much_in_balanced_accuracy():
    labels = np.array([0] * 99 + [1])
    always_a = np.tile([0.9, 0.1, 0.0], (100, 1))
    found = classification_metrics(labels, always_a, NAMES)
    assert found["accuracy"] == 0.99 and found["balanced_accuracy"] == 0.5
    assert found["roc_auc"] == 0.5


def test_a_class_missing_in_the_test_leaves_the_area_of_the_others():
    labels, probabilities = random_case(1)
    rows = labels < 2
    found = classification_metrics(labels[rows], probabilities[rows], NAMES)
    areas = [reference.roc_auc_score(labels[rows] == k, probabilities[rows, k]) for k in (0, 1)]
    assert found["roc_auc"] == pytest.approx(np.mean(areas))
    assert found["auc_classes"] == ["a", "b"] and found["missing_in_test"] == ["c"]
    assert set(found["per_class"]) == {"a", "b"}


def test_a_class_that_was_never_trained_counts_as_missed_but_has_no_area():
    labels, probabilities = random_case(2)
    probabilities[:, 2] = 0
    found = classification_metrics(labels, probabilities, NAMES, trained=(0, 1))
    assert found["per_class"]["c"]["recall"] == 0 and found["per_class"]["c"]["roc_auc"] is None
    assert found["missing_in_training"] == ["c"] and found["auc_classes"] == ["a", "b"]
    assert found["balanced_accuracy"] < 2 / 3


def test_one_class_only_has_no_area_and_json_stays_valid():
    found = classification_metrics(np.zeros(5, int), np.tile([0.6, 0.4, 0], (5, 1)), NAMES, bootstrap=10)
    assert found["roc_auc"] is None and found["intervals"]["roc_auc"] is None and found["accuracy"] == 1
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_intervals_hold_the_truth_about_as_often_as_they_say():
    truth = classification_metrics(*random_case(0, 100_000), NAMES)
    inside = []
    for seed in range(60):
        found = classification_metrics(*random_case(100 + seed, 150), NAMES, bootstrap=200, seed=seed)
        for score in ("accuracy", "balanced_accuracy", "roc_auc"):
            low, high = found["intervals"][score]
            assert low <= found[score] <= high
            inside.append(low <= truth[score] <= high)
    assert 0.85 < np.mean(inside) < 0.99


def test_a_guesser_of_the_commonest_class_has_a_wide_accuracy_and_a_sure_balance():
    labels = np.repeat([0, 1], [70, 30])
    found = classification_metrics(labels, np.tile([0.9, 0.1, 0], (100, 1)), NAMES, bootstrap=500)["intervals"]
    assert found["accuracy"] == pytest.approx([0.61, 0.79], abs=0.025), "binomial: 0.7 +- 1.96 sqrt(0.21 / 100)"
    assert found["balanced_accuracy"] == [0.5, 0.5] and found["roc_auc"] == [0.5, 0.5]


def test_intervals_are_seeded():
    case = random_case(3)
    runs = [classification_metrics(*case, NAMES, bootstrap=50, seed=s)["intervals"] for s in (1, 1, 2)]
    assert runs[0] == runs[1] != runs[2]


@pytest.mark.parametrize(
    "labels, shape, said",
    [([], (0, 3), "no labelled"), ([0, 3], (2, 3), "expected 0 to 2"), ([-1], (1, 3), "expected 0 to 2"),
     ([0], (1, 2), "labels by classes")],
)  # fmt: skip
def test_what_does_not_fit_is_refused(labels, shape, said):
    with pytest.raises(EvaluationError, match=said), warnings.catch_warnings():
        warnings.simplefilter("error")
        classification_metrics(np.array(labels, int), np.zeros(shape), NAMES)
