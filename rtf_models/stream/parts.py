"""Parts: files of fingerprints, Avro or Parquet, and how to read them back.

A row: objectId, candid and jd of the alert; n_detections that went into the fingerprint; the fingerprint, float32 or
int8 with the row's scale (value = scale * integer); anomaly, the calibrated score of the reconstruction error (NaN
where there is none); model, the first 8 bytes of the model file's SHA-256. File metadata: rtf.model_sha256, rtf.dim,
rtf.int8.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import require
from .errors import StreamError
from .journal import committed_files

FORMATS = ("avro", "parquet")
INT8_MAX = 127
MODEL_BYTES = 8
COLUMNS = ("objectId", "candid", "jd", "n_detections", "fingerprint", "anomaly")


@dataclass(frozen=True)
class Fingerprints:
    """N rows: object_id (N,) str; candid (N,) int64; jd (N,) float64; n_detections (N,) int32; latent (N, D) float32;
    anomaly (N,) float32; model: hexadecimal SHA-256 of the model file (or its first 8 bytes).
    """

    object_id: np.ndarray
    candid: np.ndarray
    jd: np.ndarray
    n_detections: np.ndarray
    latent: np.ndarray
    anomaly: np.ndarray
    model: str = ""

    def __len__(self) -> int:
        return len(self.candid)


def to_int8(latent: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(N, D) int8 and (N,) float32 scales, row by row: the largest absolute value becomes 127.

    A scale a row keeps directions (cosine distances) whatever the size of the fingerprint: an object unlike anything
    in training is not clipped.
    """
    scale = np.abs(latent).max(axis=1, initial=0).astype(np.float32) / np.float32(INT8_MAX)
    safe = np.where(scale > 0, scale, 1)
    return np.clip(np.rint(latent / safe[:, None]), -INT8_MAX, INT8_MAX).astype(np.int8), scale


def from_int8(values: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """(N, D) float32 of `to_int8`."""
    return values.astype(np.float32) * scale[:, None].astype(np.float32)


def avro_schema(dim: int, int8: bool) -> dict:
    """The Avro schema of a part."""
    vector = {"type": "fixed", "name": "Int8Vector", "size": dim} if int8 else {"type": "array", "items": "float"}
    doc = {"objectId": "survey's name of the object", "candid": "alert", "jd": "of the alert's exposure, days",
           "n_detections": "that went into the fingerprint",
           "fingerprint": f"{dim} signed bytes, value = scale * byte" if int8 else f"{dim} numbers",
           "anomaly": "calibrated reconstruction error, NaN where there is none",
           "model": f"first {MODEL_BYTES} bytes of the model file's SHA-256"}
    fields = [("objectId", "string"), ("candid", "long"), ("jd", "double"), ("n_detections", "int"),
              ("fingerprint", vector), *([("scale", "float")] if int8 else []), ("anomaly", "float"),
              ("model", {"type": "fixed", "name": "ModelHash", "size": MODEL_BYTES})]
    doc["scale"] = "of the fingerprint's bytes"
    return {"type": "record", "name": "Fingerprint", "namespace": "rtf",
            "fields": [{"name": name, "type": kind, "doc": doc[name]} for name, kind in fields]}


def encode_part(rows: Fingerprints, form: str, int8: bool) -> bytes:
    """The content of a part file. `form` is one of FORMATS. Raises StreamError, MissingPackage."""
    if form == "avro":
        return _encode_avro(rows, int8)
    if form == "parquet":
        return _encode_parquet(rows, int8)
    raise StreamError(f"format '{form}': expected one of {', '.join(FORMATS)}")


def _metadata(rows: Fingerprints, int8: bool) -> dict[str, str]:
    return {"rtf.model_sha256": rows.model, "rtf.dim": str(rows.latent.shape[1]), "rtf.int8": str(int8).lower()}


def _encode_avro(rows: Fingerprints, int8: bool) -> bytes:
    fastavro = require("fastavro", "rtf")
    model = bytes.fromhex(rows.model)[:MODEL_BYTES].ljust(MODEL_BYTES, b"\0")
    if int8:
        values, scale = to_int8(rows.latent)
        vectors, scales = [v.tobytes() for v in values], scale.tolist()
    else:
        vectors, scales = rows.latent.tolist(), [None] * len(rows)
    columns = zip(rows.object_id.tolist(), rows.candid.tolist(), rows.jd.tolist(), rows.n_detections.tolist(), vectors,
                  scales, rows.anomaly.tolist(), strict=True)
    records = ({"objectId": o, "candid": c, "jd": t, "n_detections": n, "fingerprint": v, "scale": s, "anomaly": a,
                "model": model} for o, c, t, n, v, s, a in columns)
    out = io.BytesIO()
    schema = fastavro.parse_schema(avro_schema(rows.latent.shape[1], int8))
    # the sync marker is random by default: with one that follows from the model, equal rows give equal files
    marker = hashlib.sha256(b"rtf fingerprints " + model).digest()[:16]
    fastavro.writer(out, schema, records, metadata=_metadata(rows, int8), sync_marker=marker)
    return out.getvalue()


def _encode_parquet(rows: Fingerprints, int8: bool) -> bytes:
    pa, pq = require("pyarrow", "rtf"), require("pyarrow.parquet", "rtf")
    count, dim = rows.latent.shape
    columns = {"objectId": pa.array(rows.object_id.tolist(), pa.string()), "candid": pa.array(rows.candid),
               "jd": pa.array(rows.jd), "n_detections": pa.array(rows.n_detections)}
    if int8:
        values, scale = to_int8(rows.latent)
        columns |= {"fingerprint": pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), dim),
                    "scale": pa.array(scale)}
    else:
        columns["fingerprint"] = pa.FixedSizeListArray.from_arrays(pa.array(rows.latent.ravel()), dim)
    columns["anomaly"] = pa.array(rows.anomaly)
    columns["model"] = pa.array([rows.model[: 2 * MODEL_BYTES]] * count, pa.string())
    table = pa.table(columns).replace_schema_metadata(_metadata(rows, int8))
    out = io.BytesIO()
    pq.write_table(table, out, compression="zstd", use_dictionary=["model"])
    return out.getvalue()


