"""What is known after some packets stays as it is, whatever packets come later."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtf_models.data.alerts import light_curve, packet_detections, source_from_alerts
from rtf_models.data.inputs import InputSpec
from rtf_models.errors import DataError
from rtf_models.features import prefix_features

LATE = "latecomers left out (an alert's history had earlier detections than were known before)"
SPEC = InputSpec(metadata="global", missing_mask=True, images=True, features="causal", feature_mask=True)


def record(jd, fid=1, mag=18.0, sign="t", candid=0, **more):
    return {"jd": jd, "fid": fid, "magpsf": mag, "sigmapsf": 0.1, "isdiffpos": sign, "candid": candid, **more}


def packet(candidate, history=()):
    return {"objectId": "x", "candid": candidate["candid"], "candidate": candidate, "prv_candidates": list(history)}


def same(one, other):
    """The same detections, to the last bit; and the same inputs."""
    for field in ("time", "band", "mag", "mag_err", "metadata"):
        assert getattr(one, field).tobytes() == getattr(other, field).tobytes(), field
    a, b = SPEC.prepare(one), SPEC.prepare(other)
    for key in a:
        np.testing.assert_array_equal(a[key], b[key])


def test_a_latecomer_is_left_out_and_counted():
    """After the first packet 3 and 9 are known; that there was something at 5 is news of the second."""
    first = packet(record(9.0, candid=1), [record(3.0)])
    second = packet(record(12.0, candid=2), [record(5.0), record(3.0), record(10.0), record(9.0, candid=1)])
    third = packet(record(14.0, candid=3), [record(5.0), record(10.0), record(11.0)])
    notes = Counter()
    source = source_from_alerts("x", [third, first, second], images=False, notes=notes)
    assert source.time.tolist() == [3, 9, 10, 12, 14]
    assert notes == {LATE: 2, "repeated detections left out": 4}
    assert source_from_alerts("x", [third], images=False).time.tolist() == [5, 10, 11, 14]


def test_a_negative_detection_is_not_what_was_known():
    first = packet(record(9.0, sign="f", candid=1), [record(3.0)])
    second = packet(record(12.0, candid=2), [record(5.0)])
    assert source_from_alerts("x", [first, second], images=False).time.tolist() == [3, 5, 12]
    kept = source_from_alerts("x", [first, second], images=False, keep_negative=True)
    assert kept.time.tolist() == [3, 9, 12]


def test_a_later_copy_does_not_replace_what_was_known():
    first = packet(record(9.0, candid=1), [record(3.0, mag=18.0, rb=0.5)])
    second = packet(record(12.0, candid=2), [record(3.0, mag=17.0, rb=0.7, fwhm=2.0, distnr=1.0)])
    one, both = (source_from_alerts("x", x, images=False) for x in ([first], [first, second]))
    same(both.prefix(2), one)


@pytest.mark.parametrize("shift", [4e-7, 9e-7, -9e-7])
@pytest.mark.parametrize("place", [5.0, 5.0 + 4.9e-7, 5.0 + 5e-7, 2459000.1234565])
def test_copies_a_moment_apart_are_one(place, shift):
    """Wherever the times lie: not only where both round to the same millionth of a day."""
    packets = [packet(record(place + 4, candid=1), [record(place)]), packet(record(place + 6), [record(place + shift)])]
    assert len(source_from_alerts("x", packets, images=False)) == 3
    apart = [packet(record(place + 4, candid=1), [record(place), record(place + 3e-6), record(place + shift, 2)])]
    assert len(source_from_alerts("x", apart, images=False)) == 4


@st.composite
def histories(draw):
    """Packets in order of time, each with some of the detections before it; some are negative."""
    times = sorted(draw(st.lists(st.integers(1, 40), min_size=2, max_size=12, unique=True)))
    records = [record(float(t), 1 + t % 3, 17 + t / 10, draw(st.sampled_from("tttf")), 100 + t, rb=t / 100)
               for t in times]
    chosen = draw(st.lists(st.sampled_from(range(len(times))), min_size=2, max_size=6, unique=True))
    packets = []
    for k in sorted(chosen):
        held = draw(st.lists(st.sampled_from(records[:k]), unique_by=lambda x: x["jd"])) if k else []
        packets.append(packet(records[k], held))
    return packets


@given(histories(), st.booleans(), st.data())
def test_later_packets_change_nothing_that_was_known(packets, keep_negative, data):
    """The light curve of the first packets is a prefix of the light curve of all, and of any other continuation."""
    known = data.draw(st.integers(1, len(packets) - 1))
    last = packets[known - 1]["candidate"]["jd"]
    other = [packet(record(last + 0.5 + k, 1, 15.0, candid=900 + k), [record(t + 0.25, 2) for t in range(1, 40)])
             for k in range(2)]
    for later in (packets[known:], other):
        try:
            before = source_from_alerts("x", packets[:known], images=False, keep_negative=keep_negative)
        except DataError:  # nothing positive yet
            continue
        after = source_from_alerts("x", [*later, *packets[:known]], images=False, keep_negative=keep_negative)
        same(after.prefix(len(before)), before)
    parts = [packet_detections(x, number=k) for k, x in enumerate(packets)]
    curve = light_curve(parts, keep_negative=keep_negative)
    assert (np.diff(curve.jd) > 0).all()


def test_later_real_packets_change_nothing_that_was_known(ztf_folder):
    """Every prefix of every real object's packets: detections, stamps, features and inputs."""
    pytest.importorskip("fastavro")
    pytest.importorskip("pyarrow")
    from rtf_models.data.packets import read_packets

    objects = {}
    for path in sorted(ztf_folder.glob("alerts_*/*")):
        for found in read_packets(path):
            objects.setdefault(found["objectId"], []).append(found)
    compared, late = 0, Counter()
    for object_id, packets in objects.items():
        packets.sort(key=lambda x: x["candidate"]["jd"])
        for keep_negative in (False, True):
            for known in range(1, len(packets)):
                try:
                    before = source_from_alerts(object_id, packets[:known], keep_negative=keep_negative)
                except DataError:
                    continue
                after = source_from_alerts(object_id, packets, keep_negative=keep_negative, notes=late)
                pair = []
                for source in (before, after):
                    counts, rows = prefix_features(source.prefix(len(before)), (3, 7))
                    pair.append(replace(source.prefix(len(before)), features=rows, feature_counts=counts))
                assert pair[0].features.tobytes() == pair[1].features.tobytes()
                same(*pair)
                held = [np.zeros(len(before), bool) if x.has_image is None else x.has_image for x in pair]
                np.testing.assert_array_equal(*held)
                compared += 1
    assert compared >= 18 and late[LATE] >= 2
