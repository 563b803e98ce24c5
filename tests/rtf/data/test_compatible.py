"""The original's data sets: the tensors that its description prescribes, written out a second time."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rtf_models.data.compatible import AlertDataset, MetaNPZDataset, PhotoNPZDataset
from rtf_models.data.dataset import SourceDataset, collate_fn
from rtf_models.data.folder import open_split
from rtf_models.data.inputs import InputSpec
from rtf_models.data.metadata import METADATA_FIELDS
from rtf_models.errors import DataError

NAMES = [f"feature_{k:03d}" for k in range(114)]
COLUMNS = ["dt", "dt_prev", "band_id", "logflux", "logflux_err", "is_g", "is_r", "is_i", "g_r", "g_r_err", "r_i",
           "r_i_err", "has_g_r", "has_r_i", "label"]


def photo_file(path, rng, count=8, label=2, days=40.0):
    data = np.zeros((count, 15), np.float32)
    time = np.sort(rng.uniform(0, days, count))
    data[:, 0], data[1:, 1] = time - time[0], np.diff(time)
    data[:, 2] = rng.integers(0, 3, count)
    data[:, 3], data[:, 4] = rng.normal(2.2, 0.4, count), rng.uniform(0.01, 0.1, count)
    data[np.arange(count), 5 + data[:, 2].astype(int)] = 1
    data[:, 8:12] = rng.normal(0, 1, (count, 4))
    data[:, 12:14] = rng.integers(0, 2, (count, 2))
    data[:, 14] = label
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, data=data, columns=np.array(COLUMNS), label=np.int64(label))
    return data


def compact_file(path, rng, count=8, label=2, gp=None, keys=None, has=None):
    x = np.zeros((count, 37), np.float32)
    x[1:, 0] = np.log1p(np.cumsum(rng.uniform(0.5, 5, count - 1)).astype(np.float32))
    x[1:, 1] = np.log1p(np.diff(np.expm1(x[:, 0])))
    x[:, 2], x[:, 3] = rng.normal(-7.4, 0.4, count), rng.uniform(0.01, 0.1, count)
    x[np.arange(count), 4 + rng.integers(0, 3, count)] = 1
    x[:, 7:] = rng.normal(3, 2, (count, 30)) * (rng.random((count, 30)) < 0.8)
    x[:, 7:12] = [0.97, 0, 17, 20, 0]  # constant within the source
    has = (rng.random(count) < 0.5).astype(np.float32) if has is None else np.asarray(has, np.float32)
    images = rng.normal(100, 5, (count, 3, 63, 63)).astype(np.float32) * has[:, None, None, None]
    arrays = {"x": x, "images": images, "has_image": has, "label": np.int64(label)}
    if gp is not None:
        arrays |= {"gp_features": np.asarray(gp, np.float32), "gp_keys": np.array(keys)}
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, **arrays)
    return arrays


def median_and_iqr(values):
    out = np.empty_like(values)
    for k in range(values.shape[1]):
        low, median, high = np.percentile(values[:, k], [25, 50, 75])
        out[:, k] = (values[:, k] - median) / (high - low) if high - low > 1e-6 else values[:, k] - median
    return np.clip(out, -10, 10)


def stamp_of(arrays, count):
    places = np.flatnonzero(arrays["has_image"][:count] > 0)
    out = np.zeros((3, 63, 63), np.float32)
    if places.size:
        for k in range(3):
            channel = arrays["images"][places[-1], k]
            channel = np.clip(channel, *np.percentile(channel, [1, 99]))
            if channel.std() > 1e-6:
                out[k] = (channel - channel.mean()) / channel.std()
    return out


@settings(max_examples=8)
@given(st.integers(0, 10**6), st.sampled_from([257, 5]), st.sampled_from([None, 3]))
def test_compact(tmp_path_factory, seed, max_len, max_detections):
    rng = np.random.default_rng(seed)
    folder = tmp_path_factory.mktemp("compact") / "train"
    values = rng.normal(0, 8, 114)
    files = {"a": compact_file(folder / "a.npz", rng, 4, 0), "b": compact_file(folder / "b.npz", rng, 1, 9),
             "c": compact_file(folder / "c.npz", rng, 8, 7, values, NAMES),
             "d": compact_file(folder / "d.npz", rng, 8, 6, [4.0, np.nan, 99.0], [NAMES[90], NAMES[2], "other"])}
    data = MetaNPZDataset(folder, max_len=max_len, use_images=True, use_gp=True, max_detections=max_detections)
    assert len(data) == 4 and data.broken == []
    gp = {"a": np.zeros(114), "b": np.zeros(114), "c": np.clip(values, -10, 10), "d": np.zeros(114)}
    gp["d"][90] = 4.0
    for (name, arrays), item in zip(files.items(), (data[k] for k in range(4)), strict=True):
        count = min(len(arrays["x"]), max_len, max_detections or 999)
        expected = np.concatenate([arrays["x"][:count, :7], median_and_iqr(arrays["x"][:count, 7:])], axis=1)
        np.testing.assert_array_equal(item["x"][:, :7], expected[:, :7])
        np.testing.assert_allclose(item["x"], expected, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(item["images"], stamp_of(arrays, count), rtol=1e-3, atol=1e-3)
        np.testing.assert_allclose(item["gp_features"], gp[name], rtol=1e-6)
        assert (item["obj_id"], item["seq_len"]) == (name, count) and item["label_fine"] == int(arrays["label"])
    assert [data[k]["label_coarse"] for k in range(4)] == [0, 4, 2, 1]
    assert set(data[0]) == {"x", "label_fine", "label_coarse", "obj_id", "seq_len", "images", "gp_features"}
    assert collate_fn([data[k] for k in range(4)])["x"].shape[2] == 37


@settings(max_examples=8)
@given(st.integers(0, 10**6))
def test_new_reader_with_the_originals_description_gives_the_same(tmp_path_factory, seed):
    """open_split and InputSpec.original, which serve checkpoints of the original, against its own data set."""
    rng = np.random.default_rng(seed)
    folder = tmp_path_factory.mktemp("same") / "train"
    for k in range(3):
        compact_file(folder / f"{k}.npz", rng, int(rng.integers(1, 30)), k, rng.normal(0, 8, 114), NAMES)
        photo_file(folder.parent / "photo" / f"{k}.npz", rng, int(rng.integers(1, 30)), k, days=150)
    stats = folder.parent / "stats.npz"
    np.savez(stats, mean=rng.normal(1, 1, 4), std=rng.uniform(0.5, 2, 4))
    pairs = [(MetaNPZDataset(folder, use_images=True, use_gp=True), "train",
              InputSpec.original(images=True, features=True)),
             (PhotoNPZDataset(folder.parent / "photo", stats), "photo", InputSpec.original("photo_events", stats))]
    for theirs, split, spec in pairs:
        ours = SourceDataset(open_split(folder.parent, split), spec)
        for k in range(3):
            one, other = theirs[k], ours[k]
            assert one.keys() == other.keys()
            np.testing.assert_allclose(other["x"][:, :7], one["x"][:, :7], rtol=1e-5, atol=2e-5)
            np.testing.assert_allclose(other["x"], one["x"], rtol=1e-4, atol=1e-4)
            for key in ("label_fine", "label_coarse", "obj_id", "seq_len"):
                assert one[key] == other[key]
            if "images" in one:
                assert torch.equal(one["images"], other["images"])
                assert torch.equal(one["gp_features"], other["gp_features"])


def test_random_truncation(tmp_path):
    compact_file(tmp_path / "a.npz", np.random.default_rng(0), 9)
    data = MetaNPZDataset(tmp_path, random_truncate=True, min_detections=4)
    torch.manual_seed(0)
    drawn = [data[0]["seq_len"] for _ in range(300)]
    assert set(drawn) == set(range(4, 10))
    torch.manual_seed(0)
    assert [data[0]["seq_len"] for _ in range(300)] == drawn


@settings(max_examples=20)
@given(st.integers(0, 10**6), st.booleans(), st.booleans(), st.sampled_from([100.0, 15.0]), st.sampled_from([257, 4]))
def test_photo_events(tmp_path_factory, seed, with_stats, colours, horizon, max_len):
    rng = np.random.default_rng(seed)
    folder = tmp_path_factory.mktemp("photo")
    tables = {name: photo_file(folder / f"{name}.npz", rng, count, label)
              for name, count, label in (("a", 8, 0), ("b", 1, 9), ("c", 20, 77))}
    mean, std = rng.normal(1, 1, 7).astype(np.float32), rng.uniform(0.5, 2, 7).astype(np.float32)
    stats = folder / "feature_stats_day100.npz"  # in the folder itself, as users have it: it is no source
    np.savez(stats, mean=mean.reshape(1, -1), std=std.reshape(1, -1))
    data = PhotoNPZDataset(folder, stats if with_stats else None, max_len, horizon, colours)
    assert len(data) == 3 and data.broken == []
    for item, (name, table) in zip((data[k] for k in range(3)), tables.items(), strict=True):
        rows = table[table[:, 0] <= horizon][:max_len]
        base = np.stack([np.log1p(rows[:, 0]), np.log1p(rows[:, 1]), rows[:, 3], rows[:, 4]], axis=1)
        base = (base - mean[:4]) / (std[:4] + 1e-8) if with_stats else base
        expected = [base, rows[:, 5:8]] + ([rows[:, 8:12], rows[:, 12:14]] if colours else [])
        np.testing.assert_allclose(item["x"], np.concatenate(expected, axis=1), rtol=1e-5, atol=1e-6)
        assert item["obj_id"] == name and item["seq_len"] == len(rows)
    assert [(data[k]["label_fine"], data[k]["label_coarse"]) for k in range(3)] == [(0, 0), (9, 4), (-1, -1)]


def alert(jd, fid, mag, **fields):
    return {"objectId": "x", "candidate": {"jd": jd, "fid": fid, "magpsf": mag, "sigmapsf": 0.1} | fields,
            "prv_candidates": [{"jd": jd - 1, "fid": 1, "magpsf": 17.0, "sigmapsf": 0.1}]}


def alerts_file(path, packets):
    array = np.empty(len(packets), object)
    array[:] = packets
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, array, allow_pickle=True)


def test_raw_alerts(tmp_path):
    """Rows of triggered alerts only, sorted; negative ones too, and one that is there twice is there twice."""
    packets = [alert(2459010.5, 2, 18.0, rb=0.5, fwhm=-999.0), alert(2459000.25, 1, 19.0, sgscore1=None, isdiffpos="f"),
               alert(2459010.5, 2, 18.0), alert(2459200.0, 3, 18.0)]
    alerts_file(tmp_path / "alerts" / "ZTFa" / "alerts.npy", packets)
    alerts_file(tmp_path / "alerts" / "ZTFb" / "alerts.npy", packets[:1])
    alerts_file(tmp_path / "alerts" / "ZTFbad" / "alerts.npy", [{"candidate": {"jd": 1.0}}])
    (tmp_path / "alerts" / "ZTFbad2").mkdir()
    (tmp_path / "alerts" / "ZTFbad2" / "alerts.npy").write_bytes(b"no array")
    rows = ["ZTFa,train", "ZTFb,test", "ZTFbad,train", "ZTFbad2,train", "ZTFgone,train"]
    (tmp_path / "splits.csv").write_text("obj_id,split\n" + "\n".join(rows) + "\n")
    (tmp_path / "labels" / "train").mkdir(parents=True)
    np.savez(tmp_path / "labels" / "train" / "ZTFa.npz", label=np.int64(9))
    arguments = (tmp_path / "alerts", tmp_path / "splits.csv", "train", tmp_path / "labels")
    data = AlertDataset(*arguments)
    assert len(data) == 1 and {x.path.parent.name for x in data.broken} == {"ZTFbad", "ZTFbad2"}
    item = data[0]
    gap = np.float32(10.25)
    expected = np.zeros((3, 7))
    expected[:, 0], expected[:, 1] = [0, np.log1p(gap), np.log1p(gap)], [0, np.log1p(gap), 0]
    expected[:, 2], expected[:, 3] = [-0.4 * 19, -0.4 * 18, -0.4 * 18], 0.04
    expected[[0, 1, 2], [4, 5, 5]] = 1
    np.testing.assert_allclose(item["x"], expected, rtol=1e-6)
    assert (item["obj_id"], item["label_fine"], item["label_coarse"]) == ("ZTFa", 9, 4)
    full = AlertDataset(*arguments, use_metadata=True, horizon=300.0, max_len=4)[0]["x"]
    assert full.shape == (4, 37) and torch.isfinite(full).all()
    assert full[1, 7 + METADATA_FIELDS.index("rb")] == 0.5 and full[1, 7 + METADATA_FIELDS.index("fwhm")] == 0
    assert full[3, 7 + METADATA_FIELDS.index("sigmapsf")] == np.float32(0.1)
    with pytest.raises(FileNotFoundError):
        AlertDataset(*arguments[:2], "val")


@pytest.mark.parametrize("kind", [PhotoNPZDataset, MetaNPZDataset])
def test_broken_files_never_become_samples(tmp_path, kind):
    with pytest.raises(FileNotFoundError):
        kind(tmp_path)
    make = photo_file if kind is PhotoNPZDataset else compact_file
    rng = np.random.default_rng(0)
    make(tmp_path / "good.npz", rng)
    (tmp_path / "junk.npz").write_bytes(b"x" * 1000)
    (tmp_path / "tiny.npz").write_bytes(b"corrupted data!")
    data = make(tmp_path / "cut.npz", rng)
    (tmp_path / "cut.npz").write_bytes((tmp_path / "cut.npz").read_bytes()[:-300])
    other = compact_file if kind is PhotoNPZDataset else photo_file
    other(tmp_path / "other.npz", rng)
    found = kind(tmp_path)
    assert len(found) == 1 and found[0]["obj_id"] == "good" and data is not None
    assert sorted(x.path.name for x in found.broken) == ["cut.npz", "junk.npz", "other.npz", "tiny.npz"]
    (tmp_path / "good.npz").unlink()
    with pytest.raises(FileNotFoundError, match="no good file among 4"):
        kind(tmp_path)


def test_photo_events_as_sources(tmp_path):
    rng = np.random.default_rng(0)
    table = photo_file(tmp_path / "train" / "a.npz", rng, 12, 5)
    photo_file(tmp_path / "train" / "b.npz", rng, 3, 88)
    np.savez(tmp_path / "train" / "feature_stats_day100.npz", mean=np.zeros(4), std=np.ones(4))
    folder = open_split(tmp_path, "train")
    assert folder.kind == "photo_events" and folder.labels.tolist() == [5, -1]
    source = folder[0]
    np.testing.assert_allclose(source.mag, 23.9 - 2.5 * table[:, 3], rtol=1e-6)
    np.testing.assert_allclose(source.mag_err, 2.5 * table[:, 4], rtol=1e-6)
    np.testing.assert_array_equal(source.band, table[:, 2])
    np.testing.assert_allclose(source.time, table[:, 0])


BAD_TABLES = {"NaN": (3, np.nan), "a band of four": (2, 4.0), "negative time": (1, -1.0)}


@pytest.mark.parametrize(("column", "value"), BAD_TABLES.values(), ids=BAD_TABLES.keys())
def test_bad_photo_events(tmp_path, column, value):
    table = photo_file(tmp_path / "a.npz", np.random.default_rng(0))
    table[2, column] = value
    np.savez(tmp_path / "a.npz", data=table, columns=np.array(COLUMNS), label=np.int64(1))
    with pytest.raises(FileNotFoundError):
        PhotoNPZDataset(tmp_path)
    np.savez(tmp_path / "a.npz", data=table, columns=np.array(COLUMNS[::-1]), label=np.int64(1))
    with pytest.raises(DataError, match="columns"):
        PhotoNPZDataset(tmp_path)


def test_bad_statistics(tmp_path):
    photo_file(tmp_path / "a.npz", np.random.default_rng(0))
    np.savez(tmp_path / "stats.npz", mean=np.zeros(3), std=np.ones(3))
    with pytest.raises(DataError, match="stats"):
        PhotoNPZDataset(tmp_path, tmp_path / "stats.npz")
    with pytest.raises(DataError, match="gone"):
        InputSpec.original("photo_events", tmp_path / "gone.npz")
    assert PhotoNPZDataset(tmp_path, tmp_path / "gone.npz").stats is None  # as in the original: unscaled
