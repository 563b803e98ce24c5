"""Files in folders: order, damage, files that come, grow, vanish or are replaced."""

import os

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rtf_models.stream.arrival import taken
from rtf_models.stream.errors import StreamError
from rtf_models.stream.file_stream import FileStream
from tests.rtf.stream.toy import OPTIONS, encode, letters, rows, survey, write_avro


@pytest.fixture
def packets():
    return survey(np.random.default_rng(1), 12)


def candids(stream, timeout=0.0):
    return [a.packet["candid"] if a.packet else a.broken for a in taken(stream, timeout)]


def wanted(packets):
    return [p["candid"] for p in packets]


def test_files_of_an_input_come_in_the_order_of_their_names(tmp_path, packets):
    write_avro(tmp_path / "b" / "x.avro", packets[:3])
    write_avro(tmp_path / "a.avro", packets[3:6])
    pq.write_table(pa.Table.from_pylist(packets[6:9]), tmp_path / "b" / "y.parquet")
    write_avro(tmp_path / "b" / ".hidden.avro", packets[9:])
    write_avro(tmp_path / "later.avro", packets[9:])
    stream = FileStream([str(tmp_path / "later.avro"), str(tmp_path), str(tmp_path / "*.avro")])
    assert candids(stream) == wanted(packets[9:] + packets[3:6] + packets[:3] + packets[6:9])


def test_links_are_followed_once_each(tmp_path, packets):
    """Folders of links to folders, as the array jobs make them; links in circles and links to nowhere end nothing."""
    write_avro(tmp_path / "far" / "one" / "x.avro", packets[:3])
    write_avro(tmp_path / "far" / "two" / "deep" / "y.avro", packets[3:6])
    share = tmp_path / "share"
    share.mkdir()
    for name in ("one", "two"):
        (share / name).symlink_to(tmp_path / "far" / name)
    (share / "again").symlink_to(tmp_path / "far")
    (share / "z.avro").symlink_to(tmp_path / "far" / "one" / "x.avro")
    (tmp_path / "far" / "two" / "up").symlink_to(tmp_path)
    (share / "circle").symlink_to(share / "circle")
    (share / "nowhere.avro").symlink_to(tmp_path / "nowhere")
    assert candids(FileStream([str(share)])) == wanted(packets[:6])
    assert candids(FileStream([str(share), str(share / "z.avro"), f"{share}/*.avro"])) == wanted(packets[:6])
    out = tmp_path / "far" / "out"
    write_avro(out / "fingerprints-00000002.avro", packets[6:])
    assert candids(FileStream([str(share)], exclude=share / "again" / "out")) == wanted(packets[:6])


@pytest.mark.parametrize("after", range(13))
def test_resuming_after_any_record(tmp_path, packets, after):
    write_avro(tmp_path / "a.avro", packets[:5])
    pq.write_table(pa.Table.from_pylist(packets[5:9]), tmp_path / "b.parquet")
    write_avro(tmp_path / "c.avro", packets[9:])
    stream = FileStream([str(tmp_path)])
    first = stream.whole_position()
    found = [stream.take(0).packet["candid"] for _ in range(after)]
    positions = [first, stream.changed_position()]
    again = FileStream([str(tmp_path)])
    again.resume(positions)
    assert found + candids(again) == wanted(packets)


def test_nothing_there_is_an_error(tmp_path):
    with pytest.raises(StreamError, match="no alerts there"):
        FileStream([str(tmp_path)])
    with pytest.raises(StreamError, match="no such file"):
        FileStream([str(tmp_path / "x.avro")])


def test_a_watched_folder_hands_over_what_comes(tmp_path, packets):
    stream = FileStream([str(tmp_path)], watch=True, poll=0.0, settle=0.0)
    assert stream.take(0.01) is None
    write_avro(tmp_path / "b.avro", packets[:3])
    write_avro(tmp_path / "b.avro.tmp", packets[:3])
    assert candids(stream, 0.01) == wanted(packets[:3])
    write_avro(tmp_path / "a.avro", packets[3:5])
    assert candids(stream, 0.01) == wanted(packets[3:5])
    assert candids(stream, 0.01) == []