def read_part(path: str | Path) -> Fingerprints:
    """One part file, Avro or Parquet, floats again if it was int8. Raises StreamError, MissingPackage."""
    path = Path(path)
    readers = {".avro": _read_avro, ".parquet": _read_parquet}
    if path.suffix not in readers:
        raise StreamError(f"{path}: expected a name that ends in {' or '.join(readers)}")
    try:
        meta, columns = readers[path.suffix](path)
        dim, model = int(meta["rtf.dim"]), meta["rtf.model_sha256"]
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise StreamError(f"{path}: {type(error).__name__} ({error}); expected a part that encode wrote") from error
    if "scale" in columns:
        latent = from_int8(np.asarray(columns["fingerprint"], np.int8).reshape(-1, dim), np.asarray(columns["scale"]))
    else:
        latent = np.asarray(columns["fingerprint"], np.float32).reshape(-1, dim)
    return Fingerprints(np.asarray(columns["objectId"], str), np.asarray(columns["candid"], np.int64),
                        np.asarray(columns["jd"], np.float64), np.asarray(columns["n_detections"], np.int32), latent,
                        np.asarray(columns["anomaly"], np.float32), model)


def _read_avro(path: Path) -> tuple[Mapping[str, str], dict[str, list]]:
    fastavro = require("fastavro", "rtf")
    with open(path, "rb") as file:
        reader = fastavro.reader(file)
        meta = reader.metadata
        names = [f["name"] for f in reader.writer_schema["fields"]]
        columns: dict[str, list] = {name: [] for name in names}
        for record in reader:
            for name in names:
                columns[name].append(record[name])
    if "scale" in columns:
        columns["fingerprint"] = np.frombuffer(b"".join(columns["fingerprint"]), np.int8)
    return meta, columns


def _read_parquet(path: Path) -> tuple[Mapping[str, str], dict]:
    pq = require("pyarrow.parquet", "rtf")
    table = pq.read_table(path)
    meta = {k.decode(): v.decode() for k, v in (table.schema.metadata or {}).items()}
    columns = {name: table[name].to_pylist() for name in table.column_names if name != "fingerprint"}
    columns["fingerprint"] = table["fingerprint"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
    return meta, columns


def read_fingerprints(folder: str | Path) -> Iterator[Fingerprints]:
    """The committed parts of an output folder of encode, oldest first; parts that were taken away are passed over."""
    folder = Path(folder)
    for name in committed_files(folder):
        path = folder / name
        if path.suffix.removeprefix(".") in FORMATS and path.is_file():
            yield read_part(path)


def dead_letters(folder: str | Path) -> Iterator[dict]:
    """The alerts of an output folder that gave no fingerprint: where each was, and why."""
    for name in committed_files(folder):
        path = Path(folder) / name
        if path.suffix == ".jsonl" and path.is_file():
            for line in path.read_text(encoding="utf-8").splitlines():
                yield json.loads(line)
