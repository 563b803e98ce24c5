"""Alert packets out of files: Avro, Parquet, and the original's alerts.npy, which is read as data and never run."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from venom_hw.inert_pickle import PickleError, read_plain

from ..errors import DataError, require
from .npz_member import READ_ERRORS
from .stamp import CUTOUTS

SUFFIXES = (".avro", ".parquet")
NPY = "alerts.npy"
_COLUMNS = ("objectId", "candid", "schemavsn", "candidate", "prv_candidates", *CUTOUTS)
_ROWS = 64  # of a Parquet file that are in memory at a time


def read_packets(path: str | os.PathLike) -> Iterator[dict]:
    """The packets of a file, by its name: *.avro, *.parquet, *.npy.

    Raises:
        DataError: while reading, at what is damaged. MissingPackage: fastavro or pyarrow is not installed.
    """
    readers = {".avro": read_avro, ".parquet": read_parquet, ".npy": read_alerts_npy}
    suffix = Path(path).suffix
    if suffix not in readers:
        raise DataError(path, None, f"file type '{suffix}'", " | ".join(readers))
    return iter(readers[suffix](path))


def read_avro(path: str | os.PathLike) -> Iterator[dict]:
    """The packets of an Avro object container file, one at a time, whatever their schema version."""
    fastavro = require("fastavro", "rtf")
    try:
        with open(path, "rb") as file:
            for packet in fastavro.reader(file):
                yield _checked(path, packet)
    except DataError:
        raise
    except Exception as error:  # fastavro lets through whatever the damaged bytes provoke
        raise _unreadable(path, error, "an Avro object container file") from error


def read_parquet(path: str | os.PathLike) -> Iterator[dict]:
    """The packets of a Parquet file, a row each, in small groups; other columns than a packet's are not read."""
    parquet = require("pyarrow.parquet", "rtf")
    try:
        with parquet.ParquetFile(path) as file:
            columns = [x for x in file.schema_arrow.names if x in _COLUMNS]
            if "candidate" not in columns:
                raise DataError(path, "candidate", "no such column", "alert packets, one a row")
            for batch in file.iter_batches(_ROWS, columns=columns):
                for row in batch.to_pylist():
                    yield _checked(path, row)
    except DataError:
        raise
    except Exception as error:  # pyarrow has exceptions of many kinds for damaged files
        raise _unreadable(path, error, "a Parquet file of alert packets") from error


def parquet_ids(path: str | os.PathLike) -> list[str]:
    """`objectId` of each row of a Parquet file; reads that column alone."""
    parquet = require("pyarrow.parquet", "rtf")
    try:
        return [str(x) for x in parquet.read_table(path, columns=["objectId"])["objectId"].to_pylist()]
    except Exception as error:
        raise _unreadable(path, error, "a Parquet file of alert packets with the column objectId") from error


def read_alerts_npy(path: str | os.PathLike) -> list[dict]:
    """The packets of the original's alerts.npy, a pickled object array of dictionaries.

    A pickle is a program; this reader never runs it. It makes dictionaries, lists, texts, bytes, numbers and NumPy
    arrays of it; a file that names anything else is refused.

    Raises:
        DataError: the file is damaged, names something else, or is no 1-D array of packets.
    """
    try:
        with open(path, "rb") as file:
            version = np.lib.format.read_magic(file)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, _, dtype = read(file)
            rest = file.read()
    except READ_ERRORS as error:
        raise _unreadable(path, error, "a NumPy file of alert packets") from error
    if dtype != np.dtype(object):
        raise DataError(path, None, f"an array of {dtype}", "an object array of alert packets")
    try:
        packets = read_plain(rest, str(path))
    except PickleError as error:
        raise DataError(path, None, str(error), "a pickled array of plain alert packets") from error
    if isinstance(packets, np.ndarray):
        packets = packets.ravel().tolist() if packets.ndim < 2 else packets
    if not isinstance(packets, list) or len(shape) > 1:
        raise DataError(path, None, f"{type(packets).__name__} of shape {shape}", "a 1-D array of alert packets")
    return [_checked(path, packet) for packet in packets]


def _checked(path, packet) -> dict:
    if not isinstance(packet, Mapping) or not isinstance(packet.get("candidate"), Mapping):
        raise DataError(path, "candidate", "a record without it", "alert packets")
    return dict(packet)


def _unreadable(path, error: Exception, expected: str) -> DataError:
    return DataError(path, None, f"cannot be read ({type(error).__name__}: {str(error)[:200]})", expected)