def test_a_file_is_left_alone_while_it_changes(tmp_path, packets):
    stream = FileStream([str(tmp_path)], watch=True, poll=0.0, settle=0.15)
    path = write_avro(tmp_path / "a.avro", packets)
    whole = path.read_bytes()
    path.write_bytes(whole[:200])
    assert stream.take(0.05) is None
    path.write_bytes(whole)
    assert stream.take(0.05) is None
    assert candids(stream, 0.5) == wanted(packets)


def test_a_file_that_has_grown_is_gone_on_with(tmp_path, packets):
    path = write_avro(tmp_path / "a.avro", packets, per_block=3)
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    stream = FileStream([str(tmp_path)], watch=True, poll=0.0, settle=0.0)
    first = candids(stream, 0.01)
    assert first[:-1] == wanted(packets[:9]) and "damaged" in first[-1]
    assert candids(stream, 0.01) == []
    path.write_bytes(whole)
    assert candids(stream, 0.01) == wanted(packets[9:])


def test_a_smaller_file_of_the_same_name_is_a_new_one(tmp_path, packets):
    write_avro(tmp_path / "a.avro", packets)
    stream = FileStream([str(tmp_path)], watch=True, poll=0.0, settle=0.0)
    candids(stream, 0.01)
    write_avro(tmp_path / "a.avro", packets[:2])
    assert candids(stream, 0.01) == wanted(packets[:2])


def test_files_that_are_gone_are_forgotten(tmp_path, packets):
    stream = FileStream([str(tmp_path)], watch=True, poll=0.0, settle=0.0)
    for number in range(20):
        path = write_avro(tmp_path / f"{number}.avro", packets[:1])
        candids(stream, 0.01)
        path.unlink()
    assert len(stream.whole_position()["files"]) <= 1


def test_what_cannot_be_read_is_a_dead_letter(tmp_path, packets):
    write_avro(tmp_path / "in" / "a.avro", packets[:6])
    (tmp_path / "in" / "b.avro").write_bytes(b"no avro at all")
    (tmp_path / "in" / "c.parquet").write_bytes(b"no parquet")
    os.symlink(tmp_path / "nowhere", tmp_path / "in" / "d.avro")
    bad = [dict(packets[6], objectId=""), dict(packets[7], candidate=dict(packets[7]["candidate"], magpsf=None))]
    write_avro(tmp_path / "in" / "e.avro", bad + packets[8:])
    totals = encode([tmp_path / "in"], tmp_path / "out")
    found = [(os.path.basename(x["file"]), x["record"]) for x in letters(tmp_path / "out")]
    assert found == [("b.avro", 0), ("c.parquet", 0), ("e.avro", 0), ("e.avro", 1)]
    assert [("objectId" in x["reason"], "magpsf" in x["reason"]) for x in letters(tmp_path / "out")[2:]] == [
        (True, False), (False, True)]  # fmt: skip
    assert totals["broken"] == 4 and totals["alerts"] == 14
    assert encode([tmp_path / "in"], tmp_path / "out") == totals  # and nothing is read or buried again
    assert len(letters(tmp_path / "out")) == 4


def test_new_files_at_a_second_run(tmp_path, packets):
    write_avro(tmp_path / "in" / "b.avro", packets[:6])
    encode([tmp_path / "in"], tmp_path / "out", OPTIONS)
    write_avro(tmp_path / "in" / "a.avro", packets[4:])
    totals = encode([tmp_path / "in"], tmp_path / "out", OPTIONS)
    assert totals["alerts"] == 14 and totals["duplicates"] == 2
    found = [candid for _, candid, *_ in rows(tmp_path / "out")]
    assert len(found) == len(set(found)) == totals["fingerprints"] == 12 - totals["no_detection"]
