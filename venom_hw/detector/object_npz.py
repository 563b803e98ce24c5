"""Arrays of an npz file, those of objects included, without unpickling (see `inert_pickle`)."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np

from venom_hw.inert_pickle import PieceError, plain

from .errors import DataError
from .inert_pickle import read_pickle


class ObjectNpz:
    """An npz file opened for reading: names in `files`, `read(name)` gives an array, or what a 0-d object array
    holds."""

    def __init__(self, path):
        self.path = Path(path)
        try:
            with zipfile.ZipFile(self.path) as archive:
                self.files = [name.removesuffix(".npy") for name in archive.namelist()]
        except (OSError, zipfile.BadZipFile) as error:
            raise DataError(self.path, None, f"cannot be read ({error})", "a NumPy npz file") from error

    def read(self, name: str):
        """Raises DataError for a missing or damaged array, UnsafePickle for objects that are not data."""
        if name not in self.files:
            raise DataError(self.path, name, "missing key", f"one of {', '.join(self.files)}")
        try:
            with zipfile.ZipFile(self.path) as archive:
                data = archive.read(f"{name}.npy")
            file = io.BytesIO(data)
            version = np.lib.format.read_magic(file)
            header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            _, _, dtype = header(file)
            if dtype == np.dtype(object):
                return plain(read_pickle(data[file.tell():], f"{self.path}, field '{name}'"))
            return np.load(io.BytesIO(data), allow_pickle=False)
        except PieceError as error:
            raise DataError(self.path, name, str(error), "an array") from error
        except DataError:
            raise
        except (ValueError, OSError, EOFError, zipfile.BadZipFile, KeyError) as error:
            raise DataError(self.path, name, f"cannot be read ({error})", "a NumPy array") from error
