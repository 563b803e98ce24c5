"""Simulated pulses held against closed forms and against the real ones."""

import dataclasses

import numpy as np
import pytest

from venom_hw.detector import PRESETS, DataError
from venom_hw.detector.pulse_overlay import noise_level, real_curves, simulated_curves
from venom_hw.detector.real_ptsi import load_raw_ptsi
from venom_hw.simulate import main

PTSI = PRESETS["ptsi"]


@pytest.fixture(scope="module")
def path(shared_data):
    file = shared_data / "mkid" / "ptsi_real_2MHz.npz"
    if not file.is_file():
        pytest.skip(f"real PtSi pulses not found: {file}")
    return file


@pytest.fixture(scope="module")
def curves(path):
    return real_curves(PTSI, path), simulated_curves(PTSI, 20)


def test_pulses_have_the_real_phase_at_every_time(curves):
    """What version 2 was fitted to: within 0.2 rad of 2.2 from the peak on, a tenth in the mean."""
    real, simulated = curves
    after = real.time > 1e-6
    difference = np.interp(real.time, simulated.time, simulated.median("phase")) - real.median("phase")
    assert np.abs(difference[after]).max() < 0.35 and np.abs(difference[after]).mean() < 0.12
    peak = real.median("phase").max()
    assert 1.9 < peak < 2.7 and abs(simulated.median("phase").max() / peak - 1) < 0.12


def test_noise_has_the_real_shape_and_a_lower_level(curves):
    """Ratio of the phase spectra: the same factor below, at and above the pick-up line, a quarter or so."""
    real, simulated = curves
    level = noise_level(real, simulated)
    assert 0.15 < level < 0.4
    f = simulated.frequency
    assert np.array_equal(f, real.frequency)
    for low, high in ((5e3, 40e3), (50e3, 70e3), (80e3, 200e3), (200e3, 400e3)):
        band = (f >= low) & (f <= high)
        ratio = simulated.phase_psd[band].mean() / real.phase_psd[band].mean()
        assert 0.6 < ratio / level < 1.7, (low, high)


def test_real_pulses_are_raw_and_isolated(path):
    raw = load_raw_ptsi(path)
    with np.load(path) as data:
        assert len(raw.pulses) == data["isolated"].sum() and raw.noise.shape == data["noise_i"].shape
        assert np.array_equal(np.isfinite(raw.pulses), data["valid"][data["isolated"]])
    rest = np.median(np.abs(raw.noise)) / (PTSI.loop_radius * PTSI.counts_per_unit)
    assert raw.rate_hz == 2e6 and abs(rest - 1) < 0.05


def test_pulses_without_noise_are_the_analytic_shape():
    """Linear limit: density, ring-down and readout are exponentials, so the pulse is their sum in closed form."""
    from venom_hw.detector.simulator import clean_response, phase

    linear = dataclasses.replace(PTSI, shift_per_ev=1e-8, loss_ratio=0.0, swenson_a=0.0, asymmetry=0.0,
                                 recombination=0.0, hotspot_fraction=0.0, readout_bandwidth_hz=None, tau_rise_s=20e-6)
    found = phase(linear, clean_response(linear, 1.0, dtype=np.float64))[0]
    found -= found[0]
    t = np.maximum((np.arange(linear.n_samples) - linear.arrival_index) / linear.sample_rate_hz, 0.0)

    def through(tau, ring):  # exp(-t/tau) after a one-pole low-pass of time `ring`
        return tau / (tau - ring) * (np.exp(-t / tau) - np.exp(-t / ring))

    tau, ring = linear.tau_s, linear.ring_time_s
    both = 1 / (1 / tau + 1 / linear.tau_rise_s)
    expected = 4 * linear.q * linear.shift_per_ev * (through(tau, ring) - through(both, ring))
    # the sampled low-pass is the continuous one up to half a sample of delay
    np.testing.assert_allclose(found, expected, atol=0.02 * expected.max())
    late = t > 200e-6
    np.testing.assert_allclose(found[late], expected[late], rtol=0.01)


def test_the_command_plots_and_says_what_it_did(tmp_path, path, capsys):
    picture = tmp_path / "overlay.png"
    assert main(["--overlay", str(picture), "--real", str(path)]) == 0
    assert picture.read_bytes().startswith(b"\x89PNG") and "of the real power, 5 to 250" in capsys.readouterr().out
    assert not list(tmp_path.glob(".*"))


def test_without_real_pulses_the_command_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("VENOM_DATA", str(tmp_path))
    assert main(["--overlay", str(tmp_path / "a.png")]) == 0
    assert "skipped the real ones" in capsys.readouterr().out and (tmp_path / "a.png").exists()
    assert main(["--overlay", str(tmp_path / "b.png"), "--real", str(tmp_path / "nowhere.npz")]) == 2
    assert "nowhere.npz" in capsys.readouterr().err and not (tmp_path / "b.png").exists()
    assert main([]) == 2 and "--out" in capsys.readouterr().err


def test_another_file_is_refused(tmp_path):
    np.savez(tmp_path / "x.npz", i=np.zeros(3))
    with pytest.raises(DataError, match="missing key"):
        real_curves(PTSI, tmp_path / "x.npz")
