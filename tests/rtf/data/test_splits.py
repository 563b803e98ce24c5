"""Which source is in which split."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtf_models.data.splits import is_plain_name, read_splits, stratified_split, temporal_split, write_splits
from rtf_models.errors import DataError


@given(st.lists(st.integers(-1, 5), max_size=300), st.integers(0, 5))
def test_each_class_is_split_70_15_15(labels, seed):
    names = stratified_split(labels, seed)
    labels = np.array(labels, int)
    for label in np.unique(labels):
        counts = {split: int((names[labels == label] == split).sum()) for split in ("train", "val", "test")}
        n = int((labels == label).sum())
        assert sum(counts.values()) == n and counts["val"] == counts["test"]
        if n >= 3:
            assert abs(counts["test"] - 0.15 * n) < 1 and counts["test"] >= 1
        else:
            assert counts["train"] == n


def test_split_is_seeded():
    labels = [0, 1] * 100
    one, same, other = (stratified_split(labels, seed).tolist() for seed in (0, 0, 1))
    assert one == same != other


def test_temporal_split_has_the_latest_in_the_test():
    times = np.random.default_rng(0).permutation(100)
    names = temporal_split(times)
    assert times[names == "train"].max() < times[names == "val"].min()
    assert times[names == "val"].max() < times[names == "test"].min()
    assert [(names == x).sum() for x in ("train", "val", "test")] == [70, 15, 15]


def test_file(tmp_path):
    splits = {"ZTF18a": "train", "ZTF18b": "test", "odd, name": "val"}
    assert read_splits(write_splits(tmp_path / "splits.csv", splits)) == splits


BAD = {"no rows": "obj_id,split\n", "other columns": "id,set\na,train\n", "another split": "obj_id,split\na,dev\n",
       "in two splits": "obj_id,split\na,train\na,test\n", "a path": "obj_id,split\n../a,train\n", "empty": ""}


@pytest.mark.parametrize("text", BAD.values(), ids=BAD.keys())
def test_bad_files(tmp_path, text):
    (tmp_path / "splits.csv").write_text(text)
    with pytest.raises(DataError, match=r"splits\.csv"):
        read_splits(tmp_path / "splits.csv")


def test_no_file(tmp_path):
    with pytest.raises(DataError, match="cannot be read"):
        read_splits(tmp_path / "splits.csv")


def test_names():
    assert is_plain_name("ZTF20abc") and is_plain_name("SN 2011fe")
    for name in ("", ".", "..", "a/b", "a\\b", ".hidden", "a\0b", "x" * 300):
        assert not is_plain_name(name)
