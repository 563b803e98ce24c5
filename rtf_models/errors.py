"""The exceptions of rtf_models, and the import of optional packages."""

from __future__ import annotations

import importlib
from types import ModuleType


class RtfError(ValueError):
    """Something that the user gave (data, checkpoint, option) is not what was expected. Commands exit with 2."""


class DataError(RtfError):
    """A file or a field of it is not what was expected.

    Attributes: ``file`` (path or what the data came from), ``field`` (may be None), ``what`` was found, ``expected``.
    """

    def __init__(self, file, field: str | None, what: str, expected: str):
        self.file, self.field, self.what, self.expected = str(file), field, what, expected
        where = f"{file}" + (f", field '{field}'" if field else "")
        super().__init__(f"{where}: {what}; expected {expected}")

    def __reduce__(self):  # crosses the border of a worker process
        return type(self), (self.file, self.field, self.what, self.expected)


class NoData(DataError, FileNotFoundError):
    """A file or folder of data is not there, or there is nothing in it."""

    def __str__(self) -> str:  # FileNotFoundError would make an errno of the arguments
        return str(self.args[0])


class CheckpointError(RtfError):
    """A checkpoint cannot be read, or does not fit the model that is asked for."""


class MissingPackage(RtfError):
    """An optional package is not installed."""


def require(module: str, extra: str) -> ModuleType:
    """Imports an optional package's module.

    Args:
        module: name to import ("fastavro", "sklearn.linear_model").
        extra: the project's extra that brings the package ("rtf", "umap", "kafka").

    Raises:
        MissingPackage: it is not installed; names the package and the command that installs it.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        package = module.partition(".")[0]
        if error.name is not None and error.name.partition(".")[0] != package:
            raise  # the package is there, something that it needs is not
        raise MissingPackage(f"package '{package}' is not installed; it comes with "
                             f'pip install "venom-hw[{extra}]"') from error
