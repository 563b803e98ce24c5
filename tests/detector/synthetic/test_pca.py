"""The principal-component generator: its pulses have the statistics of the pulses it learned from, line by line."""

import dataclasses
import warnings

import numpy as np
import pytest

from venom_hw.detector import DataError, stratified_split
from venom_hw.detector.synthetic import MARGIN, PcaGenerator
from venom_hw.detector.synthetic.cross_spectrum import spectrum_of_traces
from venom_hw.detector.synthetic.pca import cholesky_factors, principal_components

from .conftest import ENERGIES

N = 6000


@pytest.fixture(scope="module")
def generator(pulses):
    return PcaGenerator.fit(pulses, stratified_split(pulses.wl_ids)[0], n_components=12)


def at(generator, energy, n=N, seed=1):
    return generator.sample(np.full(n, energy), np.random.default_rng(seed))


def flat(counts):
    return counts.reshape(len(counts), -1).astype(float)


def test_components_are_the_leading_right_singular_vectors(pulses):
    x = flat(pulses.counts[::5])
    _, _, expected = np.linalg.svd(x - x.mean(axis=0), full_matrices=False)
    found = principal_components(np.cov(x, rowvar=False), 6)
    np.testing.assert_allclose(found.T @ found, np.eye(6), atol=1e-12)
    np.testing.assert_allclose(np.abs(np.sum(found.T * expected[:6], axis=1)), 1.0, atol=1e-9)
    assert (np.take_along_axis(found, np.abs(found).argmax(axis=0)[None], 0) > 0).all()


@pytest.mark.parametrize("line", [0, 3, 5])
def test_moments_at_a_line_are_the_datas(generator, pulses, line):
    energy = generator.energies[line]
    train = stratified_split(pulses.wl_ids)[0]
    real, made = flat(pulses.counts[train][pulses.energies[train] == energy]), flat(at(generator, energy))
    error = np.sqrt(real.var(axis=0) / len(made))
    assert np.abs((made.mean(axis=0) - real.mean(axis=0)) / error).max() < 5  # only the drawn ones scatter
    a, b = (x @ generator.basis for x in (real, made))
    expected, found = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    np.testing.assert_allclose(generator.path.covariance(energy), expected, rtol=1e-8, atol=1e-5 * expected.max())
    scale = np.sqrt(np.outer(np.diag(expected), np.diag(expected)))
    assert np.abs((found - expected) / scale).max() < 5 * np.sqrt(2 / N)
    assert abs(made.var(axis=0).sum() / real.var(axis=0).sum() - 1) < 0.04
    # The residuals are taken as stationary, which those of a finite basis are not exactly: single samples differ more.
    assert np.abs(made.var(axis=0) / real.var(axis=0) - 1).max() < 0.3


@pytest.mark.parametrize("line", [0, 5])
def test_residuals_have_the_cross_spectral_density_of_the_datas(generator, pulses, line):
    energy = generator.energies[line]
    train = stratified_split(pulses.wl_ids)[0]
    real = pulses.counts[train][pulses.energies[train] == energy]
    expected, found = (spectrum_of_traces(generator.residuals(c, np.full(len(c), energy)))
                       for c in (real, at(generator, energy)))
    trace = np.einsum("fii->f", expected).real
    chance = 5 * np.sqrt(1 / len(real) + 1 / N)  # five standard errors of an averaged periodogram
    assert (np.abs(found - expected).max(axis=(1, 2)) < chance * trace).all()
    assert np.abs(expected[:, 0, 1]).max() > 2 * chance * trace.max()  # without the cross terms this would fail
    assert trace.min() > 100


def test_noise_is_orthogonal_to_the_components(generator):
    quiet = dataclasses.replace(generator, factors=1e-3 * np.stack([np.eye(12)] * 6))
    energies = np.full(500, 1.2)
    apart = flat(quiet._draw(energies, np.random.default_rng(0)) - quiet.mean(energies))
    assert np.abs(apart @ quiet.basis).max() < 0.02 and apart.std() > 30


@pytest.mark.parametrize("energy, powers", [
    (ENERGIES[2] ** 0.7 * ENERGIES[3] ** 0.3, 0.7 * 9 + 0.3 * 16),  # three tenths of the way from line 2 to line 3
    (ENERGIES[0] / 1.04, 1), (ENERGIES[1], 4), (ENERGIES[-1] * 1.04, 36)])
def test_noise_between_two_lines_has_the_mean_power_of_theirs(generator, energy, powers):
    scale = np.arange(1, 7)[:, None, None, None]
    graded = dataclasses.replace(generator, residual_roots=scale * generator.residual_roots[:1])
    plain = dataclasses.replace(generator, residual_roots=np.ones((6, 1, 1, 1)) * generator.residual_roots[:1])
    graded, plain = (g.residuals(at(g, energy, 4000), np.full(4000, energy)).var() for g in (graded, plain))
    assert abs(graded / plain / powers - 1) < 0.05


