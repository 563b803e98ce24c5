"""A laboratory's own folder in volts, and every way in which a folder can be wrong."""

import json

import numpy as np
import pytest

from venom_hw.detector import DataError, load_pulse_set
from venom_hw.detector.folder import write_line, write_metadata
from venom_hw.detector.phase_coordinate import PhaseCoordinate

from .conftest import user_arrays


@pytest.fixture
def folder(tmp_path):
    write_line(tmp_path / "900nm.npz", **user_arrays(seed=1, height=2.0))
    write_line(tmp_path / "1200.5nm.npz", **user_arrays(seed=2, height=1.7))
    write_metadata(tmp_path, {"sample_rate_hz": 2e6})
    return tmp_path


def change(path, **new):
    with np.load(path) as data:
        arrays = {k: data[k] for k in data.files}
    for key, value in new.items():
        if value is None:
            del arrays[key]
        else:
            arrays[key] = value(arrays[key]) if callable(value) else value
    write_line(path, **arrays)


def test_volts_are_centred_scaled_and_windowed(folder):
    pulses = load_pulse_set(folder)
    window = pulses.window
    assert pulses.wl_labels == ["900nm", "1200.5nm"]
    assert np.hypot(window.centre[0] + 0.3, window.centre[1] - 0.07) < 0.01  # the loop's centre
    assert np.log2(window.counts_per_unit).is_integer()
    assert 8000 < np.abs(pulses.counts).max() <= 20000
    assert abs(window.tau_s / 40e-6 - 1) < 0.02 and abs(window.length - 110) <= 2
    theta = PhaseCoordinate.fit(pulses)(pulses.counts)
    assert abs(theta[pulses.wl_ids == 0].max(axis=1).mean() - 2.0) < 0.1


def test_the_same_volts_through_a_given_window_give_the_same_counts(folder):
    first = load_pulse_set(folder)
    again = load_pulse_set(folder, window=first.window, downsample=2)
    assert np.array_equal(first.counts, again.counts)


def test_metadata_settles_centre_and_decay(folder):
    write_metadata(folder, {"sample_rate_hz": 2e6, "centre": [-0.3, 0.07], "tau_s": 30e-6})
    window = load_pulse_set(folder).window
    assert window.centre == (-0.3, 0.07) and window.tau_s == 30e-6 and window.length == 85


def test_noise_comes_from_before_the_pulses_where_there_is_no_noise_file(folder):
    noise = load_pulse_set(folder).noise
    assert noise.shape[0] == 40 and 16 <= noise.shape[1] < 50
    change_in_pulse = np.abs(np.diff(noise.astype(int), axis=1)).max()
    assert change_in_pulse < 1500  # no pulse in it: one would step by thousands of counts


@pytest.mark.parametrize(("key", "value", "says"), [
    ("mask", None, "missing key"),
    ("q_trace", None, "missing key"),
    ("q_trace", lambda a: a[:, :-1], "shape"),
    ("i_trace", lambda a: a[0], "2-D"),
    ("mask", lambda a: a[:-1], "one a pulse"),
    ("peak_heights", lambda a: a[:, None], "one a pulse"),
    ("i_trace", lambda a: np.where(np.arange(a.size).reshape(a.shape) == 7, np.nan, a), "NaN"),
    ("peak_heights", lambda a: np.full_like(a, np.inf), "infinity"),
    ("mask", lambda a: np.zeros_like(a), "empty"),
    ("mask", lambda a: np.full(len(a), 2), "boolean"),
    ("i_trace", lambda a: a + 1j, "dtype"),
])
def test_a_bad_field_is_named(folder, key, value, says):
    change(folder / "900nm.npz", **{key: value})
    with pytest.raises(DataError) as error:
        load_pulse_set(folder)
    assert "900nm.npz" in str(error.value) and says in str(error.value) and "expected" in str(error.value)
    assert error.value.field == key


def test_no_pulses_at_all(folder):
    empty = user_arrays()
    write_line(folder / "900nm.npz", **{k: v[:0] for k, v in empty.items()})
    with pytest.raises(DataError, match="900nm.npz.*empty"):
        load_pulse_set(folder)


