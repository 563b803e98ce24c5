"""Alert packets out of files: Avro, Parquet and alerts.npy, real and made up; the broken and the dangerous."""

import io
import os
import pickle
from collections import Counter

import numpy as np
import pytest

from rtf_models.data.packets import read_alerts_npy, read_avro, read_packets, read_parquet
from rtf_models.errors import DataError

fastavro = pytest.importorskip("fastavro")
parquet = pytest.importorskip("pyarrow.parquet")


def packets(count=3):
    return [{"objectId": "ZTF20abc", "candid": k, "schemavsn": "3.3",
             "candidate": {"jd": 2459000.5 + k, "fid": 1 + k % 2, "magpsf": 18.0 + k, "sigmapsf": 0.1, "rb": None},
             "prv_candidates": None, "cutoutScience": {"fileName": "s", "stampData": bytes([k] * 50)}}
            for k in range(count)]


def write_avro(path, records):
    number = ["null", "double"]
    schema = fastavro.parse_schema({"type": "record", "name": "alert", "fields": [
        {"name": "objectId", "type": "string"}, {"name": "candid", "type": "long"},
        {"name": "schemavsn", "type": "string"},
        {"name": "candidate", "type": {"type": "record", "name": "candidate", "fields": [
            {"name": "jd", "type": "double"}, {"name": "fid", "type": "int"}, {"name": "magpsf", "type": number},
            {"name": "sigmapsf", "type": number}, {"name": "rb", "type": number}]}},
        {"name": "prv_candidates", "type": ["null", {"type": "array", "items": "candidate"}]},
        {"name": "cutoutScience", "type": {"type": "record", "name": "cutout", "fields": [
            {"name": "fileName", "type": "string"}, {"name": "stampData", "type": "bytes"}]}}]})
    with open(path, "wb") as file:
        fastavro.writer(file, schema, records)


def write_parquet(path, records):
    import pyarrow

    parquet.write_table(pyarrow.Table.from_pylist(records), path)


def write_npy(path, records):
    array = np.empty(len(records), object)
    array[:] = records
    np.save(path, array, allow_pickle=True)


WRITERS = {".avro": write_avro, ".parquet": write_parquet, ".npy": write_npy}


@pytest.mark.parametrize("suffix", WRITERS)
def test_what_was_written_is_read(tmp_path, suffix):
    path = tmp_path / f"alerts{suffix}"
    WRITERS[suffix](path, packets(150))
    found = list(read_packets(path))
    assert found == packets(150)


@pytest.mark.parametrize("suffix", WRITERS)
def test_damaged_files_are_named(tmp_path, suffix):
    path = tmp_path / f"alerts{suffix}"
    WRITERS[suffix](path, packets(20))
    data = path.read_bytes()
    for damaged in (data[: len(data) // 2], b"", b"nothing of the kind" * 20, data[:40],
                    data[:12] + b"('{[" * 9 + data[48:], data[:20] + bytes(30) + data[50:]):
        path.write_bytes(damaged)
        with pytest.raises(DataError, match=path.name):
            list(read_packets(path))
    path.unlink()
    with pytest.raises(DataError, match=path.name):
        list(read_packets(path))


def test_other_records_are_refused(tmp_path):
    write_parquet(tmp_path / "a.parquet", [{"objectId": "x", "flux": 3.0}])
    with pytest.raises(DataError, match="candidate"):
        list(read_parquet(tmp_path / "a.parquet"))
    write_npy(tmp_path / "a.npy", [{"objectId": "x"}])
    with pytest.raises(DataError, match="candidate"):
        read_alerts_npy(tmp_path / "a.npy")
    np.save(tmp_path / "b.npy", np.arange(3.0))
    with pytest.raises(DataError, match="float64"):
        read_alerts_npy(tmp_path / "b.npy")
    with pytest.raises(DataError, match=r"\.txt"):
        read_packets(tmp_path / "a.txt")


def test_numpy_values_of_a_pickle(tmp_path):
    """Arrays and NumPy numbers inside packets, as some brokers' dictionaries have them."""
    packet = packets(1)[0]
    packet["candidate"] |= {"magpsf": np.float64(18.25), "fid": np.int32(2), "history": np.arange(3.0)}
    write_npy(tmp_path / "alerts.npy", [packet])
    candidate = read_alerts_npy(tmp_path / "alerts.npy")[0]["candidate"]
    assert candidate["magpsf"] == 18.25 and candidate["fid"] == 2
    np.testing.assert_array_equal(candidate["history"], np.arange(3.0))


class Payload:
    """Pickles to a call of `function`."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def payloads(marker):
    return {"system": Payload(os.system, f"touch {marker}"), "eval": Payload(eval, f"open({str(marker)!r}, 'w')"),
            "open": Payload(open, str(marker), "w"), "nested": {"jd": [Payload(os.mkdir, str(marker))]},
            "import": Payload(__import__, "this"), "a class of ours": Counter(a=1)}


@pytest.mark.parametrize("name", payloads(""))
@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
def test_payloads_are_refused_and_never_run(tmp_path, name, protocol):
    """The same file, loaded the original's way, does run: so the test can fail."""
    marker = tmp_path / "it ran".replace(" ", "_")
    packet = packets(1)[0]
    packet["candidate"]["rb"] = payloads(marker)[name]
    array = np.empty(1, object)
    array[0] = packet
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "|O", "fortran_order": False, "shape": (1,)})
    path = tmp_path / "alerts.npy"
    path.write_bytes(file.getvalue() + pickle.dumps(array, protocol=protocol))
    with pytest.raises(DataError, match=r"alerts\.npy"):
        read_alerts_npy(path)
    assert not marker.exists()
    if name in ("system", "open"):
        np.load(path, allow_pickle=True)
        assert marker.exists()


def test_all_real_packets(ztf_folder):
    """161 packets, schemas 3.2 to 4.02, in Avro and Parquet."""
    avro = [packet for path in sorted((ztf_folder / "alerts_avro").glob("*.avro")) for packet in read_avro(path)]
    rows = [packet for path in sorted((ztf_folder / "alerts_parquet").glob("*.parquet"))
            for packet in read_parquet(path)]
    assert len(avro) == 20 and len(rows) == 141
    versions = {str(packet["schemavsn"]) for packet in avro + rows}
    assert {"3.3", "4.01"} <= versions and len(versions) > 4
    for packet in avro + rows:
        assert packet["objectId"].startswith("ZTF")
        assert packet["candidate"]["jd"] > 2458000
        assert isinstance(packet["cutoutScience"]["stampData"], bytes)
    assert not any("tnsclass" in packet for packet in rows)  # other columns are not read


def test_real_packets_through_the_originals_file(ztf_folder, tmp_path):
    """Real packets pickled as the original has them give the same dictionaries back."""
    found = list(read_parquet(ztf_folder / "alerts_parquet" / "superluminous_74.parquet"))[:10]
    write_npy(tmp_path / "alerts.npy", found)
    again = read_alerts_npy(tmp_path / "alerts.npy")
    assert repr(again) == repr(found)  # repr: NaN is equal to itself there
