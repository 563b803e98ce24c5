"""The generator, fitted on simulated lines, against simulated pulses between them: bias and spread in eV."""

import dataclasses

import numpy as np
import pytest

from venom_hw.detector import PRESETS, generate_folder, load_pulse_set, stratified_split
from venom_hw.detector.synthetic import PcaGenerator

BETWEEN = (1.02, 1.19, 1.44)  # eV, in the widest gaps of the ptsi lines
N = 800
ALLOWED = 5 * np.sqrt(2 / (0.9 * N)) + 0.05  # five standard errors of a variance, and the interpolation's own


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


def responses(generator, energy, real):
    """(real, synthetic, nearest line's mean) responses in eV to the filter w with w . d mean / dE = 1 that has the
    least variance over synthetic pulses (others than those it is applied to)."""
    step, rng = 0.004, np.random.default_rng(1)
    slope = np.diff(generator.mean([energy - step, energy + step]), axis=0).ravel() / (2 * step)
    learned, made = (generator.sample(np.full(4000, energy), rng).reshape(4000, -1) for _ in range(2))
    solved = np.linalg.solve(np.cov(learned, rowvar=False), slope)
    weights = solved / (slope @ solved)
    nearest = generator.means[np.abs(generator.energies - energy).argmin()]
    return real.reshape(len(real), -1) @ weights, made @ weights, nearest @ weights


def test_energy_and_spread_of_pulses_between_the_lines(generator, between):
    optimism = 1 / (1 - 50 / 1100) ** 2  # a filter fitted to a covariance of 50 directions that 1,100 pulses gave
    for energy in np.unique(between.energies):
        real, made, nearest = responses(generator, energy, between.counts[between.energies == energy])
        assert abs(real.mean() - made.mean()) < 0.25 * real.std()    # of the spread of single photons
        assert abs(nearest - real.mean()) > 1.2 * real.std()         # a neighbouring line is plainly elsewhere
        assert abs(real.var() / made.var() / optimism - 1) < ALLOWED


def test_a_generator_of_wrong_covariances_is_noticed(generator, between):
    wrong = dataclasses.replace(generator, factors=1.4 * generator.factors)
    energy = np.unique(between.energies)[1]
    real, made, _ = responses(wrong, energy, between.counts[between.energies == energy])
    assert abs(real.var() / made.var() - 1) > ALLOWED
