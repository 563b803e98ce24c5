"""Kafka, with a broker in memory: offsets follow the journal, and nothing is lost or taken twice."""

import io

import fastavro
import numpy as np
import pytest

from rtf_models.stream.errors import StreamError
from rtf_models.stream.journal import Journal
from rtf_models.stream.kafka_stream import KafkaAddress, KafkaStream, read_settings
from rtf_models.stream.pipeline import EncodeOptions
from tests.rtf.stream.fake_kafka import Broker, KafkaError
from tests.rtf.stream.toy import SCHEMA, encode, killed_after, letters, rows, survey

OPTIONS = EncodeOptions(batch=2, part_rows=5, max_wait=float("inf"), history=10, remember=1000, idle_exit=0.0)
TOPIC = "ztf_20261121_programid1"


def message(*packets) -> bytes:
    out = io.BytesIO()
    fastavro.writer(out, fastavro.parse_schema(SCHEMA), packets)
    return out.getvalue()


@pytest.fixture
def packets():
    return [p for p in survey(np.random.default_rng(2), 60) if p["candidate"]["isdiffpos"] == "t"]


@pytest.fixture
def broker(packets):
    """All alerts in two partitions, by object; one message is broken, one holds three alerts, one offset is missing."""
    broker = Broker()
    for k in range(2):
        own = [p for p in packets if int(p["objectId"][3:]) % 2 == k]
        broker.put(TOPIC, k, *(message(p) for p in own[:4]))
        broker.put(TOPIC, k, b"nonsense")
        broker.put(TOPIC, k, message(*own[4:7]), gap=1)
        broker.put(TOPIC, k, *(message(p) for p in own[7:]))
    return broker


def stream(broker, text=f"kafka://broker:9092/{TOPIC}", **more):
    return KafkaStream(KafkaAddress.parse(text), client=broker.client(), **more)


def candids(out):
    return sorted(candid for _, candid, *_ in rows(out))


def run(broker, out, **more):
    return encode([], out, OPTIONS, stream=stream(broker, **more))


def test_every_alert_once_and_offsets_told(broker, packets, tmp_path):
    totals = run(broker, tmp_path)
    assert candids(tmp_path) == [p["candid"] for p in packets]
    assert totals["broken"] == 2 and [x["offset"] for x in letters(tmp_path)] == [4, 4]
    assert broker.committed == {(TOPIC, k): broker.high(TOPIC, k) for k in range(2)}
    assert broker.settings[0]["enable.auto.commit"] is False and broker.settings[0]["auto.offset.reset"] == "error"


def test_a_restart_reads_what_is_new(broker, packets, tmp_path):
    run(broker, tmp_path)
    before = run(broker, tmp_path)
    broker.put(TOPIC, 1, message(packets[0] | {"candid": 77}))
    assert run(broker, tmp_path)["alerts"] == before["alerts"] + 1


def test_killed_at_any_line(broker, packets, tmp_path, monkeypatch):
    monkeypatch.setattr("os.fsync", lambda handle: None)
    count = killed_after(None, lambda: run(broker, tmp_path / "count"))
    wanted, wanted_letters = rows(tmp_path / "count"), letters(tmp_path / "count")
    for line in np.random.default_rng(0).integers(1, count, 12).tolist():
        out = tmp_path / f"out{line}"
        killed_after(line, lambda out=out: run(broker, out))
        run(broker, out)
        assert sorted(rows(out)) == sorted(wanted)
        assert len(letters(out)) == len(wanted_letters)


def test_offsets_are_told_only_after_the_journal(broker, tmp_path, monkeypatch):
    """When the journal cannot be written the broker hears nothing."""
    run_stream = stream(broker)
    plain, number = Journal.commit, []

    def failing(self, *args, **kwargs):
        number.append(self.next_number)
        if self.next_number == 3:
            raise OSError(28, "No space left on device")
        return plain(self, *args, **kwargs)

    monkeypatch.setattr(Journal, "commit", failing)
    with pytest.raises(OSError, match="No space"):
        encode([], tmp_path, OPTIONS, stream=run_stream)
    told = dict(broker.committed)
    monkeypatch.undo()
    with Journal(tmp_path, {"model": "ab" * 32}) as journal:
        assert journal.last.number == 2
    assert sum(told.values()) < sum(broker.high(TOPIC, k) for k in range(2))
    run(broker, tmp_path)
    assert len(candids(tmp_path)) == len(set(candids(tmp_path)))


def test_a_client_that_repeats_itself(broker, packets, tmp_path):
    broker.repeat = True
    stop = iter(range(10_000))
    encode([], tmp_path, OPTIONS, stream=stream(broker), stop=lambda: next(stop) > 200)
    assert candids(tmp_path) == [p["candid"] for p in packets]


