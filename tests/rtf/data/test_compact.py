"""Compact npz files: ours are the original's, the original's are read, broken ones are named."""

import pickle
import zipfile
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtf_models.classes import BTS
from rtf_models.data.compact import read_compact, times_of, write_compact
from rtf_models.data.folder import open_split
from rtf_models.data.metadata import METADATA_FIELDS
from rtf_models.data.source import Source
from rtf_models.errors import DataError, NoData

NAMES = [f"feature_{k:03d}" for k in range(114)]


def original_file(path, rng, count=6, gp=None, keys=None, label=3):
    """A file as the original's preprocessing makes it: its keys, its dtypes, np.savez_compressed."""
    jd = 2459000.3 + np.cumsum(rng.exponential(3, count))
    mag, err, fid = rng.normal(18.5, 1, count), rng.uniform(0.02, 0.3, count), rng.integers(1, 4, count)
    x = np.zeros((count, 37), np.float32)
    x[:, 0] = np.log1p((jd - jd[0]).astype(np.float32))
    x[1:, 1] = np.log1p(np.diff(jd).astype(np.float32))
    x[:, 2], x[:, 3] = -0.4 * mag, 0.4 * err
    x[np.arange(count), 3 + fid] = 1
    x[:, 7:] = rng.normal(1, 1, (count, 30))
    images = rng.normal(100, 5, (count, 3, 63, 63)).astype(np.float32)
    has = (np.arange(count) % 2 == 0).astype(np.float32)
    images[has == 0] = 0
    arrays = {"x": x, "images": images, "has_image": has, "label": np.int64(label)}
    if gp is not None:
        arrays |= {"gp_features": np.asarray(gp, np.float32)}
        arrays |= {} if keys is None else {"gp_keys": np.array(keys)}
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, **arrays)
    return jd, mag, err, fid, arrays


@settings(max_examples=25)
@given(st.integers(1, 30), st.integers(0, 10**6), st.booleans(), st.booleans(), st.booleans())
def test_written_and_read_again(tmp_path_factory, make_source, count, seed, metadata, images, features):
    source = make_source(np.random.default_rng(seed), count, "ZTF20abc", 4, metadata, images, features)
    path = write_compact(tmp_path_factory.mktemp("compact") / "a.npz", source, feature_names=NAMES)
    again = read_compact(path)
    assert (again.object_id, again.label, len(again)) == ("ZTF20abc", 4, count)
    np.testing.assert_array_equal(again.time, source.time)
    np.testing.assert_array_equal(again.band, source.band)
    np.testing.assert_allclose(again.mag, source.mag, atol=4e-6)
    np.testing.assert_allclose(again.mag_err, source.mag_err, rtol=1e-6)
    if metadata and np.isfinite(source.metadata).any():
        np.testing.assert_array_equal(again.metadata, source.metadata)
    else:
        assert again.metadata is None
    if features:
        np.testing.assert_array_equal(again.features, source.features)
        np.testing.assert_array_equal(again.feature_counts, source.feature_counts)
    if images and source.has_image.any():
        np.testing.assert_array_equal(again.has_image, source.has_image)
        for k in np.flatnonzero(source.has_image):
            np.testing.assert_array_equal(again.images(int(k)), source.images(int(k)))
    else:
        assert again.images is None


def test_the_originals_reader_finds_its_keys(tmp_path, make_source):
    """np.load without pickle: the names, types and shapes of the original's description."""
    source = make_source(np.random.default_rng(2), 9, "a", 4, True, True, True)
    path = write_compact(tmp_path / "a.npz", source, feature_names=NAMES)
    with np.load(path, allow_pickle=False) as file:
        found = {key: (str(file[key].dtype), file[key].shape) for key in file.files}
        expected = {"x": ("float32", (9, 37)), "images": ("float32", (9, 3, 63, 63)), "has_image": ("float32", (9,)),
                    "label": ("int64", ()), "gp_features": ("float32", (114,)), "gp_keys": ("<U11", (114,))}
        assert {key: found[key] for key in expected} == expected
        x = file["x"]
        assert np.isfinite(x).all() and np.isfinite(file["gp_features"]).all()
        np.testing.assert_array_equal(x[:, 7:], np.nan_to_num(source.metadata))
        np.testing.assert_allclose(x[:, 2], -0.4 * source.mag, rtol=1e-6)
        assert x[0, 0] == x[0, 1] == 0
        np.testing.assert_array_equal(file["images"][~source.has_image], 0)
    assert path.stat().st_size > 200


def test_the_same_source_gives_the_same_bytes(tmp_path, make_source):
    source = make_source(np.random.default_rng(2), 9, "a", 4, True, True, True)
    one, other = (write_compact(tmp_path / name, source, feature_names=NAMES) for name in ("a.npz", "b.npz"))
    assert one.read_bytes() == other.read_bytes()


