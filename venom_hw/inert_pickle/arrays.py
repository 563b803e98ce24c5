"""NumPy arrays, scalars and types out of a pickle's pieces, made by us from plain bytes.

NumPy's own ``__setstate__`` trusts what it is given; here each piece is checked and the array is made by
``numpy.frombuffer``, so a forged state is an error and nothing worse.
"""

from __future__ import annotations

import math
import re

import numpy as np

_CODE = re.compile(r"^[<>=|]?(?:[biufc]\d{1,2}|[SUVa]\d*|[Mm]8(?:\[[0-9a-zA-Z]+\])?|O8?|\?)$")
SCALARS = {"bool", "bool_", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float16",
           "float32", "float64", "complex64", "complex128", "str_", "bytes_", "object_"}


class PieceError(ValueError):
    """A pickled array, scalar or type is not what NumPy writes."""


def _bytes(data, what: str) -> bytes:
    if isinstance(data, str):  # Python 2 wrote bytes as text
        try:
            return data.encode("latin-1")
        except UnicodeEncodeError:
            raise PieceError(f"{what} is text beyond latin-1, expected bytes") from None
    if not isinstance(data, bytes | bytearray):
        raise PieceError(f"{what} is a {type(data).__name__}, expected bytes")
    return bytes(data)


def _shape(shape) -> tuple[int, ...]:
    shape = (shape,) if isinstance(shape, int) else shape
    if not isinstance(shape, tuple) or not all(type(n) is int and n >= 0 for n in shape) or len(shape) > 32:
        raise PieceError(f"array shape {str(shape)[:60]}, expected whole numbers")
    return shape


class PickledDtype:
    """A NumPy type of a pickle; `.value` once its state is set."""

    def __init__(self, code):
        if isinstance(code, PickledDtype):
            self.value = code.value
            return
        text = code.decode("ascii", "replace") if isinstance(code, bytes) else code
        if not isinstance(text, str) or not _CODE.match(text):
            raise PieceError(f"NumPy type {str(code)[:60]!r}, expected a code such as 'f8'")
        try:
            self.value = np.dtype("S" + text[1:] if text.startswith("a") else text)
        except TypeError as error:
            raise PieceError(f"NumPy type {text!r}: {error}") from None

    def set_state(self, state) -> None:
        """(version, byte order, subtype, names, fields, item size, alignment, flags), as dtype.__reduce__ writes."""
        if not isinstance(state, tuple) or len(state) < 5:
            raise PieceError("state of a NumPy type, expected a tuple of 5 or more")
        order, subtype, names, members = state[1:5]
        try:
            if subtype is not None:
                base, shape = subtype
                self.value = np.dtype((base.value, _shape(shape)))
            elif names is not None:
                entries = [members[name] for name in names]
                self.value = np.dtype({"names": [_text(n) for n in names], "formats": [e[0].value for e in entries],
                                       "offsets": [int(e[1]) for e in entries], "itemsize": int(state[5])})
            elif isinstance(order, str | bytes) and _text(order) in "<>":
                self.value = self.value.newbyteorder(_text(order))
        except PieceError:
            raise
        except (AttributeError, KeyError, IndexError, TypeError, ValueError) as error:
            raise PieceError(f"state of a NumPy type: {error}") from None


def _text(value) -> str:
    if isinstance(value, bytes):
        return value.decode("latin-1")
    if not isinstance(value, str) or not value:
        raise PieceError(f"{str(value)[:40]!r} in a NumPy type, expected text")
    return value


class PickledArray:
    """An array of a pickle; `.value` once its state is set (object arrays hold what the pickle held)."""

    def __init__(self):
        self._value = None

    @property
    def value(self) -> np.ndarray:
        if self._value is None:
            raise PieceError("an array without contents")
        return self._value

    def set_state(self, state) -> None:
        """([version,] shape, type, Fortran order, data), as ndarray.__reduce__ writes."""
        if not isinstance(state, tuple) or len(state) not in (4, 5):
            raise PieceError("state of an array, expected a tuple of 4 or 5")
        shape, dtype, fortran, data = state[-4:]
        self.fill(data, dtype, shape, "F" if fortran is True or fortran == 1 else "C")

    def fill(self, data, dtype, shape, order) -> PickledArray:
        shape = _shape(shape)
        if not isinstance(dtype, PickledDtype):
            raise PieceError("an array without a NumPy type")
        if order not in ("C", "F"):
            raise PieceError(f"array order {str(order)[:20]!r}, expected 'C' or 'F'")
        count = math.prod(shape)
        if dtype.value == np.dtype(object):
            if not isinstance(data, list) or len(data) != count:
                raise PieceError(f"an object array of shape {shape}, expected a list of {count}")
            flat = np.empty(count, object)
            for k, item in enumerate(data):  # a slice would unpack lists of one length
                flat[k] = item
        elif dtype.value.hasobject:
            raise PieceError("an array of structures that hold objects, expected plain numbers")
        else:
            data = _bytes(data, "an array's contents")
            if len(data) != count * dtype.value.itemsize:
                raise PieceError(f"{len(data)} bytes for an array of shape {shape} and type {dtype.value}, expected "
                                 f"{count * dtype.value.itemsize}")
            flat = np.frombuffer(data, dtype.value) if len(data) else np.empty(count, dtype.value)
        self._value = flat.reshape(shape, order=order)
        return self


def scalar(dtype, data=None):
    """numpy._core.multiarray.scalar: a NumPy number from its bytes."""
    if not isinstance(dtype, PickledDtype):
        raise PieceError("a NumPy scalar without a type")
    if dtype.value == np.dtype(object):
        return data
    return PickledArray().fill(data, dtype, (), "C").value[()]


def plain(value):
    """The array of a PickledArray, 0-d object arrays as what they hold; anything else as it is."""
    for _ in range(8):  # wrapped in each other, or, forged, in itself
        if isinstance(value, PickledArray):
            value = value.value
        if not (isinstance(value, np.ndarray) and value.ndim == 0 and value.dtype == object):
            return value
        value = value.item()
    raise PieceError("an array inside an array inside an array ...")
