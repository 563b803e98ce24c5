"""Early classification: nothing later than detection N may be known at N."""

import zlib

import numpy as np
import pytest
import torch

from rtf_models.classes import APPLECIDER
from rtf_models.data.inputs import InputSpec
from rtf_models.embedding import embed_sources
from rtf_models.evaluation import early_classification, linear_probe
from rtf_models.evaluation.errors import EvaluationError

COUNTS = (3, 6, 12)


def without_counts(rows):
    return {row["detections"]: {level: row[level] for level in ("coarse", "fine")} for row in rows}


def test_rows_are_linear_probes_of_prefixes(tiny, class_sources):
    checkpoint = tiny()
    rows = early_classification(checkpoint, *class_sources, COUNTS)
    assert [row["detections"] for row in rows] == [*COUNTS, "all"]
    for row in rows:
        n = None if row["detections"] == "all" else row["detections"]
        parts = [[s if n is None else s.prefix(n) for s in part] for part in class_sources]
        plain = linear_probe(*(embed_sources(checkpoint, part) for part in parts), APPLECIDER)
        assert row["coarse"]["accuracy"] == pytest.approx(plain["coarse"]["accuracy"])
        assert row["fine"]["roc_auc"] == pytest.approx(plain["fine"]["roc_auc"], abs=1e-3)
        assert row["n_train"] == 60 and row["n_test"] == 30 and row["head"] is None


def test_sources_long_enough_stand_beside_all(tiny, class_sources):
    rows = early_classification(tiny(), *class_sources, (3, 12, 100))
    lengths = np.array([len(s) for s in class_sources[1]])
    for row in rows[:-1]:
        assert row["at_least"]["n_test"] == (lengths >= row["detections"]).sum()
    assert rows[2]["at_least"]["coarse"] is None, "no source has 100"
    assert rows[-1]["at_least"]["coarse"] == rows[-1]["coarse"]
    assert rows[2]["coarse"] == rows[-1]["coarse"], "cutting at 100 cuts nothing"


def later_changed(source, n, toy):
    """The same first n detections and another future, features of which are in the file."""
    rng = np.random.default_rng(zlib.crc32(source.object_id.encode()))
    other = toy(rng, source.object_id, (source.label + 3) % 10, len(source), rich=source.features is not None)
    values = {name: np.concatenate([getattr(source, name)[:n], getattr(other, name)[n:]])
              for name in ("band", "mag", "mag_err")}  # fmt: skip
    if source.features is not None:
        early = source.feature_counts <= n
        values["features"] = np.where(early[:, None], source.features, other.features)
    return values


@pytest.mark.parametrize("features", ["none", "causal", "file"])
def test_the_future_is_not_known(tiny, toy, replace, features):
    """Bug 3: with every detection after the third changed, and all features computed from them, N = 3 stays."""
    rng = np.random.default_rng(1)
    parts = [[toy(rng, f"{k}", (0, 3)[k % 2], int(rng.integers(3, 12)), rich=True) for k in range(n)]
             for n in (40, 20)]  # fmt: skip
    changed = [[replace(s, **later_changed(s, 3, toy)) for s in part] for part in parts]
    checkpoint = tiny(inputs=InputSpec(features=features))
    now, then = (without_counts(early_classification(checkpoint, *p, (3,))) for p in (parts, changed))
    assert now[3] == then[3]
    assert now["all"] != then["all"], "the futures do differ"


def test_features_of_whole_curves_only_when_asked_and_marked(tiny, toy, replace):
    """Features that are nothing but the class: handed over early they give the answer away."""
    rng = np.random.default_rng(2)

    def source(k):
        label = (0, 3)[k % 2]
        one = toy(rng, f"{k}", 0, 9, rich=True)
        leak = np.zeros((2, 114), np.float32)
        leak[1] = 5.0 if label else -5.0
        return replace(one, label=label, features=leak)

    parts = [[source(k) for k in range(n)] for n in (60, 40)]
    checkpoint = tiny(inputs=InputSpec(features="file"))
    honest = early_classification(checkpoint, *parts, (3,))
    leaking = early_classification(checkpoint, *parts, (3,), allow_future_features=True)
    assert leaking[0]["coarse"]["accuracy"] > 0.95 and leaking[0]["future_features"]
    assert honest[0]["coarse"]["accuracy"] < 0.75 and not honest[0]["future_features"]
    assert honest[-1]["coarse"] == leaking[-1]["coarse"] and not leaking[-1]["future_features"]


@pytest.mark.parametrize("mode", ["ae", "vae"])
def test_the_class_head_is_judged_too(tiny, class_sources, mode):
    checkpoint = tiny(mode, num_classes=5)
    rows = early_classification(checkpoint, *class_sources, (3,))
    latent = torch.from_numpy(embed_sources(checkpoint, class_sources[1]).embeddings)
    with torch.no_grad():
        said = checkpoint.model.cls_head(latent).argmax(1).numpy()
    truth = np.array([APPLECIDER.coarse_id(s.label) for s in class_sources[1]])
    assert rows[-1]["head"]["accuracy"] == pytest.approx((said == truth).mean())


def test_a_head_of_other_classes_is_not_judged(tiny, class_sources):
    rows = early_classification(tiny(num_classes=6), *class_sources, ())
    assert [row["detections"] for row in rows] == ["all"] and rows[0]["head"] is None


def test_the_horizon_counts(tiny, class_sources):
    """A source with many detections, few of them within the horizon, is a short one."""
    checkpoint = tiny(inputs=InputSpec(horizon=20.0))
    rows = early_classification(checkpoint, *class_sources, (3,))
    short = [s.count_within(20.0) for s in class_sources[1]]
    assert rows[0]["at_least"]["n_test"] == sum(n >= 3 for n in short)


def test_unknown_labels_are_not_judged(tiny, class_sources, replace):
    train, test = class_sources
    test = [replace(s, label=-1) if k < 10 else s for k, s in enumerate(test)]
    assert early_classification(tiny(), train, test, (3,))[0]["n_test"] == 20


def test_intervals_and_seeds(tiny, class_sources):
    rows = [early_classification(tiny(), *class_sources, (3,), bootstrap=20, seed=1) for _ in range(2)]
    assert rows[0] == rows[1]
    low, high = rows[0][0]["coarse"]["intervals"]["accuracy"]
    assert low <= rows[0][0]["coarse"]["accuracy"] <= high


def test_what_cannot_be_judged_is_refused(tiny, class_sources, replace):
    train, test = class_sources
    with pytest.raises(EvaluationError, match="count 0"):
        early_classification(tiny(), train, test, (0, 3))
    with pytest.raises(EvaluationError, match="no sources"):
        early_classification(tiny(), train, [], (3,))
    with pytest.raises(EvaluationError, match="two labelled classes"):
        early_classification(tiny(), [replace(s, label=-1) for s in train], test, (3,))
