"""Preprocessing into a folder that is there: splits stay, what has changed is written again, links are followed."""

import fcntl
import json
import os

import numpy as np
import pytest

from rtf_models.data.alert_folder import index_alerts, packet_files
from rtf_models.data.folder import open_split
from rtf_models.data.input_files import InputState, append_inputs, read_inputs
from rtf_models.data.splits import read_splits, splits_of_folder
from rtf_models.errors import DataError
from rtf_models.preprocess import main


def alert(jd, history=(), **fields):
    candidate = {"jd": jd, "fid": 1, "magpsf": 18.0, "sigmapsf": 0.1, "isdiffpos": "t", "rb": 0.9} | fields
    return {"objectId": "x", "candid": 0, "candidate": candidate, "prv_candidates": list(history)}


def alerts_file(path, *packets):
    array = np.empty(len(packets), object)
    array[:] = packets
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, array, allow_pickle=True)


def run(folder, out, *more):
    return main(["--alert-dir", str(folder), "--output-dir", str(out), "--quiet", *more])


def report(out):
    return json.loads((out / "report.json").read_text())


def where(out):
    """{object: split} by the files; fails where one lies in two."""
    found = [(x.stem, x.parent.name) for x in out.glob("*/*.npz")]
    assert len(found) == len(dict(found))
    return dict(found)


def test_several_folders_into_one_output(tmp_path):
    """Objects of a, b and c overlap; in the end each lies in one split, the one that it was given first."""
    rng = np.random.default_rng(0)
    seen = {}
    for number, name in enumerate("abcab"):
        if number < 3:
            for k in rng.choice(30, 14, replace=False):
                alerts_file(tmp_path / name / f"o{k}" / "alerts.npy", alert(2459000.0 + number))
        assert run(tmp_path / name, tmp_path / "out") == 0
        now = where(tmp_path / "out")
        assert {key: now[key] for key in seen} == seen
        assert read_splits(tmp_path / "out" / "splits.csv") == now
        seen = now
    assert len(seen) > 20 and set(seen.values()) == {"train", "val", "test"}
    lengths = {x.object_id: len(x) for split in ("train", "val", "test") for x in open_split(tmp_path / "out", split)}
    known = {key: sum((tmp_path / name / key).is_dir() for name in "abc") for key in seen}
    assert lengths == known and max(known.values()) == 3  # packets in several folders make one light curve


def test_a_lost_list_of_splits_is_read_from_the_files(tmp_path):
    for k in range(12):
        alerts_file(tmp_path / "a" / f"o{k}" / "alerts.npy", alert(2459000.0))
        alerts_file(tmp_path / "b" / f"o{11 - k + 3}" / "alerts.npy", alert(2459001.0))
    assert run(tmp_path / "a", tmp_path / "out") == 0
    before = where(tmp_path / "out")
    (tmp_path / "out" / "splits.csv").unlink()
    assert run(tmp_path / "b", tmp_path / "out") == 0
    after = where(tmp_path / "out")
    assert {key: after[key] for key in before} == before and len(after) == 15


def test_a_folder_with_an_object_in_two_splits_is_refused(tmp_path, capsys):
    for k in range(6):
        alerts_file(tmp_path / "a" / f"o{k}" / "alerts.npy", alert(2459000.0))
    assert run(tmp_path / "a", tmp_path / "out") == 0
    out = tmp_path / "out"
    split = where(out)["o3"]
    wrong = next(x for x in ("train", "val", "test") if x != split)
    (out / wrong / "o3.npz").write_bytes((out / split / "o3.npz").read_bytes())
    with pytest.raises(DataError, match="o3"):
        splits_of_folder(out)
    capsys.readouterr()
    assert run(tmp_path / "a", out) == 2
    assert "'o3' in" in capsys.readouterr().err


