"""Black bodies, K corrections and dust against their limits and published values."""

import numpy as np
import pytest

from rtf_models.synthetic.colour import (
    WAVELENGTHS,
    blackbody,
    colour_of_temperature,
    dust,
    extinction,
    k_correction,
    share_of_r,
    temperature_of_colour,
)


def test_hot_black_body_is_rayleigh_jeans():
    expected = -2.5 * np.log10((WAVELENGTHS[1] / WAVELENGTHS[0]) ** 2)  # f_nu ~ nu^2
    assert colour_of_temperature(1e7) == pytest.approx(expected, abs=0.001)


def test_black_body_peaks_where_wien_says():
    wavelengths = np.linspace(0.3, 2, 20_001)
    peak = wavelengths[np.argmax(blackbody(wavelengths, 6000.0))]
    assert peak == pytest.approx(
        5099.4 / 6000, rel=1e-3
    )  # lambda T of the maximum of B_nu, micrometre kelvin


def test_temperature_and_colour_are_inverse():
    t = np.geomspace(2000, 50_000, 30)
    assert temperature_of_colour(colour_of_temperature(t)) == pytest.approx(t, rel=2e-3)
    assert 5000 < temperature_of_colour(0.44) < 6500  # the sun's g - r


def test_k_correction_is_a_redshifted_black_body():
    """A black body of T at z looks like one of T / (1 + z): the colours agree, and at z = 0 nothing happens in r."""
    bands = np.array([0, 1, 2])
    far = k_correction(np.full(3, 12_000.0), bands, 0.5)
    near = k_correction(np.full(3, 8_000.0), bands, 0.0)
    assert np.diff(far) == pytest.approx(np.diff(near), abs=1e-9)
    assert k_correction(np.array([9000.0]), np.array([1]), 0.0)[0] == pytest.approx(0, abs=1e-12)


def test_k_correction_in_the_rayleigh_jeans_limit():
    """f_nu = (1 + z) L_nu(nu (1 + z)) and L_nu ~ nu^2: (1 + z)^3."""
    assert k_correction(np.array([1e7]), np.array([1]), 0.5)[0] == pytest.approx(-7.5 * np.log10(1.5), abs=1e-3)


def test_extinction_of_cardelli():
    assert extinction(0.55) == pytest.approx(1.0, abs=0.01)
    # Cardelli et al. 1989, table 3, R_V = 3.1: U, B, R, I
    for wavelength, ratio in ((1 / 2.78, 1.569), (1 / 2.27, 1.337), (1 / 1.43, 0.751), (1 / 1.11, 0.479)):
        assert extinction(wavelength) == pytest.approx(ratio, rel=0.03)


def test_share_of_r_is_largest_where_r_meets_the_black_body():
    """B_nu(r) / T^4 has its maximum at h nu / k T = 3.92 (x e^x / (e^x - 1) = 4)."""
    t = np.linspace(3000, 12_000, 9001)
    best = t[np.argmin(share_of_r(t))]
    assert 14_387.77 / (WAVELENGTHS[1] * best) == pytest.approx(3.9207, rel=1e-3)


def test_dust_reddens():
    g, r, i = dust(np.array([0, 1, 2]), 0.1, 0.5, 0.1)
    assert g > r > i > 0
    assert dust(np.array([1]), 0.1, 0.0, 0.0)[0] == 0
