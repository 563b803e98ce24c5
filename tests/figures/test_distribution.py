"""Parallel against recurrent: the command sees a difference when there is one."""

import json

import numpy as np
import pytest

from venom_hw import distribution
from venom_hw.distribution import measure_distribution, text
from venom_hw.model import VenomCheckpoint


class Perturbed:
    """A checkpoint whose recurrent execution is off by some share of each pulse's sigma, at one pulse or all."""

    def __init__(self, checkpoint, share, at=slice(None)):
        self.checkpoint, self.share, self.at = checkpoint, share, at

    def predict(self, counts, recurrent=False, lengths=None):
        energy, logvar = self.checkpoint.predict(counts, lengths=lengths)
        if recurrent:
            energy = energy.copy()
            energy[self.at] += self.share * np.exp(0.5 * logvar[self.at])
        return energy, logvar


def test_the_executions_of_a_network_agree(checkpoint: VenomCheckpoint, sample):
    seen = []
    found = measure_distribution(checkpoint, sample, n_boot=5, progress=seen.append)
    assert sum(seen) == len(found.difference) == len(sample.held_out)
    assert 0 < np.abs(found.difference).max() < 1e-5, "float32 in another order: not equal, and nearly so"
    assert found.agrees and found.per_cent.max() < 0.1
    assert max(map(abs, found.shifts().values())) <= 0.12, "what the original reports"
    assert "the executions agree" in text(found)


@pytest.mark.parametrize("share, agrees", [(0.01, True), (0.049, True), (0.051, False), (1.0, False)])
def test_one_pulse_beyond_the_limit_is_enough(checkpoint, sample, share, agrees):
    found = measure_distribution(Perturbed(checkpoint, share, at=17), sample, n_boot=2)
    assert found.agrees == agrees
    assert found.per_cent.max() == pytest.approx(100 * share, rel=1e-6)
    assert found.per_cent.argmax() == 17 and (np.delete(found.per_cent, 17) == 0).all()
    assert ("THE EXECUTIONS DIFFER" in text(found)) == (not agrees)


def test_facts_are_those_of_the_differences(checkpoint, sample):
    found = measure_distribution(Perturbed(checkpoint, -0.02), sample, n_boot=2)
    facts = found.to_dict()
    sigma = np.exp(0.5 * checkpoint.predict(sample.judged.counts)[1])
    assert facts["difference_meV"]["100%"] == pytest.approx(20 * sigma.max())
    assert facts["difference_meV"]["50%"] == pytest.approx(20 * np.median(sigma))
    assert facts["mean_difference_meV"] == pytest.approx(20 * sigma.mean())
    assert facts["worst_per_cent_of_sigma"] == pytest.approx(2.0)
    assert sum(line["pulses"] for line in facts["lines"].values()) == facts["pulses"] == len(sigma)
    json.dumps(facts, allow_nan=False)


def test_a_scatter_between_the_executions_moves_the_resolving_power(checkpoint, sample):
    class Noisy(Perturbed):
        def predict(self, counts, recurrent=False, lengths=None):
            energy, logvar = self.checkpoint.predict(counts, lengths=lengths)
            noise = np.random.default_rng(0).normal(size=len(energy)) if recurrent else 0.0
            return energy + noise * 3 * np.exp(0.5 * logvar), logvar

    shifts = measure_distribution(Noisy(checkpoint, 0), sample, n_boot=2).shifts()
    assert max(shifts.values()) < -1


def test_plot_is_written(checkpoint, sample, tmp_path):
    found = measure_distribution(Perturbed(checkpoint, 0.0), sample, n_boot=2)  # all differences zero: nothing to log
    path = distribution.plot(tmp_path / "d.png", found, "title")
    assert path.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("argv, message", [
    (["--model", "nothing", "--data", "d"], "model 'nothing': expected a file"),
    (["--model", "ptsi", "--data", "nowhere"], "nowhere"),
    (["--model", "ptsi", "--data", "d", "--pulses", "0"], "--pulses 0: expected 1 or more"),
], ids=["model", "data", "pulses"])  # fmt: skip
def test_errors_end_with_two(argv, message, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert distribution.main(argv) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and message in error
