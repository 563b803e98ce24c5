"""Judged with another clip of peak heights, and as the model was trained: whole traces, synthetic energies."""

import dataclasses

import numpy as np
import pytest

from venom_hw.detector import PRESETS, generate_folder
from venom_hw.evaluation import EvaluationError
from venom_hw.evaluation.__main__ import main
from venom_hw.evaluation.between import all_untrained, trained_energies
from venom_hw.evaluation.models import find_checkpoint, float_model
from venom_hw.evaluation.sample import load_at, load_sample
from venom_hw.model import save_checkpoint


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "ptsi"
    generate_folder(PRESETS["ptsi"], folder, 400, 9)
    return folder


def rows(pulses, index) -> set[bytes]:
    return {pulses.counts[k].tobytes() for k in index}


@pytest.mark.parametrize("clip", [0.0, 3.0, 1.0])
def test_another_clip_judges_no_training_pulse(folder, clip):
    model = float_model("ptsi")
    usual, other = load_sample(model, folder), load_sample(model, folder, peak_sigma=clip)
    assert other.peak_sigma == clip and usual.peak_sigma == 2.0
    trained, held = rows(usual.pulses, usual.train), rows(usual.pulses, usual.held_out)
    judged = rows(other.pulses, other.held_out)
    assert not judged & trained and rows(other.pulses, other.train) <= trained
    more = judged - held
    if clip == 1.0:
        assert not more and judged < held
        return
    assert held < judged and rows(other.pulses, other.train) == trained
    cut = len(other.pulses) - len(usual.pulses)
    assert len(more) == pytest.approx(0.15 * cut, abs=5) and cut > 30
    wider = [np.ptp(s.judged.peak_heights[s.judged.wl_ids == 0]) for s in (usual, other)]
    assert wider[1] > wider[0]


def test_a_set_in_memory_cannot_be_clipped_otherwise(folder):
    model = float_model("ptsi")
    pulses = load_at(model, folder)
    assert len(load_sample(model, pulses, peak_sigma=2.0).held_out) == len(load_sample(model, pulses).held_out)
    with pytest.raises(EvaluationError, match="expected a folder"):
        load_sample(model, pulses, peak_sigma=0.0)


def test_command_without_clip_and_with_a_run_folder(folder, tmp_path, capsys):
    run = tmp_path / "run"
    model = float_model("ptsi")
    save_checkpoint(run / "model.safetensors", model)
    assert find_checkpoint(str(run)) == run / "model.safetensors"
    argv = ["--model", str(run), "--data", str(folder), "--out", str(tmp_path / "out"), "--bootstrap", "4", "--quiet",
            "--filters", "--simulate-between", "0", "--peak-sigma"]
    assert main([*argv, "0"]) == 0
    said = capsys.readouterr().out
    assert "(clipped)" not in said and "Cramer-Rao bound" in said
    assert main([*argv, "-1"]) == 2
    assert "--peak-sigma -1.0: expected 0 (none) or more" in capsys.readouterr().err


def test_a_model_of_whole_traces_is_judged_on_whole_traces(folder):
    model = float_model("ptsi")
    length = 1 + (PRESETS["ptsi"].n_samples - 1) // model.window["downsample"]
    whole = dataclasses.replace(
        model, window=model.window | {"length": length}, data=model.data | {"full_traces": True}
    )
    sample = load_sample(whole, folder)
    assert sample.judged.counts.shape[1] == length and not any("end early" in note for note in sample.notes)
    quiet = sample.judged.counts[:, : length // 3].astype(float).std(axis=1).max()
    assert quiet < 0.1 * np.ptp(sample.judged.counts.astype(float), axis=1).max(), "the pulse is late in the trace"


def test_synthetic_training_energies_are_everywhere():
    model = float_model("ptsi")
    labels = ["808nm", "920nm", "980nm", "1120nm", "1310nm"]
    far = [1.2345]
    model.training["settings"] = {"data": "lab", "n_synthetic": 0}
    assert all_untrained(model, labels, far) and len(trained_energies(model, labels)) == 5
    for setting in ({"n_synthetic": 5}, {"synthetic": True}):
        model.training["settings"] = {"data": "lab"} | setting
        assert trained_energies(model, labels) is None and not all_untrained(model, labels, far)