def test_the_same_alert_at_two_offsets(broker, packets, tmp_path):
    broker.put(TOPIC, 0, message(packets[0]), message(packets[1]))
    totals = run(broker, tmp_path)
    assert totals["duplicates"] == 2 and candids(tmp_path) == [p["candid"] for p in packets]


def test_alerts_deleted_before_they_were_read(broker, packets, tmp_path):
    encode([], tmp_path, OPTIONS, stream=stream(broker), stop=iter([False] * 3 + [True] * 9).__next__)
    broker.low[TOPIC, 1] = 3
    with pytest.raises(StreamError, match=r"/1: alerts at offsets 0 to 2 .*--skip-lost"):
        run(broker, tmp_path)
    totals = run(broker, tmp_path, skip_lost=True)
    assert totals["broken"] == 2 + 3
    lost = [x for x in letters(tmp_path) if "deleted" in x["reason"]]
    assert lost[0]["count"] == 3 and lost[0]["offset"] == 0


def test_latest_is_remembered_from_the_beginning(broker, packets, tmp_path):
    """Begun at the end, killed before the first alert: the alerts in between are not lost."""
    encode([], tmp_path, OPTIONS, stream=stream(broker, begin="latest"), stop=lambda: True)
    broker.put(TOPIC, 0, message(packets[0]))
    assert encode([], tmp_path, OPTIONS, stream=stream(broker, begin="latest"))["alerts"] == 1


def test_new_partitions_and_topics_are_found(broker, packets, tmp_path, monkeypatch):
    monkeypatch.setattr("rtf_models.stream.kafka_stream.METADATA_SECONDS", 0.0)
    begun = stream(broker, "kafka://b/^ztf_.*_programid1")
    steps = iter(range(10_000))

    def stop():
        step = next(steps)
        if step == 10:
            broker.put(TOPIC, 2, message(packets[0] | {"candid": 5}))
            broker.put("ztf_20261122_programid1", 0, message(packets[0] | {"candid": 6}))
            broker.put("other", 0, message(packets[0] | {"candid": 7}))
        return False

    encode([], tmp_path, OPTIONS, stream=begun, stop=stop)
    assert candids(tmp_path) == [5, 6, *(p["candid"] for p in packets)]


def test_only_some_partitions(broker, packets, tmp_path):
    run(broker, tmp_path, partitions=[1])
    assert candids(tmp_path) == [p["candid"] for p in packets if int(p["objectId"][3:]) % 2 == 1]


def test_errors_of_the_broker(broker, tmp_path):
    broker.failures = [KafkaError(KafkaError._PARTITION_EOF), KafkaError(7, "again", retriable=True)]
    run(broker, tmp_path)
    broker.failures = [KafkaError(29, "not authorised")]
    with pytest.raises(StreamError, match="not authorised"):
        run(broker, tmp_path)
    broker.down = True
    with pytest.raises(StreamError, match="expected a Kafka broker"):
        run(broker, tmp_path)
    with pytest.raises(StreamError, match="no topic nothing"):
        broker.down = False
        encode([], tmp_path / "new", OPTIONS, stream=stream(broker, "kafka://b/nothing"))


@pytest.mark.parametrize("text", ["kafka://host", "kafka:///topic", "http://host/topic", "kafka://host/^("])
def test_addresses_that_are_none(text):
    with pytest.raises(StreamError, match="expected kafka|regular expression"):
        KafkaAddress.parse(text)


def test_address_and_settings(tmp_path):
    address = KafkaAddress.parse("kafka://a:1,b:2/t1,t2?group.id=me&security.protocol=SSL")
    assert address.servers == "a:1,b:2" and address.topics == ("t1", "t2") and address.settings["group.id"] == "me"
    (tmp_path / "s").write_text("# secret\nsasl.password = a=b\n\n")
    assert read_settings(tmp_path / "s") == {"sasl.password": "a=b"}
    (tmp_path / "s").write_text("nonsense\n")
    with pytest.raises(StreamError, match="line 1"):
        read_settings(tmp_path / "s")


def test_the_real_client_takes_our_settings(tmp_path, monkeypatch):
    """confluent-kafka itself, with nobody at the other end."""
    pytest.importorskip("confluent_kafka")
    monkeypatch.setattr("rtf_models.stream.kafka_stream.REPLY_SECONDS", 0.2)
    real = KafkaStream(KafkaAddress.parse("kafka://localhost:1/topic"), settings={"log_level": "0"})
    with pytest.raises(StreamError, match="expected a Kafka broker"):
        encode([], tmp_path, OPTIONS, stream=real)
    real.close()
    with pytest.raises(StreamError, match="cannot be set up.*nonsense"):
        KafkaStream(KafkaAddress.parse("kafka://localhost:1/topic?nonsense=1"))
