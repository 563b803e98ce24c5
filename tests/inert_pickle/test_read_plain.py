"""Plain data out of a pickle, by a machine that runs nothing (itself: tests/detector/test_inert_pickle.py)."""

import collections
import pickle

import numpy as np
import pytest

from venom_hw.inert_pickle import PickleError, UnsafePickle, read_plain


@pytest.mark.parametrize("protocol", range(6))
def test_containers_numbers_and_arrays(protocol):
    packet = {"jd": np.float64(2458000.5), "fid": 1, "stamp": b"\x1f\x8b", "none": None, "row": np.arange(3.0),
              "nested": [1, {"objects": np.array(["a", {"k": 2}], dtype=object)}, ("x", np.int8(3))]}
    alerts = np.empty(2, object)
    alerts[:] = [packet, packet]
    read = read_plain(pickle.dumps(alerts, protocol))
    assert read.shape == (2,) and read[0] is read[1]
    assert read[0].keys() == packet.keys() and read[0]["jd"] == packet["jd"] and read[0]["stamp"] == packet["stamp"]
    np.testing.assert_array_equal(read[0]["row"], packet["row"])
    assert read[0]["nested"][1]["objects"].tolist() == ["a", {"k": 2}]
    assert read[0]["nested"][2] == ("x", 3)


REFUSED = [print, collections.Counter("ab"), PickleError, np.float64, pickle.Unpickler, object()]


@pytest.mark.parametrize("value", REFUSED)
def test_anything_else_is_refused(value):
    with pytest.raises(PickleError):
        read_plain(pickle.dumps(value, 2), "alerts.npy")


def test_a_call_is_never_made(tmp_path):
    class Payload:
        def __reduce__(self):
            return (__import__("os").mkdir, (str(tmp_path / "made"),))

    with pytest.raises(UnsafePickle, match="alerts.npy: names 'posix.mkdir'"):
        read_plain(pickle.dumps([{"jd": Payload()}]), "alerts.npy")
    assert not (tmp_path / "made").exists()


def test_a_list_that_holds_itself_ends():
    loop = [1]
    loop.append(loop)
    read = read_plain(pickle.dumps(loop))
    assert read[1] is read
