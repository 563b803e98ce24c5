"""The generator, fitted on simulated lines, against simulated pulses between them: bias and spread in eV."""

import dataclasses

import numpy as np
import pytest

from venom_hw.detector import PRESETS, generate_folder, load_pulse_set, stratified_split
from venom_hw.detector.synthetic import PcaGenerator

BETWEEN = (1.02, 1.19, 1.44)  # eV, in the widest gaps of the ptsi lines
N = 800


@pytest.fixture(scope="module")
def lines(ptsi_folder):
    return load_pulse_set(ptsi_folder)


@pytest.fixture(scope="module")
def generator(lines):
    return PcaGenerator.fit(lines, stratified_split(lines.wl_ids)[0], n_components=50)


@pytest.fixture(scope="module")
def between(lines, tmp_path_factory):
    folder = tmp_path_factory.mktemp("between")
    generate_folder(PRESETS["ptsi"], folder, pulses=N, seed=11, energies_ev=BETWEEN)
    return load_pulse_set(folder, window=lines.window)


def matched_filter(generator, energy, counts):
    """Weights w (2 L) with w . d mean / dE = 1 of least variance over the given pulses: a response in eV."""
    step = 0.004
    slope = np.diff(generator.mean([energy - step, energy + step]), axis=0).ravel() / (2 * step)
    solved = np.linalg.solve(np.cov(counts.reshape(len(counts), -1), rowvar=False), slope)
    return solved / (slope @ solved)


def test_energy_and_spread_of_pulses_between_the_lines(generator, between):
    for energy in np.unique(between.energies):
        real = between.counts[between.energies == energy]
        made = generator.sample(np.full(4000, energy), np.random.default_rng(1))
        weights = matched_filter(generator, energy, made)
        a, b = (counts.reshape(len(counts), -1) @ weights for counts in (real, made))
        standard = a.std() / np.sqrt(len(a))
        nearest = generator.means[np.abs(generator.energies - energy).argmin()] @ weights
        assert abs(np.mean(a) - np.mean(b)) < 0.25 * a.std()                 # of the spread of single photons
        assert abs(nearest - np.mean(a)) > 1.2 * a.std() > 10 * standard     # a neighbouring line is plainly elsewhere
        assert abs(a.var() / b.var() - 1) < 5 * np.sqrt(2 / len(a)) + 0.1


def test_a_generator_of_wrong_covariances_is_noticed(generator, between):
    wrong = dataclasses.replace(generator, factors=1.4 * generator.factors)
    energy = np.unique(between.energies)[1]
    real = between.counts[between.energies == energy]
    made = wrong.sample(np.full(4000, energy), np.random.default_rng(1))
    weights = matched_filter(generator, energy, made)
    a, b = (counts.reshape(len(counts), -1) @ weights for counts in (real, made))
    assert abs(a.var() / b.var() - 1) > 5 * np.sqrt(2 / len(a)) + 0.1
