"""The two-dimensional filter against closed forms, and the kinds of baselines."""

import numpy as np
import pytest

from venom_hw.detector import fit_filter_baseline, load_pulse_set
from venom_hw.detector.filter_baseline import KINDS
from venom_hw.detector.iq_filter import IqCoordinate, IqFilter, make_iq_filter, noise_matrix
from venom_hw.detector.noise_spectrum import noise_psd
from venom_hw.detector.optimal_filter import OptimalFilter, shift_traces

RATE, LENGTH = 1000.0, 128
T = np.arange(LENGTH)
PHASE = np.where(T >= 10, np.exp(-(T - 10) / 15.0), 0.0)
TEMPLATE = np.stack([PHASE, -0.3 * np.where(T >= 10, np.exp(-(T - 10) / 30.0), 0.0)], -1)


def coupled_noise(n, delay=3, seed=0):
    """White phase noise of 0.05, and a dissipation noise that repeats it `delay` samples later, with noise of its own:
    a complex cross spectrum, whose conjugate would be the opposite delay."""
    rng = np.random.default_rng(seed)
    phase = rng.normal(0, 0.05, (n, LENGTH))
    other = 0.8 * np.roll(phase, delay, axis=1) + rng.normal(0, 0.02, (n, LENGTH))
    return np.stack([phase, other], -1)


