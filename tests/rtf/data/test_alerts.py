"""Packets to detections and sources."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtf_models.data.alerts import packet_detections, source_from_alerts
from rtf_models.data.metadata import METADATA_FIELDS
from rtf_models.errors import DataError


def record(jd, fid=1, mag=18.0, err=0.1, sign="t", candid=0, **more):
    return {"jd": jd, "fid": fid, "magpsf": mag, "sigmapsf": err, "isdiffpos": sign, "candid": candid, **more}


def packet(candidate, history=()):
    return {"objectId": "ZTF20abc", "candid": candidate["candid"], "candidate": candidate,
            "prv_candidates": list(history)}


LIMIT = {"jd": 3.5, "fid": 1, "magpsf": None, "sigmapsf": None, "isdiffpos": None, "candid": None, "diffmaglim": 20.1}


def test_detections_of_a_packet():
    found = packet_detections(packet(record(9.0, 2, 17.5, 0.05, "1", 77, rb=0.9, sgscore1=-999.0),
                                     [record(5.0, 1, 18.5, sign="f", candid=55), LIMIT, record(3.0, 3, candid=None)]))
    assert found.jd.tolist() == [3, 5, 9] and found.band.tolist() == [2, 0, 1]
    assert found.candid.tolist() == [0, 55, 77] and found.positive.tolist() == [True, False, True]
    assert found.packet.tolist() == [-1, -1, 0]
    np.testing.assert_allclose(found.mag, [18.0, 18.5, 17.5])
    place = METADATA_FIELDS.index
    assert found.metadata[2, place("rb")] == np.float32(0.9) and np.isnan(found.metadata[2, place("sgscore1")])
    assert np.isnan(found.metadata[0, place("rb")])
    alone = packet_detections(packet(record(9.0), [record(5.0)]), use_history=False)
    assert alone.jd.tolist() == [9]


BAD = {"no jd": {"jd": None}, "jd not finite": {"jd": float("nan")}, "no sigma": {"sigmapsf": None},
       "an upper limit": {"magpsf": None}, "another band": {"fid": 4}, "no band": {"fid": None},
       "negative error": {"sigmapsf": -0.1}, "text": {"magpsf": "18"}, "a strange sign": {"isdiffpos": "maybe"}}


@pytest.mark.parametrize("change", BAD.values(), ids=BAD.keys())
def test_a_damaged_candidate_is_an_error_a_damaged_history_a_note(change):
    field = list(change)[0]
    with pytest.raises(DataError, match=field):
        packet_detections(packet(record(9.0) | change))
    notes = Counter()
    found = packet_detections(packet(record(9.0), [record(5.0) | change, record(4.0)]), notes=notes)
    assert found.jd.tolist() == [4, 9]
    assert sum(notes.values()) == (0 if change == {"magpsf": None} else 1)  # an upper limit is no damage


def test_repeated_detections_go_in_once():
    """The history of the second packet has the first packet's candidate again, with half of the metadata."""
    first = record(5.0, 1, candid=55, rb=0.5, fwhm=2.0, sgscore1=0.9)
    again = {key: value for key, value in first.items() if key not in ("sgscore1", "fwhm")}
    notes = Counter()
    source = source_from_alerts("x", [packet(record(9.0, 2, candid=77), [again, record(7.0)]), packet(first)],
                                images=False, notes=notes)
    assert source.time.tolist() == [5, 7, 9]
    assert source.metadata[0, METADATA_FIELDS.index("sgscore1")] == np.float32(0.9)
    assert notes == {"repeated detections left out": 1}


def test_the_same_exposure_without_a_candid_is_the_same():
    packets = [packet(record(9.0, 1, candid=3), [record(5.0, 1), record(5.0, 2), record(5.0 + 2e-3, 1)])] * 2
    assert source_from_alerts("x", packets, images=False).time.tolist() == [5, 5, 5.002, 9]


def test_negative_detections():
    """'f' and '0' say that the object was fainter than in the template: no light of a transient."""
    packets = [packet(record(9.0, candid=2), [record(4.0, sign="f"), record(3.0, sign="0"), record(5.0, sign="1")])]
    notes = Counter()
    assert source_from_alerts("x", packets, images=False, notes=notes).time.tolist() == [5, 9]
    assert notes == {"negative detections left out": 2}
    assert source_from_alerts("x", packets, images=False, keep_negative=True).time.tolist() == [3, 4, 5, 9]
    with pytest.raises(DataError, match="all detections are negative"):
        source_from_alerts("x", [packet(record(9.0, sign="f"))], images=False)
    with pytest.raises(DataError, match="no packets"):
        source_from_alerts("x", [])


@given(st.lists(st.integers(1, 30), min_size=1, max_size=12, unique=True), st.randoms(use_true_random=False))
def test_the_order_of_packets_and_history_does_not_matter(times, random):
    """Each packet carries the ones before it, as the survey sends them: the light curve is every detection once."""
    records = [record(float(t), 1 + t % 3, 17 + t / 10, candid=100 + t, rb=t / 100) for t in times]
    packets = [packet(x, [y for y in records if y["jd"] < x["jd"]]) for x in records]
    random.shuffle(packets)
    for x in packets:
        random.shuffle(x["prv_candidates"])
    source = source_from_alerts("x", packets, images=False)
    assert source.time.tolist() == sorted(times)
    np.testing.assert_allclose(source.mag, [17 + t / 10 for t in sorted(times)], rtol=1e-6)
    assert source.band.tolist() == [t % 3 for t in sorted(times)]
    newest = max(packets, key=lambda x: x["candidate"]["jd"])
    alone = source_from_alerts("x", [newest], images=False)  # the newest packet holds it all
    assert alone.time.tolist() == sorted(times)


def test_real_objects(ztf_folder):
    """Every real object: times ascend, the newest packet's candidate is there, stamps belong to their detections."""
    pytest.importorskip("fastavro")
    pytest.importorskip("pyarrow")
    from rtf_models.data.packets import read_packets
    from rtf_models.data.stamp import packet_stamps

    objects = {}
    for path in sorted(ztf_folder.glob("alerts_*/*")):
        for found in read_packets(path):
            objects.setdefault(found["objectId"], []).append(found)
    assert len(objects) == 136
    notes = Counter()
    with_stamps = 0
    for object_id, packets in objects.items():
        source = source_from_alerts(object_id, packets, keep_negative=True, notes=notes)
        assert len(np.unique(np.stack([source.time, source.band]), axis=1).T) == len(source)
        newest = max(packets, key=lambda x: x["candidate"]["jd"])
        place = int(np.flatnonzero(source.time == newest["candidate"]["jd"])[0])
        assert source.mag[place] == np.float32(newest["candidate"]["magpsf"])
        assert np.isfinite(source.metadata[place]).sum() >= 18  # a field without PS1 stars has that few
        if source.has_image is not None:
            with_stamps += source.has_image.sum()
            if source.has_image[place]:
                np.testing.assert_array_equal(source.images(place), packet_stamps(newest))
    assert with_stamps == 160 and notes["stamps clipped by an edge: no image"] == 1
    assert notes["repeated detections left out"] == 309
