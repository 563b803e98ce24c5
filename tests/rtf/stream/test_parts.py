"""Part files: what goes in comes out, Avro and Parquet, float and int8; other programs can read them."""

import fastavro
import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from rtf_models.stream.errors import StreamError
from rtf_models.stream.parts import Fingerprints, encode_part, from_int8, read_part, to_int8


def some(count=5, dim=64, seed=0):
    rng = np.random.default_rng(seed)
    names = np.array([f"ZTF{k}" for k in range(count)])
    return Fingerprints(names, np.arange(count) + 2**61, 2.46e6 + rng.random(count),
                        np.arange(count, dtype=np.int32) + 1, rng.normal(0, 3, (count, dim)).astype(np.float32),
                        np.where(np.arange(count) % 2, np.nan, rng.normal(size=count)).astype(np.float32), "0f" * 32)


@pytest.mark.parametrize("form", ["avro", "parquet"])
def test_floats_come_back_to_the_bit(tmp_path, form):
    rows = some()
    (tmp_path / f"part.{form}").write_bytes(encode_part(rows, form, int8=False))
    found = read_part(tmp_path / f"part.{form}")
    for name in ("object_id", "candid", "jd", "n_detections", "latent", "anomaly"):
        np.testing.assert_array_equal(getattr(found, name), getattr(rows, name))
    assert found.model == rows.model


@pytest.mark.parametrize("form", ["avro", "parquet"])
def test_int8_is_within_half_a_step_and_a_third_of_the_size(tmp_path, form):
    rows = some(200)
    small, large = encode_part(rows, form, int8=True), encode_part(rows, form, int8=False)
    assert len(small) < 0.5 * len(large)
    (tmp_path / f"part.{form}").write_bytes(small)
    found = read_part(tmp_path / f"part.{form}").latent
    step = np.abs(rows.latent).max(axis=1, keepdims=True) / 127
    assert (np.abs(found - rows.latent) <= 0.5001 * step).all()
    cosine = (found * rows.latent).sum(1) / np.linalg.norm(found, axis=1) / np.linalg.norm(rows.latent, axis=1)
    assert cosine.min() > 0.9999


@given(arrays(np.float32, (3, 4), elements=st.floats(-(2.0**60), 2.0**60, width=32)))
def test_int8_never_wraps(latent):
    values, scale = to_int8(latent)
    assert values.min() >= -127
    back = from_int8(values, scale)
    assert (np.abs(back - latent) <= 0.51 * np.abs(latent).max(axis=1, keepdims=True) / 127 + 1e-37).all()


def test_zero_fingerprint_has_scale_zero():
    values, scale = to_int8(np.zeros((1, 4), np.float32))
    assert not values.any() and scale[0] == 0


def test_other_readers_see_plain_types(tmp_path):
    rows = some()
    (tmp_path / "p.avro").write_bytes(encode_part(rows, "avro", int8=False))
    with open(tmp_path / "p.avro", "rb") as file:
        reader = fastavro.reader(file)
        first = next(reader)
        assert reader.metadata["rtf.model_sha256"] == rows.model
    assert len(first["fingerprint"]) == 64 and first["model"] == bytes.fromhex("0f" * 8)
    (tmp_path / "p.parquet").write_bytes(encode_part(rows, "parquet", int8=True))
    table = pq.read_table(tmp_path / "p.parquet")
    assert str(table.schema.field("fingerprint").type) == "fixed_size_list<element: int8>[64]"
    assert table["model"][0].as_py() == "0f" * 8


def test_equal_rows_give_equal_files():
    assert encode_part(some(), "avro", int8=True) == encode_part(some(), "avro", int8=True)


def test_a_row_is_small():
    """64 floats are 256 bytes; name, candid, time, count, score and model may not cost much more."""
    rows = some(1000)
    assert len(encode_part(rows, "avro", int8=False)) / 1000 < 256 + 48
    assert len(encode_part(rows, "avro", int8=True)) / 1000 < 64 + 48


@pytest.mark.parametrize("content", [b"", b"Obj\x01", b"PAR1", b"x" * 100])
@pytest.mark.parametrize("form", ["avro", "parquet"])
def test_damaged_parts_say_so(tmp_path, form, content):
    (tmp_path / f"p.{form}").write_bytes(content)
    with pytest.raises(StreamError, match="expected a part"):
        read_part(tmp_path / f"p.{form}")
