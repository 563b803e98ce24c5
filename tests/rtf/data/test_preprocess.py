"""The preprocess command, on made-up and on all real data."""

import csv
import json

import numpy as np
import pytest

from rtf_models.classes import BTS
from rtf_models.data.alert_folder import open_alerts
from rtf_models.data.bts import read_bts
from rtf_models.data.dataset import SourceDataset, collate_fn
from rtf_models.data.folder import open_split
from rtf_models.data.inputs import InputSpec
from rtf_models.data.writing import Writer
from rtf_models.errors import DataError
from rtf_models.preprocess import main, reason_lines


def bts_like(path, count=40, seed=0, **change):
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, 30, count)
    rows = lengths.sum()
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    arrays = {"object_id": np.array([f"ZTF{k:04d}" for k in range(count)]),
              "type": np.array(["SN Ia", "SN II", "SN Ia-91T", "SN Ibn", "TDE", "other"])[np.arange(count) % 6],
              "redshift": rng.uniform(0, 0.1, count).astype(np.float32), "offsets": offsets,
              "mjd": np.concatenate([58000 + k + np.sort(rng.uniform(0, 150, n)) for k, n in enumerate(lengths)]),
              "fid": rng.integers(1, 3, rows).astype(np.uint8), "mag": rng.normal(18, 1, rows).astype(np.float32),
              "magerr": rng.uniform(0.02, 0.2, rows).astype(np.float32)}
    np.savez(path, **(arrays | change))
    return arrays


@pytest.fixture
def bts(tmp_path):
    bts_like(tmp_path / "bts.npz")
    return ["--bts", str(tmp_path / "bts.npz"), "--output-dir", str(tmp_path / "out")]


def files(folder):
    return {x.relative_to(folder).as_posix(): x.read_bytes() for x in sorted(folder.rglob("*.npz"))}


def test_light_curves(tmp_path, bts, capsys):
    assert main(bts) == 0
    out = tmp_path / "out"
    assert f"40 sources written, 0 already there, 0 left out; wrote {out}" in capsys.readouterr().out
    assert {x.name for x in out.iterdir()} == {"train", "val", "test", "classes.json", "splits.csv",
                                               "preprocess.json", "report.json"}
    known = {x.object_id: x for x in read_bts(tmp_path / "bts.npz")}
    with open(out / "splits.csv") as file:
        splits = {row["obj_id"]: row["split"] for row in csv.DictReader(file)}
    seen = set()
    for split in ("train", "val", "test"):
        folder = open_split(out, split)
        assert folder.scheme == BTS and not folder.broken
        for source in folder:
            original = known[source.object_id].within(100)
            np.testing.assert_array_equal(source.time, original.time)
            np.testing.assert_allclose(source.mag, original.mag, atol=4e-6)
            np.testing.assert_array_equal(source.band, original.band)
            assert source.label == original.label and splits[source.object_id] == split
            seen.add(source.object_id)
    assert seen == set(known) == set(splits)
    assert {BTS.fine_name(x.label) for x in known.values()} == {"SN Ia", "SN II", "SN Ib", "TDE", "unknown"}
    report = json.loads((out / "report.json").read_text())
    assert report["written"] == 40 and report["reasons"] == {}
    assert sum(report["written_by_split_and_class"]["train"].values()) == splits_of(splits, "train")


def splits_of(splits, name):
    return sum(x == name for x in splits.values())


def test_a_second_run_finishes_the_first(tmp_path, bts, capsys):
    main(bts)
    before = files(tmp_path / "out")
    gone = sorted(before)[::3]
    for name in gone:
        (tmp_path / "out" / name).unlink()
    capsys.readouterr()
    assert main(bts) == 0
    assert f"{len(gone)} sources written, {40 - len(gone)} already there" in capsys.readouterr().out
    assert files(tmp_path / "out") == before  # the same bytes again


def test_processes_write_the_same(tmp_path, bts):
    main(bts)
    assert main([*bts[:3], str(tmp_path / "two"), "--workers", "2"]) == 0
    assert files(tmp_path / "two") == files(tmp_path / "out")


def test_other_options_want_another_folder(tmp_path, bts, capsys):
    assert main(bts) == 0
    assert main([*bts, "--horizon", "50"]) == 2
    assert "made with other options (horizon" in capsys.readouterr().err
    assert main([*bts, "--seed", "1"]) == 2
    (tmp_path / "out" / "preprocess.json").unlink()
    assert main(bts) == 2
    assert "unknown origin" in capsys.readouterr().err


