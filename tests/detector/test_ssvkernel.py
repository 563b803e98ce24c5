"""The adaptive density against the authors' package, its own definition and Gaussian theory; widths of known curves."""

import sys

import adaptivekde
import numpy as np
import pytest

from venom_hw.detector.adaptive_width import AdaptiveLine
from venom_hw.detector.half_maximum import full_width_half_maximum
from venom_hw.detector.ssvkernel import fine_histogram, inverse_log_exp, log_exp, ssvkernel

REFERENCE = sys.modules[adaptivekde.ssvkernel.__module__].ssvkernel
FWHM_PER_SIGMA = 2 * np.sqrt(2 * np.log(2))


def sample(kind, n, seed=0):
    rng = np.random.default_rng(seed)
    if kind == "cauchy":
        return np.clip(1.2 + 0.02 * rng.standard_cauchy(n), 0.8, 1.6)
    if kind == "two lines":
        return np.r_[rng.normal(1.0, 0.02, n // 2), rng.normal(1.2, 0.05, n - n // 2)]
    values = rng.normal(1.2, 0.04, n)
    return {"gauss": values, "meV": 1e3 * values, "integers": np.round(values, 3)}[kind]


@pytest.mark.parametrize(("kind", "n", "points"), [("gauss", 300, 140), ("cauchy", 400, 260), ("two lines", 400, 150),
                                                  ("meV", 200, 130), ("integers", 300, 900)])
def test_same_numbers_as_the_authors_package(kind, n, points):
    """Integers: 900 points are finer than the values' steps, so both fall back to a coarser grid."""
    values = sample(kind, n)
    grid = np.linspace(values.min(), values.max(), points)
    density, t, bandwidth, *_ = REFERENCE(values, grid, WinFunc="Gauss", nbs=1)
    ours = ssvkernel(values, grid)
    y, width = ours.at(t)
    assert len(ours.t) == points or kind == "integers" and len(ours.t) < points
    assert np.abs(y - density).max() < 1e-9 * density.max()
    assert np.abs(width - bandwidth).max() < 1e-9 * bandwidth.max()


def test_the_package_s_window_functions_are_not_all_the_same():
    """The comparison above would notice another window."""
    values = sample("two lines", 300)
    grid = np.linspace(values.min(), values.max(), 200)
    other = REFERENCE(values, grid, WinFunc="Cauchy", nbs=1)[2]
    assert np.abs(ssvkernel(values, grid).bandwidth - other).max() > 0.01 * other.max()


def test_values_outside_the_grid_do_not_count():
    values = sample("gauss", 300)
    grid = np.linspace(1.1, 1.3, 100)
    density, _, bandwidth, *_ = REFERENCE(values, grid, WinFunc="Gauss", nbs=1)
    ours = ssvkernel(values, grid)
    assert np.abs(ours.density - density).max() < 1e-9 * density.max()
    assert np.abs(ours.bandwidth - bandwidth).max() < 1e-9 * bandwidth.max()


def test_a_density_and_wider_where_there_is_less():
    values = sample("two lines", 2000)
    found = ssvkernel(values, np.linspace(values.min(), values.max(), 400))
    dt = found.t[1] - found.t[0]
    assert abs(found.density.sum() * dt - 1) < 1e-12 and (found.density >= 0).all()
    narrow, wide = (found.at(x)[1] for x in (1.0, 1.3))
    assert wide > 1.3 * narrow
    parts = [np.exp(-0.5 * ((found.t - m) / s) ** 2) / s / np.sqrt(2 * np.pi) for m, s in ((1.0, 0.02), (1.2, 0.05))]
    truth = 0.5 * (parts[0] + parts[1])
    assert ((found.density - truth) ** 2).sum() < 0.02 * (truth**2).sum()


def test_histogram_is_centred_on_the_grid():
    grid = np.linspace(0.0, 1.0, 11)
    np.testing.assert_array_equal(fine_histogram(grid[[0, 3, 3, 10]], grid), [1, 0, 0, 2, 0, 0, 0, 0, 0, 0, 1])


def test_log_exp_and_back():
    y = np.array([1e-9, 1e-3, 0.5, 20.0, 1e4])
    np.testing.assert_allclose(log_exp(inverse_log_exp(y)), y, rtol=1e-12)


@pytest.mark.parametrize("values", [np.ones(20), np.array([1.0, np.nan, 2.0]), np.zeros((3, 3)), np.array([1.0])])
def test_values_it_cannot_use(values):
    with pytest.raises(ValueError, match="expected"):
        ssvkernel(values)


def test_grids_it_cannot_use():
    values = sample("gauss", 50)
    with pytest.raises(ValueError, match="rising"):
        ssvkernel(values, np.linspace(1.3, 1.1, 50))
    with pytest.raises(ValueError, match="lie between"):
        ssvkernel(values, np.linspace(5.0, 6.0, 50))


# widths


def test_width_of_known_curves():
    t = np.linspace(-5, 7, 241)
    gauss, lorentz = np.exp(-0.5 * (t / 0.8) ** 2), 1 / (1 + (t - 1) ** 2)
    widths = full_width_half_maximum(t, np.stack([gauss, 7 * lorentz], axis=1))
    np.testing.assert_allclose(widths, [0.8 * FWHM_PER_SIGMA, 2.0], rtol=1e-4)
    assert full_width_half_maximum(t, gauss) == pytest.approx(widths[0])


def test_width_is_that_of_the_highest_peak_to_its_nearest_halves():
    t = np.linspace(-10, 10, 801)
    peaks = np.exp(-0.5 * (t + 4) ** 2) + 0.7 * np.exp(-0.5 * ((t - 4) / 3) ** 2)
    assert full_width_half_maximum(t, peaks) == pytest.approx(FWHM_PER_SIGMA, rel=0.05)


def test_peak_between_grid_points_and_no_width_at_an_edge():
    t = np.linspace(-4, 4, 33)  # the maximum is in the middle of an interval: the samples' largest is 3 % too low
    assert full_width_half_maximum(t, np.exp(-0.5 * ((t - 0.125) / 0.5) ** 2)) == pytest.approx(
        0.5 * FWHM_PER_SIGMA, rel=2e-3)
    assert np.isnan(full_width_half_maximum(t, np.exp(-np.abs(t + 4))))


# a line's width against Gaussian theory: mean over 20 samples within 3 standard errors and the bias measured
SCATTER = {200: 0.13, 1000: 0.07, 4000: 0.035}


@pytest.mark.parametrize("n", sorted(SCATTER))
def test_gaussian_lines(n):
    ratio = np.array([0.04 * FWHM_PER_SIGMA / AdaptiveLine(sample("gauss", n, s)).fwhm() for s in range(20)])
    assert abs(ratio.mean() - 1) < 0.025 + 3 * SCATTER[n] / np.sqrt(20)
    assert 0.4 * SCATTER[n] < ratio.std() < 1.7 * SCATTER[n]


def test_unit_place_and_far_outliers_do_not_matter():
    values = sample("gauss", 500)
    width = AdaptiveLine(values).fwhm()
    assert AdaptiveLine(1e3 * values - 40).fwhm() == pytest.approx(1e3 * width, rel=1e-6)
    spoilt = np.r_[values, 300.0, -50.0, np.full(5, 7.0)]
    assert AdaptiveLine(spoilt).fwhm() == pytest.approx(width, rel=0.03)


def test_density_of_a_line_is_normalised_and_reaches_zero():
    places, density, bandwidth = AdaptiveLine(sample("gauss", 500)).density()
    assert abs(np.trapezoid(density, places) - 1) < 1e-3 and (bandwidth > 0).all()
    assert max(density[0], density[-1]) < 0.02 * density.max()


def test_a_box_has_its_own_width():
    """Half the maximum lies at the very edge of the values: the density is followed beyond it."""
    values = np.random.default_rng(0).uniform(1.0, 1.2, 3000)
    assert AdaptiveLine(values).fwhm() == pytest.approx(0.2, rel=0.1)


def test_resamples():
    values = sample("gauss", 800)
    line, rng = AdaptiveLine(values), np.random.default_rng(0)
    widths = line.resampled_fwhm(np.r_[[np.arange(800)], rng.integers(0, 800, (100, 800))])
    assert widths[0] == pytest.approx(line.fwhm(), rel=1e-9)  # the same values: the same width
    assert 0.02 < widths[1:].std() / widths[0] < 0.12 and abs(np.median(widths[1:]) / widths[0] - 1) < 0.06
    narrow = np.argsort(np.abs(values - np.median(values)))[:400]
    assert line.resampled_fwhm([np.tile(narrow, 2)])[0] < 0.95 * widths[0]


def test_lines_without_a_width():
    for values in (np.ones(50), np.linspace(1, 2, 5), np.empty(0), np.repeat([1.0, 1.1], [7, 10])):
        assert np.isnan(AdaptiveLine(values).fwhm())
        assert not AdaptiveLine(values).defined
    mostly_one = np.r_[np.ones(80), np.linspace(0.9, 1.1, 20)]
    assert AdaptiveLine(mostly_one).fwhm() > 0
