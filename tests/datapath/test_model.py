"""The JSON form: a round trip gives the same graphs; whatever was changed since is refused."""

import json

import numpy as np
import pytest

from tests.datapath.networks import small_recurrent
from venom_hw.datapath import DatapathError
from venom_hw.datapath.model import Datapath, load_datapath, save_datapath


@pytest.fixture
def saved(tmp_path):
    datapath = Datapath(*small_recurrent(np.random.default_rng(1)), {"model": "toy", "max_steps": 24})
    return datapath, save_datapath(datapath, tmp_path)


def test_round_trip(saved):
    datapath, path = saved
    loaded = load_datapath(path)
    assert loaded.hash == datapath.hash and loaded.meta == datapath.meta
    assert loaded.step.nodes == datapath.step.nodes and loaded.head.nodes == datapath.head.nodes
    assert loaded.step.states == datapath.step.states and loaded.step.outputs == datapath.step.outputs
    assert loaded.state_words == 12 + 8 + 4 + 1


def test_the_hash_sees_one_changed_table_entry(saved):
    datapath, _ = saved
    other = Datapath(*small_recurrent(np.random.default_rng(2)))
    assert other.hash != datapath.hash


def edit(path, change):
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.update(version=2), "version 2; expected 'venom-hw/datapath' version 1"),
        (lambda d: d["step"]["nodes"][1].update(op="sinh"), "unknown operation 'sinh'"),
        (lambda d: d["step"]["nodes"][1].pop("shape"), "field 'shape' is missing"),
        (lambda d: d["step"]["nodes"].pop(2), "before it is computed"),
        (lambda d: d["step"].update(max_steps=25), "do not match the stored hash"),
        (lambda d: d.update(hash="0" * 64), "do not match the stored hash"),
        (lambda d: d.update(constants="absent.npz"), "constants not readable"),
    ],
)
def test_changes_are_refused(saved, change, message):
    _, path = saved
    edit(path, change)
    with pytest.raises(DatapathError, match=message):
        load_datapath(path)


def test_changed_constants_are_refused(saved, tmp_path):
    _, path = saved
    archive = next(tmp_path.glob("constants-*.npz"))
    with np.load(archive) as data:
        arrays = {k: data[k] for k in data.files}
    key = next(k for k, v in arrays.items() if v.size > 100)
    arrays[key] = arrays[key] ^ 1
    np.savez_compressed(archive, **arrays)
    with pytest.raises(DatapathError, match="does not match its hash"):
        load_datapath(path)


def test_not_json(tmp_path):
    (tmp_path / "datapath.json").write_text("{")
    with pytest.raises(DatapathError, match="not a readable datapath file"):
        load_datapath(tmp_path)
