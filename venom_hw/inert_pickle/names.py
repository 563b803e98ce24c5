"""What any pickle of data may name (containers, NumPy), and what each name makes. Nothing here imports them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from .arrays import SCALARS, PickledArray, PickledDtype, PieceError, scalar


@dataclass(eq=False)
class StandIn:
    """What stands for an object of a class that is never imported: its name, arguments, state and items."""

    name: str
    arguments: tuple = ()
    state: dict = field(default_factory=dict)
    items: list = field(default_factory=list)

    def get(self, key: str, default=None):
        """An attribute of the pickled object."""
        return self.state.get(key, default)

    def __repr__(self):  # the contents may contain the object itself
        return f"<stand-in for {self.name}>"


@dataclass(frozen=True)
class Name:
    """A global that the pickle mentions and that the tables know; `make` turns arguments into a value."""

    full: str
    make: Any


def _reconstruct(name, *rest):
    if not isinstance(name, Name) or name.full != "numpy.ndarray":
        raise PieceError("an array of a class other than numpy.ndarray")
    return PickledArray()


def _reconstructor(name, base=None, state=None):
    if not isinstance(name, Name) or not isinstance(base, Name) or base.full != "builtins.object":
        raise PieceError("copyreg._reconstructor of something other than an allowed class")
    return name.make()


def _latin1(text="", encoding="latin1"):
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise PieceError("_codecs.encode with other arguments than (text, 'latin1')")
    return text.encode("latin-1")


def _bytearray(data=b"", encoding="latin-1"):
    return data.encode("latin-1") if isinstance(data, str) else bytes(only(data, bytes))


def only(value, *kinds):
    if not isinstance(value, kinds):
        raise PieceError(f"a {type(value).__name__} where {' or '.join(k.__name__ for k in kinds)} belongs")
    return value


def _no_call(*arguments):
    raise PieceError("a call of a type that is only mentioned")


def _known_names() -> dict[str, Any]:
    table: dict[str, Any] = {
        "collections.OrderedDict": lambda pairs=(): dict(only(pairs, list, tuple)),
        "collections.defaultdict": lambda factory=None: {},
        "_codecs.encode": _latin1,
        "numpy.ndarray": _no_call,
        "numpy.dtype": lambda code, *flags: PickledDtype(code),
    }
    for core in ("numpy.core", "numpy._core"):
        table[f"{core}.multiarray._reconstruct"] = _reconstruct
        table[f"{core}.multiarray.scalar"] = scalar
        table[f"{core}.numeric._frombuffer"] = lambda data, dtype, shape, order: PickledArray().fill(
            data, dtype, shape, order)
    for module in ("copyreg", "copy_reg"):
        table[f"{module}._reconstructor"] = _reconstructor
    for module in ("builtins", "__builtin__"):
        for kind in ("object", "list", "dict", "tuple", "int", "float", "str", "bool"):
            table[f"{module}.{kind}"] = _no_call
        table[f"{module}.set"] = lambda items=(): set(only(items, list, tuple))
        table[f"{module}.frozenset"] = lambda items=(): frozenset(only(items, list, tuple))
        table[f"{module}.complex"] = lambda re=0.0, im=0.0: complex(only(re, int, float), only(im, int, float))
        table[f"{module}.bytearray"] = _bytearray
        table[f"{module}.bytes"] = lambda: b""  # how the oldest protocols write it
    table |= {f"numpy.{kind}": _no_call for kind in SCALARS}
    return table


KNOWN = _known_names()