def test_between_the_lines_pulses_are_the_detectors(generator, known):
    for energy in (1.02, 1.38, 2.2):
        made, real = at(generator, energy), flat(known.pulses(np.full(N, energy), np.random.default_rng(9)))
        difference = flat(made).mean(axis=0) - real.mean(axis=0)
        spread = real.std(axis=0)
        assert np.abs(difference).max() < 6 * spread.max() / np.sqrt(3000)
        nearest = generator.means[np.abs(generator.energies - energy).argmin()]
        assert np.abs(nearest - real.mean(axis=0)).max() > 8 * np.abs(difference).max()
        found, expected = (np.cov(x @ generator.basis, rowvar=False) for x in (flat(made), real))
        assert np.linalg.norm(found - expected) < 0.1 * np.linalg.norm(expected)


def test_covariances_stay_positive_definite_over_a_fine_grid_of_energies(generator):
    low, high = generator.energy_range
    lowest = min(np.linalg.eigvalsh(generator.path.covariance(e))[0] for e in generator.energies)
    for energy in np.linspace(low, high, 500):
        assert np.linalg.eigvalsh(generator.path.covariance(energy))[0] > 0.5 * lowest > 0


def test_a_seed_makes_the_same_pulses(generator):
    energies = np.random.default_rng(2).uniform(*generator.energy_range, 5000)
    first, again, other = (generator.sample(energies, np.random.default_rng(seed)) for seed in (7, 7, 8))
    assert first.dtype == np.int16 and first.shape == (5000, 30, 2)
    assert np.array_equal(first, again) and not np.array_equal(first, other)
    assert len(np.unique(first.reshape(5000, -1), axis=0)) == 5000


def test_pieces_are_independent_and_reported(generator):
    seen = []
    counts = generator.sample(np.full(5000, 1.3), np.random.default_rng(3), progress=seen.append)
    assert seen == [2048, 2048, 904]
    halves = flat(counts[:2048]), flat(counts[2048:4096])
    assert abs(np.corrcoef(halves[0][:, 0], halves[1][:, 0])[0, 1]) < 0.12
    assert generator.sample([], np.random.default_rng(0)).shape == (0, 30, 2)


def test_energies_beyond_the_margin_are_refused(generator):
    low, high = generator.energy_range
    assert (low, high) == (ENERGIES[0] / MARGIN, ENERGIES[-1] * MARGIN)
    generator.sample([low, high], np.random.default_rng(0))
    for wrong in (low * 0.999, high * 1.001, np.nan, np.inf):
        with pytest.raises(DataError, match="energies_ev.*0.9048 to 2.73 eV"):
            generator.sample([1.0, wrong], np.random.default_rng(0))
    with pytest.raises(DataError, match=r"shape \(1, 1\)"):
        generator.mean([[1.0]])


def test_counts_are_rounded_to_the_nearest(generator):
    quiet = dataclasses.replace(generator, factors=1e-6 * np.stack([np.eye(12)] * 6),
                                residual_roots=1e-9 * generator.residual_roots)
    apart = at(quiet, 1.3, 1) - quiet.mean([1.3])
    assert np.abs(apart).max() <= 0.51 and np.abs(apart.mean()) < 0.2


def test_counts_saturate_as_the_digitiser_does(generator):
    loud = dataclasses.replace(generator, means=generator.means * 20)
    counts = at(loud, 1.3, 50)
    assert counts.max() == 32767 and counts.dtype == np.int16


def test_few_pulses_allow_few_components_and_say_so(known):
    few = known.pulse_set(220)
    with pytest.warns(UserWarning, match="11 principal components instead of 50"):
        generator = PcaGenerator.fit(few, np.arange(len(few)))
    assert generator.n_components == 11
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        PcaGenerator.fit(few, np.arange(len(few)), n_components=11)
    for wrong in (0, -1, 2.5, None):
        with pytest.raises(DataError, match="n_components"):
            PcaGenerator.fit(few, np.arange(len(few)), n_components=wrong)


def test_all_components_leave_no_residual(known):
    everything = PcaGenerator.fit(known.pulse_set(1200), np.arange(7200), n_components=60)
    assert np.abs(everything.residuals(at(everything, 1.3, 20), np.full(20, 1.3))).max() < 1e-3


def test_pulses_without_any_scatter_still_have_a_covariance(known):
    silent = known.pulse_set(100)
    counts = np.rint(known.mean(silent.energies).reshape(-1, 30, 2)).astype(np.int16)
    silent = dataclasses.replace(silent, counts=counts)
    generator = PcaGenerator.fit(silent, np.arange(len(silent)), n_components=5)
    made = at(generator, generator.energies[2], 50)
    assert np.abs(made - generator.mean(generator.energies[2:3])).max() < 4
    np.testing.assert_allclose(cholesky_factors(np.zeros((1, 3, 3)))[0], np.sqrt(1 / 12) * np.eye(3))


def test_held_out_pulses_are_not_looked_at(pulses, generator):
    train, held = stratified_split(pulses.wl_ids)
    counts = pulses.counts.copy()
    counts[held] = 0
    again = PcaGenerator.fit(dataclasses.replace(pulses, counts=counts), train, n_components=12)
    assert np.array_equal(at(again, 1.3, 100), at(generator, 1.3, 100))
