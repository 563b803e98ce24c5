"""What is remembered of objects, against a plain reimplementation; and what is remembered of alerts."""

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from rtf_models.stream.detections import merged, row_type, source_of, window
from rtf_models.stream.history import History
from rtf_models.stream.packets import alert_of
from rtf_models.stream.recent import RecentAlerts
from rtf_models.stream.state import changed_state, restore, whole_state
from rtf_models.stream.triplets import Triplets
from tests.rtf.stream.toy import detection, packet

seen_on = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 2)), max_size=6)
touches = st.lists(st.tuples(st.integers(0, 4), st.floats(0, 60), seen_on), max_size=40)


def rows_of(detections, jd):
    """Rows at whole days before jd."""
    chosen = sorted({(float(day), band) for day, band in detections if day <= jd})
    rows = np.zeros(len(chosen), row_type(False))
    for k, (day, band) in enumerate(chosen):
        rows[k] = (day, int(day) * 10 + band, 18 + day / 100, 0.1, band)
    return rows


class Plain:
    """The same memory, written with lists and dictionaries."""

    def __init__(self, objects, days, longest):
        self.objects, self.days, self.longest, self.known, self.order = objects, days, longest, {}, []

    def touch(self, name, jd, rows):
        recent = [r for r in map(tuple, rows.tolist()) if jd - self.days <= r[0] <= jd][-self.longest :]
        known = self.known.get(name, [])
        newest = max([(r[0], r[4]) for r in known if r[0] <= jd], default=(-1, 0))
        recent = [r for r in recent if (r[0], r[4]) >= newest]
        once = {(r[0], r[4]): r for r in recent + known}
        every = [once[key] for key in sorted(once)]
        seen = [r for r in every if jd - self.days <= r[0] <= jd][-self.longest :]
        newest = every[-1][0] if every else 0
        self.known[name] = [r for r in every if r[0] >= newest - self.days][-self.longest :]
        self.order = [n for n in self.order if n != name] + [name]
        while len(self.order) > self.objects:
            del self.known[self.order.pop(0)]
        return seen


@given(touches)
@example([(1, 0.0, [(0, 1)]), (1, 0.0, [(0, 0)])])  # two bands at one moment: the same order whichever came first
def test_history_is_the_plain_one(plan):
    history, plain = History(3, 30.0, 5, metadata=False), Plain(3, 30.0, 5)
    for name, jd, detections in plan:
        rows = rows_of(detections, jd)
        assert history.touch(f"o{name}", jd, rows).tolist() == plain.touch(f"o{name}", jd, rows)
        assert {n: history.of(n).tolist() for n in plain.order} == plain.known and len(history) == len(plain.order)
        assert history.count == sum(map(len, plain.known.values()))


@given(touches, st.integers(0, 40), st.integers(0, 40))
def test_restored_state_goes_on_like_the_original(plan, first, second):
    """Whole state at one point, changes at another, then both memories take the rest."""
    history, recent, none, states = History(3, 30.0, 5, metadata=False), RecentAlerts(4), Triplets(0), []
    states.append(whole_state(history, none, recent, {"at": 0}))
    for number, (name, jd, detections) in enumerate(plan):
        if number == min(first, second):
            states = [whole_state(history, none, recent, {"at": number})]
        if number == max(first, second):
            states.append(changed_state(history, none, recent, {"at": number}))
        history.touch(f"o{name}", jd, rows_of(detections, jd))
        recent.add(number)
    states.append(changed_state(history, none, recent, {"at": len(plan)}))
    again, recent_again = History(3, 30.0, 5, metadata=False), RecentAlerts(4)
    positions = restore(states, again, none, recent_again)
    assert positions[-1] == {"at": len(plan)}
    assert list(again._rows) == list(history._rows)
    assert all(again.of(n).tolist() == history.of(n).tolist() for n in history._rows)
    assert again.count == history.count and recent_again.whole()["newer"].tolist() == recent.whole()["newer"].tolist()
    assert recent_again.whole()["older"].tolist() == recent.whole()["older"].tolist()


def test_history_is_bounded_in_detections_too():
    history = History(100, None, None, metadata=False, detections=50)
    for k in range(100):
        history.touch(f"o{k}", 60.0, rows_of([(d, 0) for d in range(20)], 60.0))
    assert history.count <= 50 and len(history) == 2


def test_the_richer_copy_of_a_detection_wins_both_ways():
    poor, rich = np.zeros(1, row_type(True)), np.zeros(1, row_type(True))
    poor["metadata"] = np.nan
    rich["metadata"] = 7.0
    for known, new in ((poor, rich), (rich, poor)):
        rows, taken = merged(known.copy(), new.copy())
        assert len(rows) == 1 and (rows["metadata"] == 7).all() and taken.tolist() == [new is rich]
    assert np.isnan(poor["metadata"]).all()


def test_nothing_later_than_the_alert_is_seen():
    rows = rows_of([(1, 0), (2, 0), (3, 0), (4, 1)], 60)
    assert window(rows, 3.0, None, None)["jd"].tolist() == [1, 2, 3]
    assert window(rows, 4.0, 2.0, None)["jd"].tolist() == [2, 3, 4]
    assert window(rows, 4.0, None, 2)["jd"].tolist() == [3, 4]


def test_a_source_has_the_rows_and_its_own_image():
    rows, image = rows_of([(1, 0), (2, 2)], 60), np.ones((3, 63, 63), np.float32)
    source = source_of("x", rows, (image, 1))
    assert source.band.tolist() == [0, 2] and source.has_image.tolist() == [False, True]
    assert source.images(1) is image and source.metadata is None


def test_alerts_are_remembered_at_least_as_long_as_promised():
    recent = RecentAlerts(100)
    for n in range(1000):
        assert n not in recent
        recent.add(n)
        assert all(k in recent for k in range(max(0, n - 99), n + 1)) if n % 50 == 0 else True
        assert len(recent) <= 200
    assert 0 not in recent


def test_latecomers_stay_out_and_one_exposure_is_one_detection():
    history = History(9, None, None, metadata=False)
    history.touch("x", 3.0, rows_of([(1, 0), (3, 0)], 3.0))
    seen = history.touch("x", 5.0, rows_of([(0, 1), (2, 0), (3, 0), (4, 1), (5, 0)], 5.0))
    assert seen["jd"].tolist() == [1, 3, 4, 5]  # 0 and 2 were not known when 3 was
    assert history.touch("x", 2.5, rows_of([(2, 1)], 2.5))["jd"].tolist() == [1, 2]  # an alert that itself comes late
    again = rows_of([(5, 0)], 5.0)
    for offset in (4.9e-7, 5.1e-7, -4.9e-7, -5.1e-7):  # either side of any rounding
        again["jd"] = 5.0 + offset
        assert len(history.touch("x", 5.1, again)) == 5


def test_two_copies_in_one_packet_are_one_however_they_are_rounded():
    for jd in (2459000.5000005, 2459000.5):
        one = packet("x", 1, jd, [detection(1, jd + d) for d in (-4e-7, 4e-7)] + [detection(2, jd - 1)])
        assert alert_of(one, metadata=False).rows["candid"].tolist() == [2, 1]