def test_features_need_names(tmp_path, make_source):
    with pytest.raises(DataError, match="gp_keys"):
        write_compact(tmp_path / "a.npz", make_source(np.random.default_rng(0), 4, features=True))
    assert not list(tmp_path.iterdir())


@settings(max_examples=15)
@given(st.integers(1, 8), st.integers(0, 10**6))
def test_the_originals_files(tmp_path_factory, count, seed):
    rng = np.random.default_rng(seed)
    path = tmp_path_factory.mktemp("original") / "ZTF19xyz.npz"
    jd, mag, err, fid, arrays = original_file(path, rng, count)
    source = read_compact(path)
    assert source.object_id == "ZTF19xyz" and source.label == 3
    np.testing.assert_allclose(source.time - source.time[0], jd - jd[0], atol=2e-5)
    np.testing.assert_allclose(source.mag, mag, atol=1e-5)
    np.testing.assert_allclose(source.mag_err, err, atol=1e-6)
    np.testing.assert_array_equal(source.band, fid - 1)
    np.testing.assert_array_equal(source.metadata, arrays["x"][:, 7:])
    np.testing.assert_array_equal(source.has_image, arrays["has_image"] > 0)
    last = int(np.flatnonzero(source.has_image)[-1])
    np.testing.assert_array_equal(source.images(last), arrays["images"][last])


@given(st.lists(st.floats(0, 30), min_size=1, max_size=250), st.floats(0, 3000))
def test_times_out_of_single_precision(intervals, start):
    """Better than the float32 of log1p(dt) alone: errors of some seconds after a hundred days."""
    time = start + np.cumsum([0.0, *intervals])
    x = np.stack([np.log1p((time - time[0]).astype(np.float32)),
                  np.log1p(np.diff(time, prepend=time[0]).astype(np.float32))], axis=1)
    found = times_of(x)
    assert (np.diff(found) >= 0).all()
    np.testing.assert_allclose(found, time - time[0], rtol=3e-7, atol=1e-5 * np.sqrt(len(time)))


def test_features_of_the_original(tmp_path):
    """114 names are taken as they come; fewer are mapped onto the first full set among the folder's files."""
    rng = np.random.default_rng(0)
    values = rng.normal(0, 3, 114)
    values[7] = 0
    original_file(tmp_path / "train" / "a.npz", rng)
    original_file(tmp_path / "train" / "b.npz", rng, gp=[5.0, 6.0], keys=["feature_100", "feature_003"])
    original_file(tmp_path / "train" / "c.npz", rng, gp=values, keys=NAMES)
    original_file(tmp_path / "train" / "d.npz", rng, gp=[1.0, 2.0])
    a, b, c, d = open_split(tmp_path, "train")
    assert a.features is None
    assert set(np.flatnonzero(np.isfinite(b.features[0]))) == {3, 100} and b.features[0, 3] == 6
    assert np.isnan(c.features[0, 7])  # 0 is the original's mark of a missing value
    np.testing.assert_array_equal(np.nan_to_num(c.features[0]), values.astype(np.float32))
    np.testing.assert_array_equal(c.feature_counts, [6])  # of the whole light curve, so of no prefix
    assert c.prefix(5).features_at(5) is None
    assert list(d.features[0, :2]) == [1, 2]


def test_only_the_one_stamp_is_read(tmp_path, make_source, monkeypatch):
    """Of a file of ours nothing is unpacked, of one of the original the bytes up to the stamp."""
    source = make_source(np.random.default_rng(1), 40, images=True)
    source = replace(source, has_image=np.ones(40, bool))
    ours = write_compact(tmp_path / "ours.npz", source)
    np.savez_compressed(tmp_path / "theirs.npz", **dict(np.load(ours)))
    sources = {name: read_compact(tmp_path / f"{name}.npz") for name in ("ours", "theirs")}
    read = []
    plain = zipfile.ZipExtFile.read
    monkeypatch.setattr(zipfile.ZipExtFile, "read", lambda self, n=-1: read.append(plain(self, n)) or read[-1])
    for name, index, most in (("ours", 30, 0), ("theirs", 2, 3 * 47628 + 200)):
        read.clear()
        np.testing.assert_array_equal(sources[name].images(index), source.images(index))
        assert sum(map(len, read)) <= most
    for index in (0, 17, 39):
        np.testing.assert_array_equal(sources["ours"].images(index), source.images(index))
    with pytest.raises(DataError, match="no row 40"):
        sources["ours"].images(40)


