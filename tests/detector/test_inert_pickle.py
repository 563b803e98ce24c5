"""Pickles read as data: the same values as Python's unpickler, and nothing in them ever runs."""

import collections
import datetime
import io
import operator
import os
import pickle
import struct
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from venom_hw.detector import DataError
from venom_hw.detector.inert_pickle import UnsafePickle, read_pickle
from venom_hw.detector.mkidcalculator_files import find_loops
from venom_hw.inert_pickle import StandIn, plain

from .lab_pickles import build, fake_package

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)
LEAVES = (st.none() | st.booleans() | st.integers(-2**80, 2**80) | st.floats(allow_nan=False) | st.text(max_size=5)
          | st.binary(max_size=300) | st.complex_numbers(allow_nan=False, max_magnitude=1e9))
KEYS = st.integers() | st.text(max_size=3) | st.tuples(st.integers(), st.text(max_size=2))
TREES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4)
                     | st.tuples(inner, inner, inner, inner) | st.frozensets(st.integers(), max_size=3)
                     | st.sets(st.text(max_size=2), max_size=3), max_leaves=12)


def assert_same(found, value):
    """Equal values of equal types, all the way down (1 is not True)."""
    assert type(found) is type(value) and found == value
    if isinstance(value, dict):
        found, value = list(found.items()), list(value.items())
    if isinstance(value, list | tuple):
        for one, other in zip(found, value, strict=True):
            assert_same(one, other)


@given(TREES, st.sampled_from(PROTOCOLS))
@settings(max_examples=200, deadline=None)
def test_plain_values_come_back(value, protocol):
    assert_same(read_pickle(pickle.dumps(value, protocol)), value)


ARRAYS = [
    np.arange(6).reshape(2, 3), np.asfortranarray(np.arange(6.0).reshape(2, 3)), np.zeros((0, 4), np.float32),
    np.array([1 + 2j]), np.array(3.5), np.array(["ab", "c"]), np.array([b"xy"]), np.arange(3, dtype=">i2"),
    np.array([True, False]), np.array([(1, 2.5)], [("I", "<i4"), ("Q", ">f8")]),
    np.zeros(2, [("z", "f4", (3,)), ("t", "u1")]), np.float32(1.5), np.int64(-3), np.bool_(True),
    np.arange(24.0).reshape(2, 3, 4)[:, 1], np.array(["2020-01-01"], "M8[D]"),
]


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("array", ARRAYS, ids=lambda a: f"{a.dtype}{a.shape}")
def test_arrays_come_back(array, protocol):
    found = plain(read_pickle(pickle.dumps(array, protocol)))
    if array.dtype.kind == "M":
        found = found.astype(np.int64)  # the unit is not kept
        array = array.astype(np.int64)
    else:
        assert found.dtype == array.dtype
    assert np.shape(found) == np.shape(array) and (found == array).all()


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_object_arrays_and_shared_or_cyclic_values(protocol):
    inner = {"a": np.arange(3)}
    value = [np.array(inner, object), inner, collections.OrderedDict(x=1)]
    value.append(value)
    found = read_pickle(pickle.dumps(value, protocol))
    assert plain(found[0]) is found[1] and found[3] is found
    assert plain(found[1]["a"]).tolist() == [0, 1, 2] and found[2] == {"x": 1}
    mixed = plain(read_pickle(pickle.dumps(np.array([1, "a", None], object), protocol)))
    assert mixed.tolist() == [1, "a", None]


def test_object_arrays_of_lists_and_of_themselves():
    lists = np.empty(2, object)
    lists[:] = [[1, 2]], [3, 4]
    assert [list(x) for x in plain(read_pickle(pickle.dumps(lists)))] == [list(x) for x in lists]
    itself = np.empty((), object)
    itself[()] = itself
    found = read_pickle(pickle.dumps(itself, 4))
    with pytest.raises(ValueError, match="inside an array"):
        plain(found)
    assert find_loops(found) == []


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_allowed_classes_become_stand_ins(protocol):
    with fake_package() as classes:
        loop = build(classes["Loop"], pulses=[], f=np.arange(3.0))
        loop.pulses.append(build(classes["Pulse"], _loop=loop))
        data = pickle.dumps(loop, protocol)
    assert "mkidcalculator.io.loop" not in sys.modules
    found = read_pickle(data)
    assert isinstance(found, StandIn) and found.name == "mkidcalculator.io.loop.Loop"
    assert found.get("pulses")[0].get("_loop") is found
    assert plain(found.get("f")).tolist() == [0, 1, 2] and found.get("nothing") is None