def test_nan_in_a_masked_pulse_does_not_matter(folder):
    change(folder / "900nm.npz", i_trace=lambda a: np.where(np.arange(len(a))[:, None] == 3, np.nan, a),
           mask=lambda a: np.arange(len(a)) != 3)
    assert np.isfinite(load_pulse_set(folder, peak_sigma=0).counts).all()


@pytest.mark.parametrize("name", ["blue.npz", "nm.npz", "-808nm.npz", "808.npz", "3nm.npz", "808nm copy.npz"])
def test_unparsable_wavelength(folder, name):
    write_line(folder / name, **user_arrays())
    with pytest.raises(DataError, match="808nm.npz|50 to 50000") as error:
        load_pulse_set(folder)
    assert name in str(error.value)


def test_the_same_wavelength_twice(folder):
    write_line(folder / "900.0nm.npz", **user_arrays())
    with pytest.raises(DataError, match="900 nm again"):
        load_pulse_set(folder)


def test_auxiliary_files_are_no_lines(folder):
    write_line(folder / "sweep.npz", f=np.zeros(3), z=np.zeros(3))
    assert len(load_pulse_set(folder).wl_labels) == 2


def test_no_folder_no_lines_no_archive(folder, tmp_path_factory):
    with pytest.raises(DataError, match="no such folder"):
        load_pulse_set(folder / "nowhere")
    with pytest.raises(DataError, match="no npz file"):
        load_pulse_set(tmp_path_factory.mktemp("empty"))
    (folder / "900nm.npz").write_bytes(b"PK\x03\x04 not really")
    with pytest.raises(DataError, match="900nm.npz.*cannot be read"):
        load_pulse_set(folder)


def test_pickled_arrays_are_not_loaded(folder):
    np.savez(folder / "900nm.npz", **{**user_arrays(), "mask": np.array([None] * 40, object)})
    with pytest.raises(DataError, match="cannot be read.*without pickled"):
        load_pulse_set(folder)


@pytest.mark.parametrize(("text", "says"), [
    ("{", "not JSON"), ("[1]", "a JSON object"), ("{}", "sample rate"), ('{"sample_rate_hz": "2 MHz"}', "positive"),
    ('{"sample_rate_hz": 2e6, "centre": 3}', "centre"), ('{"sample_rate_hz": 2e6, "tau_s": -1}', "tau_s")])
def test_bad_metadata_is_named(folder, text, says):
    (folder / "metadata.json").write_text(text)
    with pytest.raises(DataError, match=says) as error:
        load_pulse_set(folder)
    assert "metadata.json" in str(error.value)


def test_lines_of_different_length(folder):
    write_line(folder / "1000nm.npz", **user_arrays(samples=500))
    with pytest.raises(DataError, match="500|600"):
        load_pulse_set(folder)


def test_peaks_too_early(folder):
    for name in ("900nm.npz", "1200.5nm.npz"):
        change(folder / name, i_trace=lambda a: a[:, 190:], q_trace=lambda a: a[:, 190:])
    with pytest.raises(DataError, match="too early"):
        load_pulse_set(folder)


def test_another_gain_does_not_wrap_int16(folder):
    window = load_pulse_set(folder).window
    loud = window.to_dict() | {"counts_per_unit": window.counts_per_unit * 8}
    with pytest.raises(DataError, match="int16"):
        load_pulse_set(folder, window=type(window).from_dict(loud))


def test_volts_in_a_window_made_for_counts(folder):
    window = load_pulse_set(folder).window
    for_counts = type(window).from_dict(window.to_dict() | {"counts_per_unit": 1.0, "centre": [0.0, 0.0]})
    with pytest.raises(DataError, match="counts_per_unit.*64"):
        load_pulse_set(folder, window=for_counts)


def test_constant_traces(folder):
    for name in ("900nm.npz", "1200.5nm.npz"):
        change(folder / name, i_trace=np.zeros_like, q_trace=np.zeros_like)
    with pytest.raises(DataError, match="constant|no pulse"):
        load_pulse_set(folder)
    assert json.loads((folder / "metadata.json").read_text()) == {"sample_rate_hz": 2e6}
