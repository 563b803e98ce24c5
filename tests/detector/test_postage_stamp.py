"""Postage stamps of the Gen3 readout: the buffer's layout, folders of one channel, windows for a model."""

import json

import numpy as np
import pytest

from venom_hw.detector import DataError, Window, load_pulse_set
from venom_hw.detector.postage_stamp import (
    PostageStamps,
    read_stamps,
    stamps_of,
    stamps_to_pulses,
    write_stamp_folder,
)


def capture(n=300, height=1.8, tau=25e-6, channels=(7, 1033), seed=0, empty=20):
    """A buffer as the readout fills it: garbage first, eight samples before the trigger, unused places at the end."""
    rng = np.random.default_rng(seed)
    time = (np.arange(127) - 8) / 1e6
    theta = height * rng.normal(1, 0.01, (n, 1)) * np.where(time >= 0, np.exp(-np.maximum(time, 0) / tau), 0.0)
    z = 9000 * np.exp(-1j * (theta - 0.3)) + 60 * (rng.standard_normal((n, 127)) + 1j * rng.standard_normal((n, 127)))
    buffer = np.zeros((n + 1 + empty, 128, 2), np.int16)
    buffer[1:n + 1, 1:, 0], buffer[1:n + 1, 1:, 1] = np.rint(z.real), np.rint(z.imag)
    buffer[1:n + 1, 0, 0] = np.resize(channels, n)
    buffer[0] = -21846  # 0xAAAA: what was in memory before
    return buffer


def test_the_layout_is_read(tmp_path):
    buffer = capture()
    np.save(tmp_path / "a.npy", buffer)
    np.savez(tmp_path / "a.npz", buffer=buffer)
    for name in ("a.npy", "a.npz"):
        stamps = read_stamps(tmp_path / name)
        assert len(stamps) == 300 and stamps.iq.shape == (300, 127, 2) and stamps.iq.dtype == np.int16
        assert np.unique(stamps.channels).tolist() == [7, 1033]
        np.testing.assert_array_equal(stamps.iq, buffer[1:301, 1:])
    assert len(stamps.of_channel(7)) == 150 and (stamps.of_channel(7).channels == 7).all()
    with pytest.raises(DataError, match="channel 8.*7, 1033"):
        stamps.of_channel(8)
    with pytest.raises(DataError, match="word 0.*43690"):  # the garbage stamp, when it is not left out
        stamps_of(buffer, skip=0)


@pytest.mark.parametrize("buffer", [np.zeros((3, 127, 2), np.int16), np.zeros((3, 128), np.int16),
                                    np.zeros((3, 128, 2)), np.zeros((3, 128, 2), np.int16)])
def test_other_buffers_are_refused(buffer, tmp_path):
    with pytest.raises(DataError, match="int16|no stamp"):
        stamps_of(buffer)
    np.save(tmp_path / "x.npy", np.array([None], object))
    with pytest.raises(DataError, match="x.npy.*cannot be read"):
        read_stamps(tmp_path / "x.npy")


def folder_of(tmp_path, **options):
    captures = {w: stamps_of(capture(height=h, seed=int(w))) for w, h in ((808.0, 2.1), (1310.0, 1.6))}
    return write_stamp_folder(captures, tmp_path / "out", 1033, **options), captures


def test_a_channel_becomes_a_folder_that_loads(tmp_path):
    files, captures = folder_of(tmp_path)
    assert [f.name for f in files] == ["808nm.npz", "1310nm.npz", "metadata.json"]
    with np.load(files[0]) as line:
        assert line["i_trace"].dtype == np.int16
        np.testing.assert_array_equal(line["i_trace"], captures[808.0].of_channel(1033).iq[..., 0])
    pulses = load_pulse_set(tmp_path / "out", downsample=2, n_pre=3, peak_sigma=0)
    assert len(pulses) == 300 and pulses.window.rate_hz == 500e3 and pulses.window.counts_per_unit == 1.0
    assert pulses.window.centre == (0.0, 0.0) and abs(pulses.window.tau_s / 25e-6 - 1) < 0.05
    assert abs(pulses.peak_heights[pulses.wl_ids == 0].mean() / -2.1 - 1) < 0.1
    assert folder_of(tmp_path)[0] == []  # there already


