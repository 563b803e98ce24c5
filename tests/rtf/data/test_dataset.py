"""The torch data set, prefixes and batches."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from rtf_models.classes import APPLECIDER, BTS
from rtf_models.data.dataset import SourceDataset, collate_fn
from rtf_models.data.inputs import InputSpec
from rtf_models.errors import DataError


@pytest.fixture(scope="module")
def sources(make_source):
    rng = np.random.default_rng(4)
    labels = [0, 3, 9, -1, 7, 77]
    return [make_source(rng, int(rng.integers(1, 50)), f"s{k}", labels[k % 6], True, True, True) for k in range(36)]


@pytest.fixture(scope="module")
def inputs(sources):
    return InputSpec.fit(sources, metadata="global", images=True, features="causal")


def test_items(sources, inputs):
    data = SourceDataset(sources, inputs)
    assert len(data) == 36 and data.scheme == APPLECIDER
    for k, source in enumerate(sources):
        item = data[k]
        assert set(item) == {"x", "label_fine", "label_coarse", "obj_id", "seq_len", "images", "gp_features"}
        assert item["x"].shape == (item["seq_len"], 67) and item["x"].dtype == torch.float32
        assert item["images"].shape == (3, 63, 63) and item["gp_features"].shape == (228,)
        assert item["obj_id"] == source.object_id
        assert (item["x"][:, 4:7].sum(1) == 1).all()
    assert [data[k]["label_fine"] for k in range(6)] == [0, 3, 9, -1, 7, -1]  # 77 is no class
    assert [data[k]["label_coarse"] for k in range(6)] == [0, 1, 4, -1, 2, -1]
    assert SourceDataset(sources, inputs, scheme=BTS)[2]["label_coarse"] == 2
    assert data[-1]["obj_id"] == "s35"
    with pytest.raises(IndexError):
        data[36]


def test_batches(sources, inputs):
    data = SourceDataset(sources, inputs)
    items = [data[k] for k in range(8)]
    batch = collate_fn(items)
    longest = max(item["seq_len"] for item in items)
    assert set(batch) == {"x", "pad_mask", "label_fine", "label_coarse", "obj_ids", "images", "gp_features"}
    assert batch["x"].shape == (8, longest, 67) and batch["pad_mask"].shape == (8, longest)
    assert batch["pad_mask"].dtype == torch.bool and batch["label_fine"].dtype == torch.int64
    assert batch["images"].shape == (8, 3, 63, 63) and batch["gp_features"].shape == (8, 228)
    for k, item in enumerate(items):
        n = item["seq_len"]
        assert not batch["pad_mask"][k, :n].any() and batch["pad_mask"][k, n:].all()
        assert torch.equal(batch["x"][k, :n], item["x"]) and (batch["x"][k, n:] == 0).all()
    assert batch["obj_ids"] == [f"s{k}" for k in range(8)]
    plain = SourceDataset(sources, InputSpec())
    assert set(collate_fn([plain[0]])) == {"x", "pad_mask", "label_fine", "label_coarse", "obj_ids"}


def test_lengths_are_those_of_the_items(sources, inputs):
    for data in (SourceDataset(sources, inputs), SourceDataset(sources, inputs, max_detections=5),
                 SourceDataset(sources, inputs, random_truncate=True, seed=3)):
        for epoch in (0, 1):
            data.set_epoch(epoch)
            assert data.lengths().tolist() == [data[k]["seq_len"] for k in range(36)]


def test_truncation_is_of_seed_epoch_and_index(sources, inputs):
    one, same, other = (SourceDataset(sources, inputs, random_truncate=True, seed=seed) for seed in (1, 1, 2))
    first = one.lengths().tolist()
    assert first == same.lengths().tolist() != other.lengths().tolist()
    one.set_epoch(1)
    assert one.lengths().tolist() != first
    one.set_epoch(0)
    assert one.lengths().tolist() == first


def test_truncation_covers_all_lengths_evenly(make_source):
    source = make_source(np.random.default_rng(0), 10)
    data = SourceDataset([source], InputSpec(horizon=None), random_truncate=True, min_detections=3)
    drawn = []
    for epoch in range(2000):
        data.set_epoch(epoch)
        drawn.append(int(data.lengths()[0]))
    values, counts = np.unique(drawn, return_counts=True)
    assert values.tolist() == list(range(3, 11))
    assert abs(counts - 250).max() < 5 * np.sqrt(250 * 7 / 8)


def test_short_sources_stay_whole(make_source):
    rng = np.random.default_rng(0)
    data = SourceDataset([make_source(rng, n) for n in (1, 2, 3)], InputSpec(), random_truncate=True)
    assert data.lengths().tolist() == [1, 2, 3]
    kept = SourceDataset([make_source(rng, n) for n in (1, 9)], InputSpec(horizon=None), max_detections=4)
    assert kept.lengths().tolist() == [1, 4]


def test_workers_give_the_same_batches(sources, inputs):
    data = SourceDataset(sources, inputs, random_truncate=True, seed=5)
    data.set_epoch(2)
    for source in sources:  # a stamp's reader must be one that can be sent to a process
        assert callable(source.images)
    alone, helped = (list(DataLoader(data, batch_size=10, collate_fn=collate_fn, num_workers=n)) for n in (0, 2))
    for one, other in zip(alone, helped, strict=True):
        for key in ("x", "pad_mask", "label_fine", "images", "gp_features"):
            assert torch.equal(one[key], other[key])


def test_bad_arguments(sources, inputs):
    with pytest.raises(DataError, match="min_detections"):
        SourceDataset(sources, inputs, min_detections=0)
    with pytest.raises(DataError, match="max_detections"):
        SourceDataset(sources, inputs, max_detections=0)


def test_features_of_the_original_go_with_whole_curves_only(make_source):
    """Truncated items have no vector of the whole curve; those that stay whole have it, max_len or not."""
    sources = []
    for k, count in enumerate((4, 30, 60)):
        source = make_source(np.random.default_rng(k), count, f"s{k}")
        sources.append(replace(source, features=np.ones((1, 114)), feature_counts=[count]))
    spec = InputSpec.original(metadata=False, features=True, max_len=40)
    known = [bool(item["gp_features"].any()) for item in SourceDataset(sources, spec)]
    assert known == [True, True, True]
    known = [bool(item["gp_features"].any()) for item in SourceDataset(sources, spec, max_detections=10)]
    assert known == [True, False, False]
    data = SourceDataset(sources, spec, random_truncate=True, seed=1)
    seen = set()
    for epoch in range(60):
        data.set_epoch(epoch)
        for item, source in zip((data[k] for k in range(3)), sources, strict=True):
            whole = item["seq_len"] == spec.length(source)
            assert bool(item["gp_features"].any()) == whole
            seen.add(whole)
    assert seen == {True, False}