def test_temporal_split(tmp_path, bts):
    assert main([*bts, "--temporal"]) == 0
    first = {split: [x.time[0] for x in open_split(tmp_path / "out", split)] for split in ("train", "val", "test")}
    assert max(first["train"]) <= min(first["val"]) and max(first["val"]) <= min(first["test"])


def test_features_are_causal(tmp_path, bts):
    """The stored vectors of a prefix do not change when everything later does."""
    pytest.importorskip("sklearn")
    arrays = bts_like(tmp_path / "bts.npz", count=6, seed=3)
    assert main([*bts, "--fit-gp"]) == 0
    mag = arrays["mag"].copy()
    for k in range(6):
        mag[arrays["offsets"][k] + 5:arrays["offsets"][k + 1]] += 3
    bts_like(tmp_path / "bts.npz", count=6, seed=3, mag=mag)
    assert main([*bts[:3], str(tmp_path / "changed"), "--fit-gp"]) == 0
    compared = different = 0
    for split in ("train", "val", "test"):
        if not (tmp_path / "out" / split).is_dir():
            continue
        pair = (open_split(tmp_path / name, split) for name in ("out", "changed"))
        for one, other in zip(*pair, strict=True):
            np.testing.assert_array_equal(one.feature_counts, other.feature_counts)
            assert one.feature_counts[-1] == len(one)
            early = one.feature_counts <= 5
            np.testing.assert_array_equal(one.features[early], other.features[early])
            compared += early.sum()
            different += (np.nan_to_num(one.features[~early]) != np.nan_to_num(other.features[~early])).sum()
    assert compared and different


BAD_FILES = {"no file": None, "no archive": b"x" * 500, "offsets": {"offsets": np.arange(41)},
             "shape": {"fid": np.ones(3, np.uint8)}, "band": {"fid": "all 7"},
             "text": {"mjd": np.full(700, "x")}, "a path": {"object_id": np.array([f"../o{k}" for k in range(40)])},
             "an object twice": {"object_id": np.array(["o"] * 40)}, "negative errors": {"magerr": "all -1"}}


@pytest.mark.parametrize("change", BAD_FILES.values(), ids=BAD_FILES.keys())
def test_bad_light_curve_files(tmp_path, bts, change, capsys):
    path = tmp_path / "bts.npz"
    if change is None:
        path.unlink()
    elif isinstance(change, bytes):
        path.write_bytes(change)
    else:
        rows = len(np.load(path)["mag"])
        made = {"all 7": np.full(rows, 7, np.uint8), "all -1": np.full(rows, -1.0)}
        bts_like(path, **{k: made[v] if isinstance(v, str) else v for k, v in change.items()})
    assert main(bts) == 2
    assert capsys.readouterr().err.startswith("error: ")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("extra", [["--horizon", "-1"], ["--workers", "0"], ["--splits", "x.csv"], ["--no-history"]],
                         ids=lambda x: x[0])
def test_flags_that_make_no_sense(bts, extra, capsys):
    assert main([*bts, *extra]) == 2
    assert "error: --" in capsys.readouterr().err


def test_repeated_rows_are_one_detection(tmp_path):
    bts_like(tmp_path / "a.npz", count=1, offsets=np.array([0, 4]), mjd=np.array([3.0, 1.0, 3.0, 3.0]),
             fid=np.array([1, 1, 1, 2], np.uint8), mag=np.array([18.0, 17.0, 18.0001, 19.0]), magerr=np.full(4, 0.1))
    source = read_bts(tmp_path / "a.npz")[0]
    assert source.time.tolist() == [1, 3, 3] and source.band.tolist() == [0, 0, 1]
    np.testing.assert_allclose(source.mag, [17, 18, 19])


# alert packets
def alert(object_id, jd, history=(), **fields):
    candidate = {"jd": jd, "fid": 1, "magpsf": 18.0, "sigmapsf": 0.1, "isdiffpos": "t", "rb": 0.9} | fields
    return {"objectId": object_id, "candid": 0, "candidate": candidate, "prv_candidates": list(history)}


def alerts_file(path, packets):
    array = np.empty(len(packets), object)
    array[:] = packets
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, array, allow_pickle=True)