class Reduces:
    def __init__(self, *reduced):
        self.reduced = reduced

    def __reduce__(self):
        return self.reduced


def payloads(marker):
    """name -> object whose pickle would run something that makes the file `marker`."""
    command = f"touch {marker}"
    code = f"open({str(marker)!r}, 'w')"
    return {
        "os.system": Reduces(os.system, (command,)),
        "builtins.eval": Reduces(eval, (code,)),
        "builtins.exec": Reduces(exec, (code,)),
        "builtins.getattr": Reduces(getattr, ("", "join")),
        "builtins.__import__": Reduces(__import__, ("os",)),
        "operator.attrgetter": Reduces(operator.attrgetter, ("system",)),
        "io.open": Reduces(io.open, (str(marker), "w")),
        "datetime.date": datetime.date(2020, 1, 1),
        "numpy.load": Reduces(np.load, (str(marker),)),
        "numpy.lib._npyio_impl.loadtxt": Reduces(np.loadtxt, (str(marker),)),
    }


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("name", sorted(payloads("x")))
@pytest.mark.parametrize("wrap", [lambda p: p, lambda p: {"pulses": [1, (p,)]}, lambda p: np.array([p], object),
                                  lambda p: Reduces(collections.OrderedDict, ([("a", p)],))])
def test_code_is_refused_by_name_wherever_it_hides(tmp_path, name, protocol, wrap):
    marker = tmp_path / "ran"
    data = pickle.dumps(wrap(payloads(marker)[name]), protocol)
    with pytest.raises(UnsafePickle, match="allow-list") as error:
        read_pickle(data, "evil.p")
    function = name.rpartition(".")[2]
    assert function in str(error.value) and "evil.p" in str(error.value)
    assert not marker.exists()


def op(name, *arguments):
    """Bytes of a few opcodes, for streams that no pickler writes."""
    text = {"global": lambda m, n: b"c%s\n%s\n" % (m, n), "str": lambda s: b"\x8c" + bytes([len(s)]) + s,
            "inst": lambda m, n: b"i%s\n%s\n" % (m, n), "int": lambda k: b"K" + bytes([k])}
    return text[name](*arguments)


SYSTEM = op("global", b"os", b"system")
LOOP = op("global", b"mkidcalculator.io.loop", b"Loop")
STREAMS = {
    "REDUCE": SYSTEM + op("str", b"touch ran") + b"\x85R.",
    "OBJ": b"(" + SYSTEM + op("str", b"touch ran") + b"o.",
    "INST": b"(" + op("str", b"touch ran") + op("inst", b"os", b"system") + b".",
    "NEWOBJ": SYSTEM + op("str", b"touch ran") + b"\x85\x81.",
    "NEWOBJ_EX": SYSTEM + op("str", b"touch ran") + b"\x85}\x92.",
    "STACK_GLOBAL": op("str", b"os") + op("str", b"system") + b"\x93" + op("str", b"touch ran") + b"\x85R.",
    "dotted name": op("str", b"mkidcalculator.io.loop") + op("str", b"os.system") + b"\x93.",
    "dotted in results": op("str", b"scipy") + op("str", b"io.os.system") + b"\x93.",
    "dotted in numpy": op("str", b"numpy") + op("str", b"dtype.mro") + b"\x93.",
    "look-alike package": op("global", b"mkidcalculator_evil", b"Loop") + b".",
    "look-alike of results": op("global", b"scipyx.os", b"system") + b".",
    "BUILD setting __reduce__": LOOP + b")\x81}" + op("str", b"x") + SYSTEM + b"sb.",
    "unused on the stack": SYSTEM + b"0N.",
    "in the memo": SYSTEM + b"q\x000N.",
    "runpy": op("global", b"runpy", b"run_path") + b".",
}


@pytest.mark.parametrize("name", STREAMS)
def test_hand_made_streams_are_refused(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UnsafePickle, match="names '"):
        read_pickle(b"\x80\x04" + STREAMS[name])
    assert not (tmp_path / "ran").exists()


def test_every_refused_name_is_told_at_once(tmp_path):
    data = pickle.dumps([Reduces(eval, ("1",)), Reduces(io.open, (str(tmp_path / "ran"), "w"))], 4)
    with pytest.raises(UnsafePickle, match="names 'builtins.eval', '_?io.open', which are not on the allow-list"):
        read_pickle(data)
    with pytest.raises(UnsafePickle, match="'os.system'"):  # even where the rest of the file is broken
        read_pickle(SYSTEM + b"}b.")
    names = b"".join(op("global", b"m%d" % k, b"f") for k in range(40))
    with pytest.raises(UnsafePickle, match="and 28 more"):
        read_pickle(names + b".")


