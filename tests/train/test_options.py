"""The command line's options: the original's names, their settings, what goes together."""

from __future__ import annotations

import dataclasses
import shlex

import pytest

from venom_hw.train import TrainConfig, TrainError
from venom_hw.train.__main__ import main, parser
from venom_hw.train.options import GROUPS, given_settings, parse_settings

ORIGINAL = """--ptsi --downsample 4 --n-components 50 --loss gaussian_nll --epochs 25 --n-synthetic 120000 --n-layers 1
--d-model 16 --d-state 8 --expand 1 --peak-sigma 2.0 --report-every 25"""


def given(line: str) -> dict:
    return given_settings(parser().parse_args(shlex.split(line)))


def test_the_originals_command_line():
    assert given(ORIGINAL) == {
        "preset": "ptsi", "downsample": 4, "n_components": 50, "loss": "gaussian_nll", "epochs": 25,
        "n_synthetic": 120000, "n_layers": 1, "d_model": 16, "d_state": 8, "expand": 1, "peak_sigma": 2.0,
        "report_every": 25,
    }
    TrainConfig(**given(ORIGINAL))


@pytest.mark.parametrize("line, expected", [
    ("", {}),
    ("--n-tau 3", {"n_tau": 3.0}),
    ("--full --plot-features --synthetic --checkpoint-activations",
     {"full": True, "plot_features": True, "synthetic": True, "checkpoint_activations": True}),
    ("--jitter", {"jitter": ["auto"]}),
    ("--jitter 0.01", {"jitter": ["0.01"]}),
    ("--jitter 808nm=0.01 920nm=0.02 --lr 0.001", {"jitter": ["808nm=0.01", "920nm=0.02"], "lr": 0.001}),
    ("--batch-size 64 --micro-batch 16 --device cpu", {"batch": 64, "micro_batch": 16, "device": "cpu"}),
    ("--inhf --generator template", {"preset": "inhf", "generator": "template"}),
])
def test_options_set_settings(line, expected):
    assert given(line) == expected
    TrainConfig(**expected)


def test_every_option_is_a_setting_and_nothing_is_given_by_itself():
    names = {f.name for f in dataclasses.fields(TrainConfig)}
    settings = [s for options in GROUPS.values() for s in options.values()]
    assert set(settings) <= names and len(set(settings)) == len(settings)
    assert given("--out x --quiet") == {}


def test_settings_of_true_and_false():
    assert parse_settings(["full=true", "synthetic=0"]) == {"full": True, "synthetic": False}
    with pytest.raises(TrainError, match="--set full=maybe: expected true or false"):
        parse_settings(["full=maybe"])


@pytest.mark.parametrize("line, message", [
    ("--data-root lab", "expected --ptsi or --inhf beside it"),
    ("--data-root lab --ptsi --data d", "expected no --data beside it"),
    ("--data-root lab --ptsi", "PtSiData"),
    ("--resume run --n-synthetic 5", "expected no --out, .* found 'n_synthetic'"),
    ("--resume run --data-root lab", "expected no --out"),
    ("--device tpu", "setting 'device' = 'tpu': expected one of auto, cpu, cuda, mps"),
])
def test_what_does_not_go_together(tmp_path, capsys, monkeypatch, line, message):
    monkeypatch.chdir(tmp_path)
    assert main([*shlex.split(line), "--quiet"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    with pytest.raises(AssertionError, match=message):
        raise AssertionError(error)


def test_two_detectors_are_refused(capsys):
    with pytest.raises(SystemExit) as stop:
        given("--ptsi --inhf")
    assert stop.value.code == 2 and "not allowed with" in capsys.readouterr().err
