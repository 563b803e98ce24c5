"""Sources and class schemes."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtf_models.classes import APPLECIDER, APPLECIDER6, BTS, BTS_TYPES, ClassScheme, bts_label, scheme_of
from rtf_models.data.source import Source
from rtf_models.errors import DataError, MissingPackage, NoData, require


def test_original_classes():
    assert APPLECIDER.coarse == ("SN Ia", "SN cc", "Cataclysmic", "AGN", "TDE")
    assert [APPLECIDER.coarse_id(k) for k in range(10)] == [0, 1, 1, 1, 1, 1, 1, 2, 3, 4]
    assert APPLECIDER.fine[7:] == ("Cataclysmic", "AGN", "TDE")
    assert APPLECIDER6.coarse_id(10) == 5 and APPLECIDER6.fine[:10] == APPLECIDER.fine


@pytest.mark.parametrize("scheme", [APPLECIDER, APPLECIDER6, BTS], ids=lambda x: x.name)
def test_unknown_is_never_a_class(scheme):
    for label in (-1, -999, len(scheme.fine), 10_000):
        assert scheme.coarse_id(label) == -1
        assert scheme.fine_name(label) == "unknown"


def test_scheme_of_a_folder(tmp_path):
    assert scheme_of(tmp_path) == APPLECIDER
    BTS.save(tmp_path)
    assert scheme_of(tmp_path) == BTS
    (tmp_path / "classes.json").write_text(json.dumps({"name": "x", "fine": [["a", "b"]], "coarse": ["c"]}))
    with pytest.raises(DataError, match=r"classes\.json"):
        scheme_of(tmp_path)


def test_scheme_refuses_nonsense():
    with pytest.raises(DataError, match="coarse_of"):
        ClassScheme("x", ("a", "b"), ("c",), (0, 1))
    with pytest.raises(DataError, match="each once"):
        ClassScheme("x", ("a", "a"), ("c",), (0, 0))


def test_bts_types():
    assert BTS.fine_name(bts_label("SN Ia-91T")) == "SN Ia"
    assert BTS.coarse_name(BTS.coarse_id(bts_label("SN IIP"))) == "core collapse"
    assert BTS.coarse_name(BTS.coarse_id(bts_label("TDE"))) == "other"
    assert bts_label("other") == -1 and bts_label("") == -1
    assert set(BTS_TYPES) == set(BTS.fine)
    every = [kind for kinds in BTS_TYPES.values() for kind in kinds]
    assert len(every) == len(set(every))


def test_missing_package_says_what_to_install():
    with pytest.raises(MissingPackage, match=r'no_such_package.*pip install "venom-hw\[rtf\]"'):
        require("no_such_package.room", "rtf")
    assert require("json", "rtf") is json


def test_no_data_is_a_missing_file():
    error = NoData("folder", None, "no such folder", "one")
    assert isinstance(error, FileNotFoundError) and str(error) == "folder: no such folder; expected one"


@given(st.integers(1, 30), st.integers(1, 40), st.integers(0, 10**6))
def test_prefix_holds_only_what_was_there(make_source, count, n, seed):
    source = make_source(np.random.default_rng(seed), count, metadata=True, images=True, features=True)
    prefix = source.prefix(n)
    k = min(n, count)
    assert len(prefix) == k and prefix.object_id == source.object_id and prefix.label == source.label
    for name in ("time", "band", "mag", "mag_err", "has_image"):
        np.testing.assert_array_equal(getattr(prefix, name), getattr(source, name)[:k])
    np.testing.assert_array_equal(prefix.metadata, source.metadata[:k])
    assert (prefix.feature_counts <= k).all()
    assert len(prefix.feature_counts) == (source.feature_counts <= k).sum()
    at = source.features_at(k)
    rows = np.flatnonzero(source.feature_counts <= k)
    if rows.size:
        np.testing.assert_array_equal(at, source.features[rows[-1]])
    else:
        assert at is None


def test_within_includes_its_last_day():
    source = Source("x", [10.0, 60.0, 110.0, 110.1], [0, 1, 0, 1], [18, 18, 18, 18], [0.1] * 4)
    assert len(source.within(100)) == 3
    assert len(source.within(0)) == 1
    assert source.within(1000) is source


BAD = {
    "times not ascending": {"time": [2.0, 1.0]},
    "band out of range": {"band": [0, 3]},
    "magnitude not finite": {"mag": [18, np.nan]},
    "error not finite": {"mag_err": [np.inf, 0.1]},
    "wrong length": {"mag": [18.0]},
    "empty": {"time": [], "band": [], "mag": [], "mag_err": []},
    "metadata shape": {"metadata": np.zeros((2, 29))},
    "features without counts": {"features": np.zeros((1, 114))},
    "counts not ascending": {"features": np.zeros((2, 114)), "feature_counts": [2, 2]},
}


@pytest.mark.parametrize("change", BAD.values(), ids=BAD.keys())
def test_bad_sources_are_refused(change):
    good = {"time": [1.0, 2.0], "band": [0, 1], "mag": [18.0, 18.5], "mag_err": [0.1, 0.1]}
    Source("x", **good)
    with pytest.raises(DataError, match="source x"):
        Source("x", **(good | change))


def test_prefix_of_nothing_is_refused(make_source):
    with pytest.raises(DataError, match="at least 1"):
        make_source(np.random.default_rng(0), 3).prefix(0)
