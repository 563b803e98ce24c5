"""The real pulses as stimuli."""

import numpy as np
import pytest

from venom_hw.detector import PRESETS, DataError, Window, load_pulse_set, load_real_ptsi
from venom_hw.detector.phase_coordinate import PhaseCoordinate

WINDOW = Window(500e3, 10, 126, 46.4e-6, 5.0, 4)


@pytest.fixture(scope="module")
def path(shared_data):
    file = shared_data / "mkid" / "ptsi_real_2MHz.npz"
    if not file.is_file():
        pytest.skip(f"real PtSi pulses not found: {file}")
    return file


def test_windows_begin_before_the_peak_and_end_with_the_valid_samples(path):
    real = load_real_ptsi(path, WINDOW)
    assert len(real) > 30 and real.counts.shape == (len(real), 126, 2) and real.counts.dtype == np.int16
    assert real.lengths.min() >= 11 and real.lengths.max() == 110  # samples 60, 64, ... 496 of 500
    with np.load(path) as data:
        valid = data["valid"][real.rows]
    for row, length in enumerate(real.lengths):
        last = 60 + 4 * (length - 1)
        assert valid[row, 60:last + 1].all()
        assert last + 4 >= 500 or not valid[row, last + 1:last + 5].all()
        assert not real.counts[row, length:].any()


def test_they_lie_on_the_simulated_loop(path, ptsi_folder):
    """Same radius, same rest point, same direction: peak phase 1.9 to 2.7 rad in the simulation's coordinate."""
    real = load_real_ptsi(path, WINDOW)
    preset = PRESETS["ptsi"]
    whole = real.isolated & (real.lengths == 110)
    rest = np.median(real.counts[whole][:, :6].reshape(-1, 2), axis=0)
    assert abs(np.hypot(*rest) / (preset.loop_radius * preset.counts_per_unit) - 1) < 0.1
    theta = PhaseCoordinate.fit(load_pulse_set(ptsi_folder))(real.counts[whole])
    assert abs(np.median(theta[:, :6])) < 0.15 and 1.9 < theta.mean(axis=0).max() < 2.7
    assert 9 <= np.argmax(theta.mean(axis=0)) <= 11


def test_shorter_windows_cut(path):
    short = load_real_ptsi(path, Window(500e3, 10, 40, 46.4e-6, 5.0, 4))
    long = load_real_ptsi(path, WINDOW)
    assert short.lengths.max() == 40 and np.array_equal(short.counts[0], long.counts[0][:40])


def test_another_rate_or_file_is_refused(path, tmp_path):
    with pytest.raises(DataError, match="sample_rate"):
        load_real_ptsi(path, Window(200e3, 10, 426, 416e-6, 5.0, 4))
    np.savez(tmp_path / "x.npz", i=np.zeros(3))
    with pytest.raises(DataError, match="missing key"):
        load_real_ptsi(tmp_path / "x.npz", WINDOW)
    with pytest.raises(DataError, match="nowhere"):
        load_real_ptsi(tmp_path / "nowhere.npz", WINDOW)