@pytest.mark.parametrize(("units", "factor"), [("2^15", 2.0**-15), ("2^14", 2.0**-14)])
def test_units_are_a_question_that_the_user_answers(tmp_path, units, factor):
    files, captures = folder_of(tmp_path, units=units)
    with np.load(files[0]) as line:
        np.testing.assert_array_equal(line["q_trace"], captures[808.0].of_channel(1033).iq[..., 1] * factor)
    assert json.loads((tmp_path / "out" / "metadata.json").read_text())["units"] == units
    as_counts = tmp_path / "counts"
    as_counts.mkdir()
    folder_of(as_counts)
    one, other = (load_pulse_set(f / "out", downsample=2, n_pre=3, peak_sigma=0) for f in (tmp_path, as_counts))
    scale = one.window.counts_per_unit * factor  # both hold the same pulses, but for a power of two
    assert np.abs(one.counts - other.counts * scale).max() <= 1 + scale


def test_clipped_stamps_are_marked(tmp_path):
    buffer = capture(channels=(5,))
    buffer[10, 40, 1] = -32768
    files = write_stamp_folder({900.0: stamps_of(buffer)}, tmp_path / "out")
    with np.load(files[0]) as line:
        assert np.flatnonzero(~line["mask"]).tolist() == [9]


def test_windows_for_a_model(tmp_path):
    stamps = stamps_of(capture())
    pulses, channels = stamps_to_pulses(stamps)
    assert len(pulses) == len(channels) == 300 and np.isnan(pulses.energies).all() and pulses.wl_labels == ["unknown"]
    assert pulses.window.n_pre == 3 and abs(pulses.window.length - (3 + 62)) <= 3
    mean = np.hypot(*(pulses.counts.mean(axis=0) - pulses.counts[:, 0].mean(axis=0)).T)
    assert mean.argmax() == 3 and (pulses.lengths <= 63).all() and (pulses.lengths > 55).all()
    known, _ = stamps_to_pulses(stamps, wavelength_nm=808)
    assert known.wl_labels == ["808nm"] and abs(known.energies[0] - 1.5345) < 1e-4
    np.testing.assert_array_equal(known.counts, pulses.counts)


def test_a_window_with_more_before_the_trigger_needs_an_extension():
    stamps = stamps_of(capture())
    window = Window(500e3, 10, 126, 46.4e-6, 5.0, 2)
    with pytest.raises(DataError, match="peaks too early"):
        stamps_to_pulses(stamps, window=window)
    pulses, _ = stamps_to_pulses(stamps, window=window, extend=True)
    assert len(pulses) == 300 and pulses.source["extended"] and (pulses.lengths >= 65).all()
    plain, _ = stamps_to_pulses(stamps, window=Window(500e3, 3, 60, 46.4e-6, 5.0, 2))
    np.testing.assert_array_equal(pulses.counts[:, 17:60], plain.counts[:, 10:53])  # the same samples behind the front
    with pytest.raises(DataError, match="1 MHz"):
        stamps_to_pulses(stamps, window=Window(500e3, 3, 60, 46.4e-6, 5.0, 4))


def test_what_cannot_be_a_folder(tmp_path):
    stamps = stamps_of(capture())
    with pytest.raises(DataError, match="2 channels"):
        write_stamp_folder({808.0: stamps}, tmp_path / "o")
    with pytest.raises(DataError, match="units"):
        write_stamp_folder({808.0: stamps}, tmp_path / "o", 7, units="volts")
    clipped = PostageStamps(stamps.channels, np.full_like(stamps.iq, 32767))
    for action in (lambda: write_stamp_folder({808.0: clipped}, tmp_path / "o", 7), lambda: stamps_to_pulses(clipped)):
        with pytest.raises(DataError, match="every stamp is clipped"):
            action()
    with pytest.raises(DataError, match="no capture"):
        write_stamp_folder({}, tmp_path / "o")
    assert not (tmp_path / "o").exists()
