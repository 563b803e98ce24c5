"""The older generator: templates between the lines and the photon-free noise."""

import dataclasses

import numpy as np
import pytest

from venom_hw.detector import DataError
from venom_hw.detector.synthetic import TemplateGenerator
from venom_hw.detector.synthetic.cross_spectrum import spectrum_of_traces

N = 6000


@pytest.fixture(scope="module")
def generator(pulses):
    return TemplateGenerator.fit(pulses, np.arange(len(pulses)))


def at(generator, energy, n=N, seed=1):
    return generator.sample(np.full(n, energy), np.random.default_rng(seed))


@pytest.mark.parametrize("energy", [0.95, 1.2, 2.3])
def test_mean_pulses_are_the_detectors(generator, known, energy):
    difference = at(generator, energy).mean(axis=0) - known.mean([energy]).reshape(-1, 2)
    assert np.abs(difference).max() < 6 * 450 / np.sqrt(3000)


def test_noise_has_the_spectrum_of_the_photon_free_stretches(generator, pulses):
    expected, found = spectrum_of_traces(pulses.noise), spectrum_of_traces(at(generator, 1.3))
    trace = np.einsum("fii->f", expected).real
    assert (np.abs(found - expected).max(axis=(1, 2)) < 5 * np.sqrt(1 / len(pulses.noise) + 1 / N) * trace).all()


def test_without_photon_free_stretches_the_lowest_line_gives_the_noise(pulses):
    generator = TemplateGenerator.fit(dataclasses.replace(pulses, noise=None), np.arange(len(pulses)))
    lowest = pulses.counts[pulses.energies == 0.95]
    assert abs(at(generator, 1.3).var(axis=0).sum() / lowest.var(axis=0).sum() - 1) < 0.05


def test_short_stretches_of_noise_will_do(pulses, generator):
    cut = TemplateGenerator.fit(dataclasses.replace(pulses, noise=pulses.noise[:, :16]), np.arange(len(pulses)))
    # Ends of short stretches do not meet, which blurs their spectra; the variance must not change.
    np.testing.assert_allclose(at(cut, 1.3).std(axis=(0, 1)), at(generator, 1.3).std(axis=(0, 1)), rtol=0.05)


def test_number_of_components_means_nothing(pulses, generator):
    other = TemplateGenerator.fit(pulses, np.arange(len(pulses)), n_components=3)
    assert np.array_equal(at(other, 1.3, 50), at(generator, 1.3, 50))


def test_energies_and_seeds_are_those_of_every_generator(generator):
    assert np.array_equal(at(generator, 1.0, 100, seed=4), at(generator, 1.0, 100, seed=4))
    assert not np.array_equal(at(generator, 1.0, 100, seed=4), at(generator, 1.0, 100, seed=5))
    with pytest.raises(DataError, match="template generator.*3 eV"):
        at(generator, 3.0)