@pytest.fixture
def alert_dir(tmp_path):
    """Objects a (two alerts), b (all negative), c (a forged pickle), d (in no split), e (no label), f (no packets)."""
    folder = tmp_path / "alerts"
    alerts_file(folder / "a" / "alerts.npy", [alert("a", 2459010.0), alert("a", 2459000.0), alert("a", 2459200.0)])
    alerts_file(folder / "b" / "alerts.npy", [alert("b", 2459000.0, isdiffpos="f")])
    alerts_file(folder / "c" / "alerts.npy", [alert("c", 2459000.0, rb=print)])
    alerts_file(folder / "d" / "alerts.npy", [alert("d", 2459000.0)])
    alerts_file(folder / "e" / "alerts.npy", [alert("e", 2459000.0)])
    (tmp_path / "splits.csv").write_text("obj_id,split\na,train\nb,train\nc,val\ne,test\nf,test\n")
    for split, name, label in (("train", "a", 9), ("train", "b", 0), ("val", "c", 1), ("test", "f", 1)):
        (tmp_path / "labels" / split).mkdir(parents=True, exist_ok=True)
        np.savez(tmp_path / "labels" / split / f"{name}.npz", label=np.int64(label))
    return folder


def test_alert_folder(tmp_path, alert_dir, capsys):
    arguments = ["--alert-dir", str(alert_dir), "--splits", str(tmp_path / "splits.csv"), "--labels-dir",
                 str(tmp_path / "labels"), "--output-dir", str(tmp_path / "out")]
    assert main(arguments) == 0
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["written"] == 1 and set(report["reasons"]) == {"b", "c", "e", "f"}
    assert "negative" in report["reasons"]["b"] and "print" in report["reasons"]["c"]
    assert "labels" in report["reasons"]["e"] and "no alert packets" in report["reasons"]["f"]
    assert report["notes"]["objects with packets that are in no split"] == 1
    printed = capsys.readouterr().out
    assert "left out b: all detections are negative" in printed and "left out f: no alert packets" in printed
    (source,) = open_split(tmp_path / "out", "train")
    assert source.label == 9 and source.time.tolist() == [2459000.0, 2459010.0]  # horizon of 100 days
    found = open_alerts(alert_dir, tmp_path / "splits.csv", tmp_path / "labels", "train", horizon=100.0)
    assert found.object_ids == ["a"] and found.labels.tolist() == [9] and found.lengths.tolist() == [2]
    np.testing.assert_array_equal(found[0].mag, source.mag)
    assert any("negative" in x.reason for x in found.broken)
    with pytest.raises(FileNotFoundError):
        open_alerts(alert_dir, tmp_path / "splits.csv", tmp_path / "labels", "val")


def test_all_real_packets(ztf_folder, tmp_path, capsys):
    """161 packets of 136 objects, end to end: files, network inputs and batches."""
    pytest.importorskip("fastavro")
    pytest.importorskip("pyarrow")
    arguments = ["--alert-dir", str(ztf_folder), "--output-dir", str(tmp_path / "out"), "--negative"]
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    assert "136 sources written, 0 already there, 0 left out" in printed
    assert "stamps clipped by an edge: no image: 1" in printed and "repeated detections left out: 309" in printed
    folders = [open_split(tmp_path / "out", split) for split in ("train", "val", "test")]
    sources = [source for folder in folders for source in folder]
    assert len(sources) == 136 and not any(folder.broken for folder in folders)
    assert all(source.label == -1 for source in sources)  # packets carry no class
    # Alerts later than 100 days after an object's first detection are beyond the horizon.
    stamps = sum(int(source.has_image.sum()) for source in sources if source.has_image is not None)
    assert 150 < stamps <= 160
    spec = InputSpec.fit(folders[0], metadata="global", images=True)
    data = SourceDataset(sources, spec)
    batch = collate_fn([data[k] for k in range(len(data))])
    assert batch["x"].isfinite().all() and batch["images"].isfinite().all()
    assert (batch["label_coarse"] == -1).all()
    assert (batch["images"].flatten(1).std(1) > 0).sum() >= 130
    fields = np.concatenate([source.metadata for source in sources])
    assert np.isfinite(fields).any(axis=0).all()  # each of the 30 occurs

    assert main([*arguments[:3], str(tmp_path / "positive")]) == 0
    report = json.loads((tmp_path / "positive" / "report.json").read_text())
    assert (report["written"], report["left_out"]) == (91, 45)
    assert all("all detections are negative" in x for x in report["reasons"].values())


