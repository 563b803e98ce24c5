"""Distances against published values, redshifts against the volume they should fill."""

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import kstest

from rtf_models.synthetic.cosmology import (
    comoving_distance,
    distance_modulus,
    redshift_of_modulus,
    sample_redshift,
)


def test_comoving_distance_at_redshift_1():  # Wright's cosmology calculator, flat, H0 = 70, Om = 0.3
    assert comoving_distance(1.0) == pytest.approx(3303.8, rel=1e-3)


@pytest.mark.parametrize("z", [0.01, 0.1, 0.5, 3.0, 9.0])
def test_comoving_distance_is_the_integral(z):
    expected = 299_792.458 / 70 * quad(lambda x: 1 / np.sqrt(0.3 * (1 + x) ** 3 + 0.7), 0, z)[0]
    assert comoving_distance(z) == pytest.approx(expected, rel=1e-5)


def test_nearby_distance_is_hubbles_law():
    assert distance_modulus(0.01) == pytest.approx(5 * np.log10(299_792.458 * 0.01 / 70) + 25, abs=0.02)


def test_modulus_and_redshift_are_inverse():
    for z in (0.003, 0.05, 0.7, 4.0):
        assert redshift_of_modulus(float(distance_modulus(z))) == pytest.approx(z, rel=1e-4)


def test_redshifts_fill_the_volume_with_time_dilation():
    z = sample_redshift(np.random.default_rng(0), 0.1, 0.9, 4000)

    def rate(x):
        return comoving_distance(x) ** 2 / np.sqrt(0.3 * (1 + x) ** 3 + 0.7) / (1 + x)

    grid = np.linspace(0.1, 0.9, 60)
    parts = np.cumsum([0.0] + [quad(rate, a, b)[0] for a, b in zip(grid, grid[1:], strict=False)])
    assert z.min() >= 0.1 and z.max() <= 0.9
    assert kstest(z, lambda x: np.interp(x, grid, parts / parts[-1])).pvalue > 0.01
    assert kstest(z, lambda x: (x - 0.1) / 0.8).pvalue < 1e-6  # it can tell volume from uniform in z
