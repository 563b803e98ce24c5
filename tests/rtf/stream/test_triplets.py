"""The newest usable image: as preprocessing chooses, bounded, and the same after a restart."""

import gzip
from dataclasses import replace

import fastavro
import numpy as np
import pytest
from astropy.io import fits
from hypothesis import given, settings
from hypothesis import strategies as st

from rtf_models.data.alerts import source_from_alerts
from rtf_models.data.stamp import CUTOUTS, NoStamp, packet_stamps
from rtf_models.stream.arrival import taken
from rtf_models.stream.detections import source_of
from rtf_models.stream.file_stream import FileStream
from rtf_models.stream.history import History
from rtf_models.stream.packets import alert_of
from rtf_models.stream.recent import RecentAlerts
from rtf_models.stream.state import changed_state, restore, whole_state
from rtf_models.stream.triplets import Triplet, Triplets
from tests.rtf.stream.toy import OPTIONS, SCHEMA, ToyEncoder, detection, encode, killed_after, packet, rows

WITH_STAMPS = SCHEMA | {"fields": SCHEMA["fields"][:-1]
                        + [{"name": name, "type": ["null", "bytes"]} for name in CUTOUTS]}  # fmt: skip


def cutouts(value: float, side: int = 63) -> dict[str, bytes]:
    """Three stamps of one value; with a side other than 63 they are of no use."""
    image = np.full((side, 63), value, ">f4")
    return dict.fromkeys(CUTOUTS, gzip.compress(fits.PrimaryHDU(image).header.tostring().encode() + image.tobytes(), 1))


def survey_with_stamps(seed: int, alerts: int = 40) -> list[dict]:
    """Of four objects, with gaps in their histories; the stamps of half the alerts are clipped or missing, some alerts
    are negative, some come late."""
    rng, known, out = np.random.default_rng(seed), {}, []
    for n in range(alerts):
        name, jd = f"ZTF{rng.integers(4)}", 2459000.0 + n
        stamps = [cutouts(n + 1.0), cutouts(n + 1.0), cutouts(n + 1.0, 40), dict.fromkeys(CUTOUTS)][rng.integers(4)]
        more = {"fid": int(rng.integers(1, 4)), "positive": "ft"[int(rng.random() < 0.8)]}
        history = [d for d in known.get(name, [])[-5:] if rng.random() < 0.6]
        out.append(packet(name, 100 + n, jd, history, **more) | stamps)
        known.setdefault(name, []).extend([detection(100 + n, jd, **more), detection(1000 + n, jd + 0.4)])
    late = rng.choice(alerts - 4, 3, replace=False)
    for n in sorted(late, reverse=True):
        out[n], out[n + 3] = out[n + 3], out[n]
    return out


def write(path, packets):
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "wb") as file:
        fastavro.writer(file, WITH_STAMPS, packets)
    return path


class ImageEncoder(ToyEncoder):
    """The image's value, where it stands, and how many detections there are."""

    images, days, longest = True, 200.0, 30

    def prepare(self, source):
        if source.has_image is None:
            return np.array([len(source), 0.0, -1.0, 0.0])
        at = np.flatnonzero(source.has_image)
        return np.array([len(source), source.images(at[0])[0, 0, 0], at[0] - len(source), len(at)])


def by_preprocessing(packets: list[dict]) -> dict[int, tuple[int, float]]:
    """candid -> (detections, value of the newest image at or before it), from the packets taken so far."""
    out = {}
    for number, one in enumerate(packets):
        past = [p for p in packets[: number + 1] if p["objectId"] == one["objectId"]
                and p["candidate"]["jd"] <= one["candidate"]["jd"]]  # fmt: skip
        try:
            source = source_from_alerts(one["objectId"], past)
        except ValueError:
            continue
        at = np.flatnonzero(source.has_image) if source.has_image is not None else []
        out[one["candid"]] = (len(source), float(source.images(at[-1])[0, 0, 0]) if len(at) else 0.0)
    return out


@pytest.mark.parametrize("seed", range(3))
def test_the_image_is_the_one_that_preprocessing_takes(tmp_path, seed):
    packets = sorted(survey_with_stamps(seed), key=lambda p: p["candid"])
    write(tmp_path / "in" / "a.avro", packets)
    encode([tmp_path / "in"], tmp_path / "out", OPTIONS, ImageEncoder())
    out = rows(tmp_path / "out")
    found = {candid: tuple(np.frombuffer(latent, np.float32)[:2]) for _, candid, _, _, latent, _ in out}
    assert found == by_preprocessing(packets) and len(found) > 30
    own = [p["candid"] for p in packets if p["candid"] in found and found[p["candid"]][1] == p["candid"] - 99]
    older = [c for c, (_, value) in found.items() if value and c not in own]
    assert len(own) > 5 and len(older) > 5
    encode([tmp_path / "in"], tmp_path / "none", replace(OPTIONS, image_history=0), ImageEncoder())
    alone = {candid: np.frombuffer(latent, np.float32)[1] for _, candid, _, _, latent, _ in rows(tmp_path / "none")}
    assert all(alone[c] == 0 for c in older) and all(alone[c] == found[c][1] for c in own)