BROKEN = {
    "BUILD of a class": LOOP + b"}b.", "BUILD of a dict": b"}}b.", "BUILD of a type": b"cnumpy\nndarray\n}b.",
    "call of a value": b"K\x01)R.", "call of ndarray": b"cnumpy\nndarray\n)R.",
    "eval of a type": b"cbuiltins\nint\n" + op("str", b"1") + b"\x85R.",
    "bytearray of a size": b"cbuiltins\nbytearray\nJ\xff\xff\xff\x7f\x85R.",
    "codec": b"c_codecs\nencode\n" + op("str", b"a") + op("str", b"rot13") + b"\x86R.",
    "reconstructor of object": b"ccopy_reg\n_reconstructor\ncbuiltins\nobject\ncbuiltins\nobject\nN\x87R.",
    "list as a key": b"}]K\x01s.", "empty stack": b".", "no end": b"K\x01", "no mark": b"t.", "missing memo": b"h\x05.",
    "append to a number": b"K\x01K\x02a.", "not a pickle": b"hello", "": b"",
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_streams_are_data_errors(name):
    with pytest.raises(DataError, match="pickle"):
        read_pickle(BROKEN[name], "file.p")


@pytest.mark.parametrize("stream", [b"P1\n.", b"K\x01Q.", b"\x82\x01.", b"\x97."])
def test_persistent_ids_extensions_and_outside_buffers_are_refused(stream):
    with pytest.raises(UnsafePickle, match="persistent|extension|outside"):
        read_pickle(stream)


def array_pickle(**change):
    """ndarray pickle with a piece of its state changed."""
    state = {"version": 1, "shape": (2,), "code": "f8", "fortran": False, "data": bytes(16)} | change

    class Dtype:
        def __reduce__(self):
            return np.dtype, (state["code"], False, True)

    class Array:
        def __reduce__(self):
            parts = (state["version"], state["shape"], Dtype(), state["fortran"], state["data"])
            return np.ndarray((0,)).__reduce__()[0], (np.ndarray, (0,), b"b"), parts

    return pickle.dumps(Array(), 4)


@pytest.mark.parametrize("change", [
    {"data": bytes(15)}, {"shape": (3,)}, {"shape": (-2,)}, {"shape": ("2",)}, {"shape": (2**62,)}, {"data": [1, 2]},
    {"code": "O8", "data": bytes(16)}, {"code": "f3"}, {"code": "os"}, {"code": "i8,O"}, {"code": 5}, {"shape": None},
    {"code": "O8", "data": [1]},
])
def test_forged_arrays_are_refused(change):
    assert plain(read_pickle(array_pickle())).tolist() == [0, 0]
    with pytest.raises(DataError, match="file.p.*pickle"):
        read_pickle(array_pickle(**change), "file.p")


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_corrupted_files_never_do_more_than_fail(data):
    good = pickle.dumps([np.arange(5), {"a": (1, 2.5, "x")}, np.array([("q", 1)], object)], data.draw(
        st.sampled_from(PROTOCOLS)))
    forged = bytearray(good)
    for _ in range(data.draw(st.integers(1, 4))):
        forged[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    modules = set(sys.modules)
    try:
        read_pickle(bytes(forged))
    except DataError:
        pass
    assert set(sys.modules) == modules


def test_a_named_placeholder_is_skipped_over_and_never_run(tmp_path):
    marker = tmp_path / "ran"
    data = pickle.dumps({"x": Reduces(os.system, (f"touch {marker}",)), "y": 3}, 4)
    found = read_pickle(data, placeholders=[f"{os.system.__module__}.system"])
    assert found["y"] == 3 and isinstance(found["x"], StandIn) and not marker.exists()
    assert found["x"].arguments == (f"touch {marker}",)


def test_nothing_is_imported_for_a_result():
    module = b"scipy.no_such_module"
    found = read_pickle(op("global", module, b"Spline") + b")\x81.")
    assert found.name == "scipy.no_such_module.Spline" and module.decode() not in sys.modules


def test_long_values():
    value = ["x" * 300, b"y" * 70000, 2**3000, "ü" * 200]
    for protocol in PROTOCOLS:
        assert read_pickle(pickle.dumps(value, protocol)) == value
    assert read_pickle(b"\x80\x04\x8d" + struct.pack("<Q", 3) + b"abc.") == "abc"