BROKEN = {
    "short": lambda path: path.write_bytes(b"PK\x05\x06" + bytes(11)),
    "text": lambda path: path.write_text("no archive" * 100),
    "cut in half": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "a flipped byte": lambda path: path.write_bytes(flipped(path)),
    "no label": lambda path: rewrite(path, drop="label"),
    "no x": lambda path: rewrite(path, drop="x"),
    "NaN in the light curve": lambda path: rewrite(path, x=spoilt(path, np.nan)),
    "no one-hot bands": lambda path: rewrite(path, x=spoilt(path, 1.0, (2, slice(4, 7)))),
    "empty light curve": lambda path: rewrite(path, x=np.zeros((0, 37), np.float32)),
    "other channels": lambda path: rewrite(path, x=np.zeros((6, 36), np.float32)),
    "images of another size": lambda path: rewrite(path, images=np.zeros((6, 3, 62, 63), np.float32)),
    "two labels": lambda path: rewrite(path, label=np.array([1, 2])),
    "label as text": lambda path: rewrite(path, label=np.array("SN Ia")),
    "has_image too long": lambda path: rewrite(path, has_image=np.ones(7, np.float32)),
    "115 features": lambda path: rewrite(path, gp_features=np.ones(115, np.float32)),
    "objects": lambda path: rewrite(path, label=np.array(3, object)),
    "has_image of text": lambda path: rewrite(path, has_image=np.full(6, "x")),
    "features of text": lambda path: rewrite(path, gp_features=np.full(114, "x")),
    "names that are numbers": lambda path: rewrite(path, gp_features=np.ones(114), gp_keys=np.arange(114)),
    "negative errors": lambda path: rewrite(path, x=spoilt(path, -0.1, (2, 3))),
}


def flipped(path) -> bytes:
    """One byte in the middle of the compressed x changed."""
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo("x.npy")
    data = bytearray(path.read_bytes())
    data[info.header_offset + 60 + info.compress_size // 2] ^= 0xFF
    return bytes(data)


def spoilt(path, value, place=(1, 2)):
    x = np.load(path)["x"].copy()
    x[place] = value
    return x


def rewrite(path, drop=None, **change):
    arrays = {key: value for key, value in np.load(path).items() if key != drop}
    np.savez_compressed(path, **(arrays | change))


@pytest.mark.parametrize("damage", BROKEN.values(), ids=BROKEN.keys())
def test_broken_files_are_left_out_and_named(tmp_path, damage):
    rng = np.random.default_rng(1)
    for name in "abc":
        original_file(tmp_path / "val" / f"{name}.npz", rng)
    damage(tmp_path / "val" / "b.npz")
    with pytest.raises(DataError, match=r"b\.npz"):
        read_compact(tmp_path / "val" / "b.npz")
    folder = open_split(tmp_path, "val")
    assert folder.object_ids == ["a", "c"] and len(folder) == 2
    assert [x.path.name for x in folder.broken] == ["b.npz"]
    assert "expected" in folder.broken[0].reason
    assert [source.label for source in folder] == [3, 3]


TEXT = np.full(6, "x")
BAD_EXTRAS = {
    "time of text": {"time": TEXT}, "time too short": {"time": np.arange(5.0)},
    "complex time": {"time": np.arange(6) + 0j}, "time that is not finite": {"time": np.full(6, np.inf)},
    "descending time": {"time": lambda old: old[::-1]},
    "another time than in x": {"time": lambda old: old[0] + 3 * (old - old[0])},
    "mask of text": {"metadata_missing": np.full((6, 30), "x")},
    "mask too short": {"metadata_missing": np.ones((5, 30))},
    "vectors of text": {"prefix_features": np.full((3, 114), "x")},
    "vectors too short": {"prefix_features": np.zeros((3, 113))},
    "counts of text": {"feature_counts": TEXT[:3]}, "one count": {"feature_counts": np.array(3)},
    "more counts than vectors": {"feature_counts": np.arange(1, 5)},
    "counts of more than there is": {"feature_counts": np.array([3, 5, 7])},
    "descending counts": {"feature_counts": np.array([5, 3, 6])},
    "a count of 0": {"feature_counts": np.array([0, 3, 6])},
    "real counts": {"feature_counts": np.array([3.0, 5.0, 6.0])},
    "a name that is a path": {"object_id": np.array("../../x")}, "two names": {"object_id": np.array(["a", "b"])},
    "a name that is a number": {"object_id": np.array(3)},
}


@pytest.mark.parametrize("change", BAD_EXTRAS.values(), ids=BAD_EXTRAS.keys())
def test_broken_extras_of_ours_are_left_out_and_named(tmp_path, make_source, change):
    """One bad array leaves the one file out; it neither stops the folder nor goes in without a word."""
    rng = np.random.default_rng(1)
    (tmp_path / "val").mkdir()
    for name in "ab":
        write_compact(tmp_path / "val" / f"{name}.npz", make_source(rng, 6, name, 0, True, False, True),
                      feature_names=NAMES)
    path = tmp_path / "val" / "b.npz"
    assert len(open_split(tmp_path, "val")) == 2
    old = dict(np.load(path))
    rewrite(path, **{key: value(old[key]) if callable(value) else value for key, value in change.items()})
    folder = open_split(tmp_path, "val")
    assert folder.object_ids == ["a"]
    assert any(f"field '{key}'" in folder.broken[0].reason for key in (*change, "prefix_features"))
    rewrite(path, drop="feature_counts", **old)
    assert len(open_split(tmp_path, "val")) == 2
    rewrite(path, drop="feature_counts")
    assert len(open_split(tmp_path, "val")) == 1


def test_every_cut_of_a_file_is_noticed(tmp_path):
    original_file(tmp_path / "a.npz", np.random.default_rng(1), count=2)
    data = (tmp_path / "a.npz").read_bytes()
    for size in np.linspace(0, len(data) - 1, 60).astype(int):
        (tmp_path / "a.npz").write_bytes(data[:size])
        with pytest.raises(DataError):
            read_compact(tmp_path / "a.npz")


@pytest.mark.parametrize("plain", [True, False])
def test_no_damage_is_more_than_a_broken_file(tmp_path, make_source, plain):
    """Zeros, noise and flipped bits anywhere, headers included: a good source or a DataError, nothing else."""
    rng = np.random.default_rng(0)
    path = tmp_path / "a.npz"
    write_compact(path, make_source(rng, 3, "a", 0, True, False, True), feature_names=NAMES)
    if plain:
        np.savez(path, **dict(np.load(path)))
    good, refused = path.read_bytes(), 0
    ends = [64 + k for k in range(0, 180, 4)] + rng.integers(0, len(good), 250).tolist()
    for place in ends:
        data = bytearray(good)
        size = int(rng.integers(1, 60))
        change = (bytes(size), rng.bytes(size), bytes([data[place % len(data)] ^ 8]), b"('{[" * 9)[int(rng.integers(4))]
        data[place:place + len(change)] = change
        path.write_bytes(data)
        try:
            read_compact(path)
        except DataError as error:
            refused += "a.npz" in str(error)
    assert refused > 40


def test_a_header_that_claims_terabytes(tmp_path):
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w") as archive, archive.open("x.npy", "w") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": (1 << 40, 37)})
        file.write(bytes(1000))
    with pytest.raises(DataError, match="at most"):
        read_compact(path)