def test_a_late_alert_does_not_see_a_later_image():
    memory, jd = Triplets(10), 2459000.0
    late = packet("x", 1, jd) | dict.fromkeys(CUTOUTS)
    newer = packet("x", 2, jd + 1) | cutouts(7)
    alert = alert_of(newer, metadata=False)
    assert memory.newest(alert, newer, alert.rows)[0][0, 0, 0] == 7
    alert = alert_of(late, metadata=False)
    assert memory.newest(alert, late, alert.rows) is None
    first = packet("x", 3, jd - 1) | cutouts(5)
    alert = alert_of(first, metadata=False)
    assert memory.newest(alert, first, alert.rows)[0][0, 0, 0] == 5
    assert memory.whole()["x"].jd == jd + 1  # and what came late does not replace it


def test_killed_and_started_again_gives_the_same_images(tmp_path, monkeypatch):
    monkeypatch.setattr("os.fsync", lambda handle: None)
    write(tmp_path / "in" / "a.avro", survey_with_stamps(9))
    options = replace(OPTIONS, image_history=3)
    encode([tmp_path / "in"], tmp_path / "whole", options, ImageEncoder())
    wanted, draw = rows(tmp_path / "whole"), np.random.default_rng(0)
    count = killed_after(None, lambda: encode([tmp_path / "in"], tmp_path / "count", options, ImageEncoder()))
    for line in draw.integers(1, count, 10).tolist():
        out = tmp_path / f"out{line}"
        killed_after(line, lambda out=out: encode([tmp_path / "in"], out, options, ImageEncoder()))
        encode([tmp_path / "in"], out, options, ImageEncoder())
        assert rows(out) == wanted


def triplet(number: int) -> Triplet:
    return Triplet(float(number % 17), number % 3, (b"a" * (number % 5 + 1), b"b%d" % number, b"c"))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 5), max_size=30), st.integers(0, 30), st.integers(0, 30))
def test_a_restored_memory_is_the_same(given_to, first, second):
    """Whole at one moment, changed at another, restored at the end; never more objects than promised."""
    memory, history, recent = Triplets(3), History(0, None, None, metadata=False), RecentAlerts(0)
    states = [whole_state(history, memory, recent, {})]
    for number, name in enumerate(given_to):
        if number == min(first, second):
            states = [whole_state(history, memory, recent, {})]
        if number == max(first, second):
            states.append(changed_state(history, memory, recent, {}))
        memory._give(f"o{name}", triplet(number))
        assert len(memory) <= 3
    states.append(changed_state(history, memory, recent, {}))
    again = Triplets(3)
    restore(states, History(0, None, None, metadata=False), again, RecentAlerts(0))
    assert list(again.whole().items()) == list(memory.whole().items()) and not again.changes


def test_real_stamps(ztf_folder):
    """Each real packet alone: its own triplet if it is whole, as the data room says."""
    memory, whole = Triplets(0), 0
    for arrival in taken(FileStream([str(ztf_folder / "alerts_avro"), str(ztf_folder / "alerts_parquet")])):
        alert = alert_of(arrival.packet, metadata=False)
        found = memory.newest(alert, arrival.packet, alert.rows)
        try:
            wanted = packet_stamps(arrival.packet) if alert.own else None
        except NoStamp:
            wanted = None
        assert (found is None) == (wanted is None)
        if found is not None:
            np.testing.assert_array_equal(found[0], wanted)
            whole += 1
    assert whole > 80 and len(memory) == 0


def test_real_objects_of_several_alerts_look_as_preprocessing_makes_them(ztf_folder):
    """Every alert of the real packets, in the order of time: the detections and the image of `source_from_alerts`."""
    folders = [str(ztf_folder / "alerts_avro"), str(ztf_folder / "alerts_parquet")]
    packets = sorted((a.packet for a in taken(FileStream(folders))), key=lambda p: p["candidate"]["jd"])
    history, memory, known, several, images = History(500, None, None, metadata=True), Triplets(500), {}, 0, 0
    for one in packets:
        past = known.setdefault(one["objectId"], [])
        past.append(one)
        alert = alert_of(one, metadata=True)
        seen = history.touch(alert.object_id, alert.jd, alert.rows)
        if not len(seen):
            continue
        wanted = source_from_alerts(alert.object_id, past)
        source = source_of(alert.object_id, seen, memory.newest(alert, one, seen))
        for name in ("time", "band", "mag", "mag_err", "metadata"):
            np.testing.assert_array_equal(getattr(source, name), getattr(wanted, name), err_msg=f"{alert}")
        assert (source.has_image is None) == (wanted.has_image is None)
        if source.has_image is not None:
            at = np.flatnonzero(wanted.has_image)[-1]
            assert np.flatnonzero(source.has_image).tolist() == [at]
            np.testing.assert_array_equal(source.images(at), wanted.images(at))
            images += 1
        several += len({p["candid"] for p in past}) > 1
    assert several >= 10 and images > 80, (several, images)
