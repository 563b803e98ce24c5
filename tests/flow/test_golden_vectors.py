"""Golden vectors: the shipped models still make the committed integers; changes are shown, not hidden."""

from dataclasses import replace

import numpy as np
import pytest

from venom_hw.flow import golden_vectors as gv
from venom_hw.flow.model_files import find_model, shipped_models
from venom_hw.interchange.importer import import_venom


@pytest.mark.parametrize("model", ["ptsi", "inhf", "ptsi-lean", "inhf-lean"])
def test_the_shipped_model_makes_the_committed_integers(model, tmp_path):
    files = find_model(model)
    old = gv.load_vectors(model)
    datapath = import_venom(files.step, files.head)
    new = gv.make_vectors(files, datapath, seed=0, scratch=tmp_path, previous=old)
    assert gv.changes(old, new) == []
    assert old.arrays["samples"].shape[1] == datapath.step.max_steps
    assert old.arrays["lengths"].min() == 1 and old.arrays["lengths"].max() == datapath.step.max_steps
    assert np.unique(old.arrays["energy"]).size > 10


def test_every_shipped_model_has_vectors():
    assert shipped_models() == sorted(p.stem for p in gv.FOLDER.glob("*.json"))


@pytest.fixture
def made(small_files, small_datapath, tmp_path):
    return gv.make_vectors(small_files, small_datapath, seed=1, scratch=tmp_path / "pulses")


def test_round_trip_and_reproducible_bytes(made, tmp_path):
    first = [p.read_bytes() for p in gv.save_vectors(made, tmp_path / "a")]
    loaded = gv.load_vectors(made.facts["model"], tmp_path / "a")
    assert gv.changes(loaded, made) == []
    assert [p.read_bytes() for p in gv.save_vectors(loaded, tmp_path / "b")] == first


def test_a_changed_integer_is_shown(made):
    energy = made.arrays["energy"].copy()
    energy[3] += 5
    other = replace(made, arrays={**made.arrays, "energy": energy}, facts={**made.facts, "datapath": "0" * 64})
    lines = gv.changes(made, other)
    assert any(line.startswith("datapath: ") for line in lines)
    assert "energy: 1 of 24 integers, by up to 5 LSB" in lines


def test_samples_are_kept(made, small_files, small_datapath, tmp_path):
    again = gv.make_vectors(small_files, small_datapath, seed=99, scratch=tmp_path / "other", previous=made)
    assert np.array_equal(again.arrays["samples"], made.arrays["samples"]) and gv.changes(made, again) == []


def test_missing_vectors(tmp_path):
    with pytest.raises(gv.GoldenVectorError, match="make golden writes them"):
        gv.load_vectors("nosuch", tmp_path)
