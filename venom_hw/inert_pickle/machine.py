"""Read a pickle as data, without ever running anything that it names.

A pickle is a program for a small stack machine; Python's own unpickler lets that program import and call whatever it
likes. This reader is another machine for the same opcodes (decoded by the standard library's ``pickletools``, which
executes nothing). A name in the pickle is looked up in a table of ours:

* plain containers (OrderedDict, set, ...) and NumPy arrays are made by our own functions;
* names and packages on the caller's allow-list become `StandIn` objects, which only remember their name and contents;
* any other name is refused by an `UnsafePickle` error.

Nothing is imported, no name is resolved by Python, and no object of the pickle has behaviour.
"""

from __future__ import annotations

import pickletools
from collections.abc import Iterable
from typing import Any

import numpy as np

from .arrays import PickledArray, PickledDtype, PieceError, plain
from .names import KNOWN, Name, StandIn, only


class PickleError(ValueError):
    """A damaged pickle. Attributes as in the message: `source`, `field` (an opcode or None), `found`, `expected`."""

    def __init__(self, source, field, found: str, expected: str):
        self.source, self.field, self.found, self.expected = str(source), field, found, expected
        where = f"{source}" + (f", field '{field}'" if field else "")
        super().__init__(f"{where}: {found}; expected {expected}")


class UnsafePickle(PickleError):
    """A pickle names something that is neither data nor on the allow-list."""


_REFUSED_OPCODES = {"PERSID": "a persistent id", "BINPERSID": "a persistent id", "EXT1": "an extension code",
                    "EXT2": "an extension code", "EXT4": "an extension code",
                    "NEXT_BUFFER": "a buffer outside the file", "READONLY_BUFFER": "a buffer outside the file"}
_MARK = object()


class _Machine:
    """The stack machine. One method an opcode; see pickletools for what each does."""

    def __init__(self, source, allowed: Iterable[str], boxed: tuple[str, ...], expected: str):
        self.source, self.allowed, self.boxed, self.expected = source, frozenset(allowed), boxed, expected
        self.stack: list = []
        self.memo: dict[int, Any] = {}
        self.refused: dict[str, None] = {}  # names, in order

    def run(self, data: bytes):
        """The pickle's value. A refused name does not end the reading at once, so that the error can list them all."""
        try:
            value = self.read(data)
        except PickleError:
            if not self.refused:
                raise
        if not self.refused:
            return value
        names = [f"'{name}'" for name in self.refused]
        more = f" and {len(names) - 12} more" if len(names) > 12 else ""
        verb = "which is" if len(names) == 1 else "which are"
        raise UnsafePickle(self.source, None, f"names {', '.join(names[:12])}{more}, {verb} not on the allow-list",
                           self.expected)

    def read(self, data: bytes):
        try:
            for opcode, argument, position in pickletools.genops(data):
                if opcode.name == "STOP":
                    return self.stack.pop()
                if opcode.name in _REFUSED_OPCODES:
                    raise UnsafePickle(self.source, opcode.name, f"{_REFUSED_OPCODES[opcode.name]} at byte {position}",
                                       "a self-contained pickle of data")
                method = getattr(self, f"op_{opcode.name}", None)
                if method is not None:
                    method(argument)
                elif opcode.name in _VALUES:
                    self.stack.append(argument)
                else:
                    raise PieceError(f"opcode {opcode.name}")
        except PickleError:
            raise
        except Exception as error:  # whatever a broken or forged stream leads to
            raise PickleError(self.source, None, f"not a pickle that can be read ({type(error).__name__}: {error})",
                            "a pickle of data, whole") from error
        raise PickleError(self.source, None, "a pickle without an end", "a whole file")

    # names
    def name(self, module: str, name: str) -> Name:
        full = f"{only(module, str)}.{only(name, str)}"
        if full in KNOWN:
            return Name(full.replace("__builtin__", "builtins"), KNOWN[full])
        boxed = any(module == room or module.startswith(room + ".") for room in self.boxed) and "." not in name
        if full in self.allowed or boxed:
            return Name(full, lambda *arguments: StandIn(full, arguments))
        self.refused[full] = None
        return Name(full, lambda *arguments: StandIn(full, arguments))

    def op_GLOBAL(self, argument):
        module, _, name = argument.partition(" ")
        self.stack.append(self.name(module, name))

    def op_STACK_GLOBAL(self, _):
        name, module = self.stack.pop(), self.stack.pop()
        self.stack.append(self.name(module, name))

    def call(self, name, arguments, keywords=None):
        if isinstance(name, StandIn):  # a boxed function that the pickle wants called
            return StandIn(f"{name.name}()", tuple(arguments))
        if not isinstance(name, Name):
            raise PieceError(f"a call of a {type(name).__name__}")
        result = name.make(*only(arguments, tuple))
        if keywords:
            only(result, StandIn).items.append(only(keywords, dict))
        return result

    def op_REDUCE(self, _):
        arguments = self.stack.pop()
        self.stack.append(self.call(self.stack.pop(), arguments))

    op_NEWOBJ = op_REDUCE

    def op_NEWOBJ_EX(self, _):
        keywords, arguments = self.stack.pop(), self.stack.pop()
        self.stack.append(self.call(self.stack.pop(), arguments, keywords))

    def op_INST(self, argument):
        arguments = tuple(self.above_mark())
        self.op_GLOBAL(argument)
        self.stack.append(self.call(self.stack.pop(), arguments))

    def op_OBJ(self, _):
        name, *arguments = self.above_mark()
        self.stack.append(self.call(name, tuple(arguments)))

    def op_BUILD(self, _):
        state, target = self.stack.pop(), self.stack[-1]
        if isinstance(target, PickledArray | PickledDtype):
            target.set_state(state)
        elif isinstance(target, StandIn):
            parts = state if isinstance(state, tuple) and len(state) == 2 else (state,)
            if all(part is None or isinstance(part, dict) for part in parts):
                for part in parts:
                    target.state.update(part or {})
            else:
                target.items.append(state)
        else:
            raise PieceError(f"a state for a {type(target).__name__}")

    # stack and memo
    def above_mark(self) -> list:
        place = len(self.stack) - 1
        while self.stack[place] is not _MARK:
            place -= 1
            if place < 0:
                raise PieceError("no mark on the stack")
        items = self.stack[place + 1:]
        del self.stack[place:]
        return items

    def op_MARK(self, _):
        self.stack.append(_MARK)

    def op_POP(self, _):
        self.stack.pop()

    def op_POP_MARK(self, _):
        self.above_mark()

    def op_DUP(self, _):
        self.stack.append(self.stack[-1])

    def op_PROTO(self, _):
        pass

    op_FRAME = op_PROTO

    def op_PUT(self, argument):
        self.memo[argument] = self.stack[-1]

    op_BINPUT = op_LONG_BINPUT = op_PUT

    def op_MEMOIZE(self, _):
        self.memo[len(self.memo)] = self.stack[-1]

    def op_GET(self, argument):
        self.stack.append(self.memo[argument])

    op_BINGET = op_LONG_BINGET = op_GET

    # constants and containers
    def op_NONE(self, _):
        self.stack.append(None)

    def op_NEWTRUE(self, _):
        self.stack.append(True)

    def op_NEWFALSE(self, _):
        self.stack.append(False)

    def op_EMPTY_LIST(self, _):
        self.stack.append([])

    def op_EMPTY_TUPLE(self, _):
        self.stack.append(())

    def op_EMPTY_DICT(self, _):
        self.stack.append({})

    def op_EMPTY_SET(self, _):
        self.stack.append(set())

    def op_LIST(self, _):
        self.stack.append(self.above_mark())

    def op_TUPLE(self, _):
        self.stack.append(tuple(self.above_mark()))

    def op_FROZENSET(self, _):
        self.stack.append(frozenset(self.above_mark()))

    def op_DICT(self, _):
        items = self.above_mark()
        self.stack.append(dict(zip(items[::2], items[1::2], strict=True)))

    def tuple_of(self, count: int):
        items = tuple(self.stack[-count:])
        if len(items) < count:
            raise PieceError("too few values on the stack")
        self.stack[-count:] = [items]

    def op_TUPLE1(self, _):
        self.tuple_of(1)

    def op_TUPLE2(self, _):
        self.tuple_of(2)

    def op_TUPLE3(self, _):
        self.tuple_of(3)

    def extend(self, items: list):
        target = self.stack[-1]
        only(target, list, StandIn)
        (target.items if isinstance(target, StandIn) else target).extend(items)

    def op_APPEND(self, _):
        self.extend([self.stack.pop()])

    def op_APPENDS(self, _):
        self.extend(self.above_mark())

    def op_ADDITEMS(self, _):
        items = self.above_mark()
        only(self.stack[-1], set).update(items)

    def put(self, items: list):
        target = self.stack[-1]
        pairs = zip(items[::2], items[1::2], strict=True)
        if isinstance(target, StandIn):
            target.items.extend(pairs)
        else:
            only(target, dict).update(pairs)

    def op_SETITEM(self, _):
        value, key = self.stack.pop(), self.stack.pop()
        self.put([key, value])

    def op_SETITEMS(self, _):
        self.put(self.above_mark())


