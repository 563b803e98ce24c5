"""The container reader against fastavro's own, and against damage."""

import io
import sys

import fastavro
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtf_models.stream.avro_packets import BrokenRecord, PacketReader
from tests.rtf.stream.toy import survey, write_avro


@pytest.fixture(scope="module")
def container(tmp_path_factory):
    packets = survey(np.random.default_rng(0), 10)
    path = write_avro(tmp_path_factory.mktemp("avro") / "x.avro", packets, per_block=4)
    return path.read_bytes(), list(fastavro.reader(io.BytesIO(path.read_bytes())))


def read(content, skip=0, **more):
    return list(PacketReader(**more).packets(io.BytesIO(content), skip))


@pytest.mark.parametrize("skip", [0, 1, 3, 4, 5, 9, 10, 11])
def test_any_record_can_be_begun_at(container, skip):
    content, packets = container
    assert read(content, skip) == packets[skip:]


@pytest.mark.parametrize("codec", ["deflate", "bzip2"])
def test_compressed_containers(container, tmp_path, codec):
    path = write_avro(tmp_path / "x.avro", container[1], codec=codec)
    assert read(path.read_bytes()) == container[1]
    assert read(path.read_bytes(), 7) == container[1][7:]


def test_a_broken_record_takes_its_block_and_no_more(container):
    content, packets = container
    at = content.index(packets[5]["objectId"].encode(), content.index(b"s" * 16, content.index(b"s" * 16) + 16))
    damaged = content[: at - 1] + b"\xff\xff\xff" + content[at + 2 :]
    found = read(damaged)
    assert found[:4] == packets[:4] and found[-2:] == packets[8:]
    broken = [x for x in found if isinstance(x, BrokenRecord)]
    assert sum(x.count for x in broken) + len(found) - len(broken) == 10 and not broken[0].last


def test_a_cut_off_file_gives_its_whole_blocks(container):
    content, packets = container
    found = read(content[:-30])
    assert found[:-1] == packets[:8] and found[-1].last and "ends" in found[-1].reason


@settings(max_examples=150)
@given(data=st.data())
def test_damage_anywhere_raises_nothing(container, data):
    content = bytearray(container[0])
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    content = bytes(content[: data.draw(st.integers(0, len(content)))])
    for record in read(content):
        assert isinstance(record, dict | BrokenRecord)


def test_a_huge_size_allocates_nothing(container):
    content, _ = container
    start = content.index(b"s" * 16) + 16
    found = read(content[:start] + b"\x02" + b"\xfe\xff\xff\xff\xff\xff\x7f" + b"x" * 50)
    assert found[0].last and "bytes" in found[0].reason and sys.getsizeof(found) < 1000


def test_the_end_of_the_last_record_is_not_decoded_if_not_wanted(container):
    content, packets = container
    short = read(content, wanted=("objectId", "candid", "candidate"))
    keys = {"objectId", "candid", "candidate"}
    assert [{k: p[k] for k in keys} for p in short] == [{k: p[k] for k in keys} for p in packets]
    assert ["cutoutScience" in p for p in short] == [n not in (3, 7, 9) for n in range(10)]


def test_real_packets_are_those_of_fastavro(ztf_folder):
    for path in sorted((ztf_folder / "alerts_avro").glob("*.avro")):
        content = path.read_bytes()
        assert read(content) == list(fastavro.reader(io.BytesIO(content)))