def test_folders(tmp_path, make_source):
    with pytest.raises(FileNotFoundError, match="no such folder"):
        open_split(tmp_path, "train")
    (tmp_path / "train").mkdir()
    with pytest.raises(NoData, match="no npz files"):
        open_split(tmp_path, "train")
    rng = np.random.default_rng(0)
    sources = [make_source(rng, 5 + k, f"s{k}", label) for k, label in enumerate((0, 9, -1, 12))]
    for source in sources:
        write_compact(tmp_path / "train" / f"{source.object_id}.npz", source)
    BTS.save(tmp_path)
    folder = open_split(tmp_path, "train")
    assert folder.scheme == BTS and folder.kind == "compact" and not folder.broken
    assert folder.labels.tolist() == [0, 9, -1, -1]  # 12 is no class of the scheme: unknown, not class 0
    assert folder.lengths.tolist() == [5, 6, 7, 8]
    assert [len(x) for x in folder[1:3]] == [6, 7] and len(folder[-1]) == 8
    with pytest.raises(IndexError):
        folder[4]
    without_memory = open_split(tmp_path, "train", cache_bytes=0)
    sent = pickle.loads(pickle.dumps(folder))  # as to a loader's worker process
    for one, other, third in zip(folder, without_memory, sent, strict=True):
        np.testing.assert_array_equal(one.mag, other.mag)
        np.testing.assert_array_equal(one.mag, third.mag)
    (tmp_path / "train" / "s0.npz").write_bytes(b"x" * 500)
    with pytest.raises(DataError, match=r"s0\.npz"):
        without_memory[0]
    for path in (tmp_path / "train").glob("*.npz"):
        path.write_bytes(b"x" * 500)
    with pytest.raises(DataError):
        open_split(tmp_path, "train", kind="compact")


def test_missing_metadata_stay_missing(tmp_path, make_source):
    """A measured 0 and a missing value are both 0 in x; our own mask tells them apart."""
    values = np.full((4, 30), np.nan, np.float32)
    values[:, METADATA_FIELDS.index("sky")] = [0, 1, np.nan, 0]
    source = replace(make_source(np.random.default_rng(0), 4), metadata=values)
    np.testing.assert_array_equal(read_compact(write_compact(tmp_path / "a.npz", source)).metadata, values)


def test_object_id_of_the_file_name(tmp_path):
    source = Source("ZTF21", [1.0], [0], [18.0], [0.1])
    assert read_compact(write_compact(tmp_path / "other.npz", source)).object_id == "ZTF21"