def white_matrix(phase, dissipation):
    matrix = np.zeros((LENGTH // 2 + 1, 2, 2), complex)
    matrix[:, 0, 0], matrix[:, 1, 1] = 2 * phase**2 / RATE, 2 * dissipation**2 / RATE
    return matrix


def test_noise_matrix_has_the_powers_and_the_delay():
    matrix = noise_matrix(coupled_noise(2000), RATE, LENGTH)
    inner = slice(3, -3)
    np.testing.assert_allclose(matrix[inner, 0, 0].real, 2 * 0.05**2 / RATE, rtol=0.12)
    np.testing.assert_allclose(matrix[inner, 1, 1].real, 2 * (0.04**2 + 0.02**2) / RATE, rtol=0.12)
    turn = np.unwrap(np.angle(matrix[inner, 0, 1]))
    slope = np.polyfit(2 * np.pi * np.fft.rfftfreq(LENGTH)[inner], turn, 1)[0]
    assert abs(abs(slope) - 3) < 0.1
    np.testing.assert_array_equal(matrix, np.conj(np.swapaxes(matrix, 1, 2)))
    short = noise_matrix(coupled_noise(2000)[:, :60], RATE, LENGTH)
    assert short.shape == matrix.shape and (np.linalg.eigvalsh(short) > 0).all()


def test_without_coupling_and_with_deaf_dissipation_it_is_the_phase_filter():
    deaf = IqFilter.from_template(TEMPLATE, white_matrix(0.05, 1e3), RATE)
    plain = OptimalFilter.from_template(PHASE, white_matrix(0.05, 1.0)[:, 0, 0].real, RATE)
    np.testing.assert_allclose(deaf.kernel[:, 0], plain.kernel, rtol=1e-6, atol=1e-12)
    assert abs(deaf.variance / plain.variance - 1) < 1e-6


def test_white_uncoupled_noise_adds_the_information_of_both():
    """1 / variance = sum (s - mean s)^2 / sigma^2 over both coordinates; measured too."""
    f = IqFilter.from_template(TEMPLATE, white_matrix(0.05, 0.02), RATE)
    centred = TEMPLATE - TEMPLATE.mean(axis=0)
    expected = 1 / ((centred**2).sum(axis=0) / np.array([0.05, 0.02]) ** 2).sum()
    assert abs(f.variance / expected - 1) < 1e-9
    noise = np.random.default_rng(1).standard_normal((8000, LENGTH, 2)) * [0.05, 0.02]
    assert abs(f.correlate(TEMPLATE + noise)[:, 9].var() / expected - 1) < 0.05


def test_coupled_noise_is_used():
    """The measured variance is the predicted one, and far below that of a filter which is blind to the coupling, or
    which has the delay the wrong way round (the conjugate matrix)."""
    matrix = noise_matrix(coupled_noise(4000), RATE, LENGTH)
    traces = TEMPLATE + coupled_noise(6000, seed=5)
    own = IqFilter.from_template(TEMPLATE, matrix, RATE)
    measured = own.correlate(traces)[:, 9].var()
    assert abs(measured / own.variance - 1) < 0.1
    blind = matrix * np.eye(2)
    for other in (blind, np.conj(matrix)):
        assert measured < 0.7 * IqFilter.from_template(TEMPLATE, other, RATE).correlate(traces)[:, 9].var()


def test_amplitude_and_arrival_of_shifted_pulses():
    smooth = np.exp(-0.5 * ((T - 40) / 6.0) ** 2)
    both = np.stack([smooth, -0.4 * smooth], -1)
    f = IqFilter.from_template(both, white_matrix(0.05, 0.05), RATE)
    moved = np.stack([shift_traces(both[None, :, k], [-2.3])[0] for k in range(2)], -1)
    amplitude, lag = f.apply(2.5 * moved[None] + [3.0, -1.0])
    assert abs(amplitude[0] / 2.5 - 1) < 1e-3 and abs(lag[0] - 2.3) < 0.02


def test_template_is_recovered_from_jittered_pulses():
    rng = np.random.default_rng(3)
    width = np.hanning(9) / np.hanning(9).sum()
    smooth = np.stack([np.convolve(TEMPLATE[:, k], width, "same") for k in range(2)], -1)
    lag = rng.uniform(-0.5, 0.5, 1500)
    pulses = np.stack([shift_traces(np.repeat(smooth[None, :, k], 1500, 0), lag) for k in range(2)], -1)
    f = make_iq_filter(pulses + rng.normal(0, 0.05, pulses.shape), white_matrix(0.05, 0.05), RATE, n_pre=10)
    np.testing.assert_allclose(f.template, smooth / smooth[:, 0].max(), atol=0.03)


def test_wrong_shapes_are_refused():
    with pytest.raises(ValueError, match="noise matrix"):
        IqFilter.from_template(TEMPLATE, np.ones((4, 2, 2)), RATE)
    with pytest.raises(ValueError, match="all positive"):
        IqFilter.from_template(TEMPLATE, np.ones((65, 2, 2)), RATE)
    f = IqFilter.from_template(TEMPLATE, white_matrix(0.1, 0.1), RATE)
    with pytest.raises(ValueError, match="expected \\(N, 128, 2\\)"):
        f.apply(np.zeros((3, 128)))


@pytest.fixture(scope="module")
def ptsi(ptsi_folder):
    return load_pulse_set(ptsi_folder)


def test_coordinates_of_a_pulse(ptsi):
    """At rest (0, 0); a photon turns the phase forward and, losing Q, pulls inside the loop."""
    trace = IqCoordinate.fit(ptsi)(ptsi.counts[::10])
    mean = trace.mean(axis=0)
    assert np.abs(mean[:6]).max() < 0.05 and mean[:, 0].max() > 1.5
    assert mean[25:60, 1].max() < -0.1


def test_kinds_of_baselines_calibrate_and_differ(ptsi):
    rows = np.arange(len(ptsi))
    found = {}
    for kind in KINDS:
        baseline = fit_filter_baseline(ptsi, rows[::2], kind=kind)
        assert baseline.kind == kind and baseline.needs_lines == (kind == "per_wavelength")
        found[kind] = baseline.predict(ptsi.counts, ptsi.wl_ids)
        for k in range(5):
            mine = (ptsi.wl_ids == k) & (rows % 2 == 1)
            assert abs(np.median(found[kind][mine]) / ptsi.energies[mine][0] - 1) < 0.015
    assert not np.array_equal(found["iq"], found["shared"])
    old = fit_filter_baseline(ptsi, rows[::2], True)
    assert old.kind == "per_wavelength"
    np.testing.assert_array_equal(old.predict(ptsi.counts, ptsi.wl_ids), found["per_wavelength"])
    for arguments in ({"kind": "kalman"}, {"kind": "iq", "per_wavelength": True}):
        with pytest.raises(ValueError, match="expected a kind"):
            fit_filter_baseline(ptsi, rows, **arguments)


def test_dissipation_helps_where_the_phase_is_noisy(ptsi):
    """The predicted noise of the response, with both coordinates, is below that of the phase alone."""
    rows = np.arange(len(ptsi))
    one, both = (fit_filter_baseline(ptsi, rows, kind=k) for k in ("shared", "iq"))
    assert both.filters[0].variance < 0.9 * one.filters[0].variance
    psd = noise_psd(one.coordinate(ptsi.noise), ptsi.window.rate_hz, ptsi.window.length)
    matrix = noise_matrix(both.coordinate(ptsi.noise), ptsi.window.rate_hz, ptsi.window.length)
    np.testing.assert_allclose(matrix[:, 0, 0].real, psd, rtol=1e-6)