def test_all_real_light_curves(bts_file):
    """2,177 sources; 413 of their 77,256 rows are there twice; all types but one have a class."""
    sources = read_bts(bts_file)
    assert len(sources) == 2177 and sum(map(len, sources)) == 77_256 - 413
    labels = [BTS.coarse_name(BTS.coarse_id(x.label)) for x in sources]
    assert {name: labels.count(name) for name in set(labels)} == {"SN Ia": 1605, "core collapse": 507, "other": 64,
                                                                  "unknown": 1}


def test_a_defect_is_no_bad_file(tmp_path, make_source):
    """Only what is wrong with the data is left out; an error of the program is not hidden among them."""
    from rtf_models.data.writing import Job, Loaded

    source = make_source(np.random.default_rng(0), 4)
    job = Job("a", "train", lambda: Loaded(source))

    def broken_data(_):
        raise DataError("x", None, "bad", "good")

    def broken_program(_):
        raise ZeroDivisionError

    assert Writer(tmp_path, 100.0, broken_data)(job).status == "left out"
    with pytest.raises(ZeroDivisionError):
        Writer(tmp_path, 100.0, broken_program)(job)
    assert not list(tmp_path.rglob("*.npz"))


def test_new_objects_do_not_move_the_known_ones(tmp_path):
    """Packets that come later may not bring an object of the training set into the test set."""
    for k in range(20):
        alerts_file(tmp_path / "alerts" / f"old{k}" / "alerts.npy", [alert("x", 2459000.0 + k)])
    arguments = ["--alert-dir", str(tmp_path / "alerts"), "--output-dir", str(tmp_path / "out")]
    assert main(arguments) == 0
    before = {x.stem: x.parent.name for x in (tmp_path / "out").rglob("*.npz")}
    assert set(before.values()) == {"train", "val", "test"}
    for k in range(20):
        alerts_file(tmp_path / "alerts" / f"new{k}" / "alerts.npy", [alert("x", 2458000.0 + k)])
    assert main(arguments) == 0
    after = [(x.stem, x.parent.name) for x in (tmp_path / "out").rglob("*.npz")]
    assert len(after) == len(dict(after)) == 40
    assert {key: dict(after)[key] for key in before} == before
    assert {split for key, split in after if key.startswith("new")} == {"train", "val", "test"}


def test_a_split_by_time_cannot_grow(tmp_path, capsys):
    for k in range(10):
        alerts_file(tmp_path / "alerts" / f"o{k}" / "alerts.npy", [alert("x", 2459000.0 - k)])
    arguments = ["--alert-dir", str(tmp_path / "alerts"), "--output-dir", str(tmp_path / "out"), "--temporal"]
    assert main(arguments) == 0
    assert {x.stem for x in (tmp_path / "out" / "test").iterdir()} == {"o0", "o1"}  # the latest
    assert main(arguments) == 0
    alerts_file(tmp_path / "alerts" / "o99" / "alerts.npy", [alert("x", 2459001.0)])
    capsys.readouterr()
    assert main(arguments) == 2
    assert "1 objects more than in the earlier run" in capsys.readouterr().err


def test_the_same_reason_is_said_once():
    reasons = {f"o{k}": f"object o{k}, field 'x': bad; expected good" for k in range(5)} | {"p": "no alert packets"}
    assert reason_lines(reasons) == ["left out o0, o1, o2 and 2 more: bad; expected good",
                                     "left out p: no alert packets"]


def test_stamps_straight_from_packets(ztf_folder, tmp_path):
    """Read again from the files when asked for: each detection gets its own packet's stamps."""
    pytest.importorskip("fastavro")
    pytest.importorskip("pyarrow")
    from rtf_models.data.alert_folder import AlertObject, index_alerts

    files, broken = index_alerts(ztf_folder)
    assert len(files) == 136 and not broken
    chosen = ["ZTF25aatmfzy", "ZTF20aawkwsc", "ZTF20aafcnby"]
    (tmp_path / "splits.csv").write_text("obj_id,split\n" + "".join(f"{x},val\n" for x in chosen))
    found = open_alerts(ztf_folder, tmp_path / "splits.csv", None, "val", images=True, keep_negative=True)
    assert sorted(found.object_ids) == sorted(chosen)
    compared = []
    for source in found:
        kept = AlertObject(source.object_id, files[source.object_id], keep_negative=True)().source
        np.testing.assert_array_equal(source.has_image, kept.has_image)
        for k in np.flatnonzero(source.has_image):
            np.testing.assert_array_equal(source.images(int(k)), kept.images(int(k)))
            compared.append(kept.images(int(k)).sum())
    assert len(compared) == len(set(compared)) == 7  # three, three and one alert, all different