def test_two_runs_at_once(tmp_path, capsys):
    alerts_file(tmp_path / "a" / "o" / "alerts.npy", alert(2459000.0))
    out = tmp_path / "out"
    out.mkdir()
    handle = os.open(out, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    assert run(tmp_path / "a", out) == 2
    assert "another run" in capsys.readouterr().err
    os.close(handle)
    assert run(tmp_path / "a", out) == 0


def test_changed_packets_are_written_again(tmp_path, capsys):
    """Three, then nine detections: the file has nine, in its own split, and the others are not touched."""
    for k in range(8):
        alerts_file(tmp_path / "a" / f"o{k}" / "alerts.npy", *(alert(2459000.0 + day) for day in range(3)))
    out = tmp_path / "out"
    assert run(tmp_path / "a", out) == 0
    before = {x.stem: (x.parent.name, x.read_bytes()) for x in out.glob("*/*.npz")}
    assert run(tmp_path / "a", out) == 0
    assert (report(out)["written"], report(out)["rewritten"], report(out)["already_there"]) == (0, 0, 8)
    assert sum(report(out)["by_split"].values()) == 8
    alerts_file(tmp_path / "a" / "o5" / "alerts.npy", *(alert(2459000.0 + day) for day in range(9)))
    capsys.readouterr()
    assert run(tmp_path / "a", out) == 0
    assert "0 sources written, 1 rewritten from changed inputs, 7 already there" in capsys.readouterr().out
    assert (report(out)["written"], report(out)["rewritten"], report(out)["already_there"]) == (0, 1, 7)
    after = {x.stem: (x.parent.name, x.read_bytes()) for x in out.glob("*/*.npz")}
    assert {key for key in after if after[key] != before[key]} == {"o5"} and after["o5"][0] == before["o5"][0]
    (source,) = (x for x in open_split(out, after["o5"][0]) if x.object_id == "o5")
    assert len(source) == 9
    # a file that breaks later: the account says so, what was there stays
    (tmp_path / "a" / "o5" / "alerts.npy").write_bytes(b"nonsense")
    assert run(tmp_path / "a", out) == 0
    assert report(out)["left_out"] == 1 and "o5" in report(out)["reasons"]
    assert {x.stem: (x.parent.name, x.read_bytes()) for x in out.glob("*/*.npz")} == after


def test_a_changed_label_is_written_again(tmp_path):
    alerts_file(tmp_path / "a" / "o" / "alerts.npy", alert(2459000.0))
    (tmp_path / "splits.csv").write_text("obj_id,split\no,val\n")
    (tmp_path / "labels" / "val").mkdir(parents=True)
    more = ["--splits", str(tmp_path / "splits.csv"), "--labels-dir", str(tmp_path / "labels")]
    for label in (3, 3, 7):
        np.savez(tmp_path / "labels" / "val" / "o.npz", label=np.int64(label))
        assert run(tmp_path / "a", tmp_path / "out", *more) == 0
        assert open_split(tmp_path / "out", "val").labels.tolist() == [label]
    assert report(tmp_path / "out")["rewritten"] == 1


def test_a_list_of_inputs_that_was_cut_off(tmp_path):
    """By a kill: the last line does not count, and the next one is whole."""
    alerts_file(tmp_path / "a" / "alerts.npy", alert(1.0))
    state = InputState.of(3, [tmp_path / "a" / "alerts.npy", tmp_path / "gone.npy"])
    append_inputs(tmp_path, {"o1": state, "o2": state})
    path = tmp_path / "inputs.jsonl"
    path.write_bytes(path.read_bytes()[:-20] + b"\xff")
    assert read_inputs(tmp_path) == {"o1": state}
    append_inputs(tmp_path, {"o3": state})
    assert read_inputs(tmp_path) == {"o1": state, "o3": state}
    assert state.present() == ((tmp_path / "a" / "alerts.npy").resolve(),)


# links
def test_a_folder_of_links(tmp_path):
    """As an array job shares out the objects."""
    for k in range(5):
        alerts_file(tmp_path / "real" / f"o{k}" / "alerts.npy", alert(2459000.0 + k))
    (tmp_path / "share").mkdir()
    for k in (1, 3, 4):
        (tmp_path / "share" / f"o{k}").symlink_to(tmp_path / "real" / f"o{k}", target_is_directory=True)
    assert sorted(index_alerts(tmp_path / "share")[0]) == ["o1", "o3", "o4"]
    assert run(tmp_path / "share", tmp_path / "out") == 0
    assert sorted(where(tmp_path / "out")) == ["o1", "o3", "o4"]
    assert run(tmp_path / "real", tmp_path / "out") == 0  # the same files, by their own names
    assert (report(tmp_path / "out")["written"], report(tmp_path / "out")["already_there"]) == (2, 3)
    (tmp_path / "to_all").symlink_to(tmp_path / "share")
    assert len(packet_files(tmp_path / "to_all")) == 3


def test_links_in_circles_end(tmp_path):
    folder = tmp_path / "alerts"
    alerts_file(folder / "o1" / "alerts.npy", alert(2459000.0))
    alerts_file(folder / "o2" / "deep" / "o3" / "alerts.npy", alert(2459000.0))
    (folder / "o1" / "up").symlink_to(folder)
    (folder / "o2" / "self").symlink_to(folder / "o2")
    (folder / "o2" / "deep" / "other").symlink_to(folder / "o1")
    (folder / "a_second_name").symlink_to(folder / "o1")
    (folder / "file").mkdir()
    (folder / "file" / "alerts.npy").symlink_to(folder / "o1" / "alerts.npy")
    (folder / "nowhere").symlink_to(tmp_path / "gone")
    (folder / "loop").symlink_to(folder / "loop")
    found, broken = index_alerts(folder)
    assert not broken and set(found) == {"o1", "o3"} and len(packet_files(folder)) == 2


def test_a_link_to_a_file_that_is_gone_is_named(tmp_path):
    alerts_file(tmp_path / "alerts" / "o1" / "alerts.npy", alert(2459000.0))
    (tmp_path / "alerts" / "o2").mkdir()
    (tmp_path / "alerts" / "o2" / "alerts.npy").symlink_to(tmp_path / "gone.npy")
    assert run(tmp_path / "alerts", tmp_path / "out") == 0
    assert report(tmp_path / "out")["left_out"] == 1 and "o2" in report(tmp_path / "out")["reasons"]


def test_real_packets_in_three_folders(ztf_folder, tmp_path):
    """The real Avro packets, each in two of three folders of links."""
    pytest.importorskip("fastavro")
    for k, path in enumerate(sorted((ztf_folder / "alerts_avro").glob("*.avro"))):
        for name in {"abc"[k % 3], "abc"[(k + 1) % 3]}:
            (tmp_path / name).mkdir(exist_ok=True)
            (tmp_path / name / path.name).symlink_to(path)
    seen = {}
    for name in "abc":
        assert run(tmp_path / name, tmp_path / "out", "--negative") == 0
        now = where(tmp_path / "out")
        assert {key: now[key] for key in seen} == seen
        seen = now
    assert len(seen) == 20 and report(tmp_path / "out")["written"] == 0
