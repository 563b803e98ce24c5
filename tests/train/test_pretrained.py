"""The float models that ship: complete in themselves, better than the shared-template optimal filter on new pulses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import venom_hw
from venom_hw.detector import PRESETS, Window, generate_folder, load_pulse_set, stratified_split
from venom_hw.detector.energy_calibration import EnergyCalibration
from venom_hw.detector.filter_baseline import fit_filter_baseline
from venom_hw.detector.resolving_power import gaussian_resolving_power
from venom_hw.model import load_checkpoint

FOLDER = Path(venom_hw.__file__).parent / "pretrained"
LENGTH = {"ptsi": 126, "inhf": 426}
UNSEEN = 77  # a seed of simulation that no training used


@pytest.fixture(scope="module", params=sorted(LENGTH))
def shipped(request):
    return request.param, load_checkpoint(FOLDER / f"{request.param}.safetensors")


@pytest.fixture(scope="module")
def pulses(shipped, tmp_path_factory):
    preset, checkpoint = shipped
    folder = tmp_path_factory.mktemp(preset)
    generate_folder(PRESETS[preset], folder, 300, UNSEEN)
    return load_pulse_set(folder, window=Window.from_dict(checkpoint.window))


def test_file_says_what_it_is_and_where_it_comes_from(shipped):
    preset, checkpoint = shipped
    assert checkpoint.model.parameter_count() == 3314
    assert checkpoint.window["length"] == LENGTH[preset] and checkpoint.window["n_pre"] == 10
    assert (checkpoint.data["preset"], checkpoint.data["version"]) == (preset, PRESETS[preset].version)
    assert f"--preset {preset}" in checkpoint.training["command"] and isinstance(checkpoint.training["seed"], int)
    assert checkpoint.training["settings"]["simulation_seed"] not in (1, UNSEEN)
    assert (FOLDER / f"{preset}.safetensors").stat().st_size < 25_000


def test_beats_the_optimal_filter_on_unseen_pulses(shipped, pulses):
    _, checkpoint = shipped
    train_idx, val_idx = stratified_split(pulses.wl_ids, 0.5, 0)
    energy = checkpoint.predict(pulses.counts)[0]
    venom = EnergyCalibration.fit(energy[train_idx], pulses.energies[train_idx])(energy[val_idx])
    optimal = fit_filter_baseline(pulses, train_idx).predict(pulses.counts[val_idx])

    def mean_power(values):
        lines = np.unique(pulses.energies)
        rows = [pulses.energies[val_idx] == e for e in lines]
        return np.mean([gaussian_resolving_power(values[r], e) for r, e in zip(rows, lines, strict=True)])

    assert mean_power(venom) > 1.05 * mean_power(optimal)


def test_does_not_snap_to_the_lines(shipped, tmp_path):
    """Between two lines the estimate follows the energy: a step of 1 % in energy is a step of about 1 % in the mean."""
    preset, checkpoint = shipped
    energies = [1.16, 1.18, 1.20, 1.22]  # between 1120 nm (1.107 eV) and 980 nm (1.265 eV)
    generate_folder(PRESETS[preset], tmp_path / "between", 300, UNSEEN, energies)
    pulses = load_pulse_set(tmp_path / "between", window=Window.from_dict(checkpoint.window))
    mean = [checkpoint.predict(pulses.counts[pulses.wl_ids == k])[0].mean() for k in np.unique(pulses.wl_ids)]
    found = np.unique(pulses.energies)
    slope = np.polyfit(found, sorted(mean), 1)[0]
    assert 0.8 < slope < 1.2
    assert np.abs(np.array(sorted(mean)) - found).max() < 0.02


def test_recurrent_agrees_within_a_thousandth_of_sigma(shipped, pulses):
    _, checkpoint = shipped
    some = np.arange(0, len(pulses), max(1, len(pulses) // 64))
    energy, logvar = checkpoint.predict(pulses.counts[some])
    stepped, _ = checkpoint.predict(pulses.counts[some], recurrent=True)
    assert (np.abs(stepped - energy) / np.exp(logvar / 2)).max() < 1e-3