_VALUES = {"INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT", "STRING", "BINSTRING",
           "SHORT_BINSTRING", "UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "BINBYTES", "SHORT_BINBYTES",
           "BINBYTES8", "BYTEARRAY8"}


def read_pickle(data: bytes, source="pickle", *, allowed: Iterable[str] = (), boxed: tuple[str, ...] = (),
                expected: str = "plain containers, text, numbers and NumPy arrays"):
    """The value of a pickle, arrays as `PickledArray` (see `plain`), objects of allowed names as `StandIn`.

    `allowed`: full names ("package.module.name"); `boxed`: packages all of whose classes are allowed.
    Raises UnsafePickle for another name, PickleError for a damaged file.
    """
    return _Machine(source, allowed, boxed, expected).run(data)


def read_plain(data: bytes, source="pickle"):
    """The value of a pickle of plain data: containers, text, bytes, numbers and NumPy arrays (also of objects).

    Raises UnsafePickle for any other name in it, PickleError for a damaged file.
    """
    value = read_pickle(data, source)
    try:
        return _unwrapped(value, {})
    except (PieceError, RecursionError) as error:
        raise PickleError(source, None, str(error), "plain data") from error


def _unwrapped(value, seen: dict):
    """The value with the arrays in it made real; containers that the pickle mentions twice stay one object."""
    if isinstance(value, PickledArray):
        value = plain(value)
    if id(value) in seen:
        return seen[id(value)]
    if isinstance(value, dict):
        seen[id(value)] = value
        value.update({key: _unwrapped(item, seen) for key, item in value.items()})
    elif isinstance(value, list):
        seen[id(value)] = value
        value[:] = [_unwrapped(item, seen) for item in value]
    elif isinstance(value, tuple):
        value = tuple(_unwrapped(item, seen) for item in value)
    elif isinstance(value, np.ndarray) and value.dtype == object:
        seen[id(value)] = value
        for index in np.ndindex(value.shape):
            value[index] = _unwrapped(value[index], seen)
    elif isinstance(value, Name | StandIn | PickledDtype):
        raise PieceError(f"the type or object {getattr(value, 'full', getattr(value, 'name', 'dtype'))} as a value")
    return value
