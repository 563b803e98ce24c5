"""True light curves: peaks, distances, time dilation, colours."""

import numpy as np
import pytest

from rtf_models.synthetic.colour import dust
from rtf_models.synthetic.cosmology import distance_modulus
from rtf_models.synthetic.light_curve import PHASES, draw
from rtf_models.synthetic.population import POPULATIONS

NAMES = list(POPULATIONS)


def transient(name, z=0.05, seed=0, **more):
    z = None if POPULATIONS[name].modulus is not None else z
    return draw(POPULATIONS[name], np.random.default_rng(seed), z, **more)


@pytest.mark.parametrize("name", NAMES)
def test_flux_is_normalised_to_its_peak_and_never_negative(name):
    for seed in range(5):
        one = transient(name, seed=seed)
        flux = one.flux(PHASES)
        assert flux.max() == pytest.approx(1) and flux.min() >= 0 and np.isfinite(flux).all()
        assert one.flux(np.array([one.peak_phase]))[0] == pytest.approx(1)
        begin, end = one.lifetime()
        assert begin <= one.peak_phase * (1 + one.z) + 0.03 <= end + 0.03


@pytest.mark.parametrize("name", NAMES)
def test_peak_magnitude_is_absolute_magnitude_at_the_distance(name):
    one = transient(name, z=1e-3)  # near: K correction of r is nearly nothing
    days = np.array([one.peak_phase * (1 + one.z)])
    red = np.array([1])
    expected = one.peak + one.modulus + dust(red, one.z, one.host_av, one.galactic_av)[0]
    assert one.magnitude(days, red)[0] == pytest.approx(expected, abs=0.02)
    assert one.brightest_r() == pytest.approx(one.magnitude(days, red)[0], abs=1e-9)


def test_supernova_ia_at_z_005_peaks_near_magnitude_17_5():
    assert distance_modulus(0.05) == pytest.approx(36.74, abs=0.02)
    peaks = [transient("SN Ia", 0.05, seed).brightest_r() for seed in range(200)]
    assert np.median(peaks) == pytest.approx(17.6, abs=0.15)
    assert 0.25 < np.std(peaks) < 0.55


def test_time_runs_slower_far_away():
    near, far = transient("SN Ia", 0.01, 3), transient("SN Ia", 0.61, 3)
    assert far.shape == near.shape
    assert far.lifetime()[1] / near.lifetime()[1] == pytest.approx(1.61 / 1.01, rel=1e-6)
    days = np.array([10.0])
    assert far.flux(days / 1.61)[0] == pytest.approx(near.flux(days / 1.61)[0])


def test_bands_differ_and_type_ia_reddens():
    """The original gave both bands the same flux."""
    one = transient("SN Ia", 0.03, 1)
    for days, low, high in ((0, -0.4, 0.25), (30, 0.7, 1.4)):
        at = np.full(2, one.peak_phase + days) * (1 + one.z)
        g, r = one.magnitude(at, np.array([0, 1]))
        assert low < g - r - one.colour_offset < high


def test_tidal_disruption_is_blue_and_kilonova_turns_red():
    def colour(name, days):
        values = []
        for seed in range(20):
            one = transient(name, 0.02, seed)
            at = np.full(2, one.peak_phase + days) * (1 + one.z)
            g, r = one.magnitude(at, np.array([0, 1]))
            values.append(g - r)
        return np.median(values)

    assert colour("TDE", 30) < 0.05
    assert colour("kilonova", 0) < 0.2 < 1.2 < colour("kilonova", 4)


def test_nothing_before_the_explosion():
    for name in ("kilonova", "afterglow"):
        one = transient(name, 0.02)
        assert np.isinf(one.magnitude(np.array([-0.5, -20.0]), np.array([0, 1]))).all()
        assert np.isfinite(one.magnitude(np.array([0.5]), np.array([1]))).all()


def test_kilonova_fades_as_fast_as_at2017gfo():
    """AT2017gfo lost about 1 mag a day in g and half of that in r in the days after its peak (Villar et al. 2017)."""
    slopes = []
    for seed in range(40):
        one = transient("kilonova", 0.01, seed)
        days = np.array([one.peak_phase + 0.5, one.peak_phase + 4.0] * 2) * (1 + one.z)
        magnitudes = one.magnitude(days, np.array([0, 0, 1, 1]))
        slopes.append((np.diff(magnitudes[:2])[0] / 3.5, np.diff(magnitudes[2:])[0] / 3.5))
    g, r = np.median(slopes, axis=0)
    assert 0.7 < g < 1.6 and 0.4 < r < 1.1


def test_afterglow_is_a_power_law_in_frequency():
    one = transient("afterglow", 1.0)
    g, r = one.magnitude(np.array([2.0, 2.0]), np.array([0, 1]))
    reddening = np.diff(dust(np.array([1, 0]), one.z, one.host_av, one.galactic_av))[0]
    assert g - r - reddening - one.colour_offset == pytest.approx(2.5 * np.log10(0.6366 / 0.4746), abs=1e-6)


def test_type_iib_can_have_two_peaks():
    double = 0
    for seed in range(30):
        flux = transient("SN IIb", seed=seed).flux(np.arange(-2, 40, 0.1))
        double += int(((flux[1:-1] > flux[:-2]) & (flux[1:-1] > flux[2:])).sum() >= 2)
    assert double >= 10
