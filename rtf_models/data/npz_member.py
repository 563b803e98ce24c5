"""Arrays of an npz file one by one: checked before they are unpacked, never unpickled, one row where one is enough."""

from __future__ import annotations

import math
import os
import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np

from ..errors import DataError

LARGEST = 1 << 31  # bytes of one array: no light curve is that large, a forged header may claim so
# What zipfile and NumPy raise of damaged bytes; NumPy reads an array's header with Python's own tokenizer and parser.
READ_ERRORS = (OSError, KeyError, ValueError, TypeError, EOFError, NotImplementedError, RuntimeError, SyntaxError,
               MemoryError, tokenize.TokenError, zipfile.BadZipFile, zlib.error)


@contextmanager
def open_npz(path: str | Path) -> Iterator[zipfile.ZipFile]:
    """The npz file as a zip archive; whatever is wrong with it, then or while the block reads, is a DataError."""
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except DataError:
        raise
    except READ_ERRORS as error:
        raise DataError(path, None, f"cannot be read ({type(error).__name__}: {error})", "a whole npz file") from error


def keys(archive: zipfile.ZipFile) -> list[str]:
    """Names of the arrays."""
    return [name.removesuffix(".npy") for name in archive.namelist()]


def header(path, file: BinaryIO, key: str) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Shape, Fortran order and type; the file then stands at the first value."""
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = read(file)
    if dtype.hasobject:
        raise DataError(path, key, "Python objects", "numbers or text (nothing is unpickled)")
    if math.prod(shape) * dtype.itemsize > LARGEST:
        raise DataError(path, key, f"an array of shape {shape}", f"at most {LARGEST >> 20} MiB")
    return shape, fortran, dtype


def read_member(path, archive: zipfile.ZipFile, key: str) -> np.ndarray:
    """One array, whole; its checksum is verified. DataError if it is missing, damaged or holds Python objects."""
    if f"{key}.npy" not in archive.namelist():
        raise DataError(path, key, "missing", f"an array; the file has {', '.join(keys(archive)) or 'none'}")
    with archive.open(f"{key}.npy") as file:
        shape, fortran, dtype = header(path, file, key)
        data = file.read()  # to the end, so that the archive compares the checksum
    count = math.prod(shape)
    if len(data) != count * dtype.itemsize:
        raise DataError(path, key, f"{len(data)} bytes for shape {shape}", f"{count * dtype.itemsize}")
    flat = np.frombuffer(data, dtype, count) if len(data) else np.empty(count, dtype)
    return flat.reshape(shape, order="F" if fortran else "C")


def member_shape(path, archive: zipfile.ZipFile, key: str) -> tuple[int, ...]:
    """Shape of an array, from its header."""
    with archive.open(f"{key}.npy") as file:
        return header(path, file, key)[0]


def read_row(path, archive: zipfile.ZipFile, key: str, row: int) -> np.ndarray:
    """array[row] without the rest: sought where the array is stored plain, unpacked only up to it where compressed."""
    info = archive.getinfo(f"{key}.npy")
    stored = info.compress_type == zipfile.ZIP_STORED
    with _stored_bytes(path, info) if stored else archive.open(info) as file:
        shape, fortran, dtype = header(path, file, key)
        if fortran or not shape or not 0 <= row < shape[0]:
            raise DataError(path, key, f"no row {row} in shape {shape}", "a row of a C-ordered array")
        size = math.prod(shape[1:]) * dtype.itemsize
        if stored:
            file.seek(row * size, os.SEEK_CUR)
        else:
            for _ in range(row):
                file.read(size)
        data = file.read(size)
    if len(data) != size:
        raise DataError(path, key, f"ends within row {row}", f"{shape[0]} rows")
    return np.frombuffer(data, dtype).reshape(shape[1:])


def _stored_bytes(path, info: zipfile.ZipInfo) -> BinaryIO:
    """The file itself at the first byte of a member that is not compressed (zipfile's own seek reads up to the place).

    PKZIP Application Note 4.3.7: a local header of 30 bytes, the name and extra fields, then the data.
    """
    file = open(path, "rb")
    try:
        file.seek(info.header_offset)
        local = file.read(30)
        if local[:4] != b"PK\3\4":
            raise zipfile.BadZipFile(f"no local header for {info.filename}")
        file.seek(int.from_bytes(local[26:28], "little") + int.from_bytes(local[28:30], "little"), os.SEEK_CUR)
    except BaseException:
        file.close()
        raise
    return file
