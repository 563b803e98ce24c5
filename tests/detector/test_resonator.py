"""S21 and the ring-down against their equations."""

import dataclasses

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from venom_hw.detector.presets import PRESETS
from venom_hw.detector.resonator import loop_centre, ring_down, s21, swenson_detuning

PTSI = PRESETS["ptsi"]


@given(st.floats(-1.0, 60.0), st.floats(0.0, 0.5))
def test_swenson_solves_its_cubic(y0, a):
    y = float(swenson_detuning(np.float64(y0), a))
    residual = 4 * y**3 - 4 * y0 * y**2 + y - (y0 + a)
    assert abs(residual) < 1e-6 * (1 + abs(y0)) ** 3


def test_swenson_is_linear_without_power():
    y0 = np.linspace(-3, 30, 100)
    np.testing.assert_allclose(swenson_detuning(y0, 0.0), y0, atol=1e-12)


def test_quiescent_point_is_the_resonance_dip():
    linear = dataclasses.replace(PTSI, asymmetry=0.0)
    z = s21(linear, np.zeros(1), np.zeros(1))[0]
    assert abs(z - (1 - PTSI.q / PTSI.qc)) < 1e-9
    assert abs(abs(z - loop_centre(PTSI)) - PTSI.loop_radius) < 1e-9


def test_without_loss_the_response_stays_on_the_circle_and_phase_is_twice_the_arctangent():
    linear = dataclasses.replace(PTSI, asymmetry=0.0, swenson_a=0.0)
    shift = np.linspace(0, 2e-4, 50)
    z = s21(linear, shift, np.zeros(50)) - loop_centre(PTSI)
    np.testing.assert_allclose(np.abs(z), PTSI.loop_radius, rtol=1e-9)
    np.testing.assert_allclose(np.abs(np.angle(z / z[0])), 2 * np.arctan(2 * PTSI.q * shift), atol=1e-9)


def test_loss_pulls_the_response_inside_the_loop():
    z = s21(PTSI, np.array([3e-5]), np.array([5e-6])) - loop_centre(PTSI)
    assert abs(z[0]) < 0.97 * PTSI.loop_radius


def test_ring_down_has_the_resonator_time_and_starts_settled():
    step = np.r_[np.full(20, 1 + 1j), np.zeros(200)].astype(np.complex128)[None]
    out = ring_down(PTSI, step)[0]
    np.testing.assert_allclose(out[:20], 1 + 1j)
    decay = np.exp(-1 / (PTSI.sample_rate_hz * PTSI.ring_time_s))
    np.testing.assert_allclose(out[20:60], (1 + 1j) * decay ** np.arange(1, 41), rtol=1e-9)
