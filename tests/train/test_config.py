"""Settings: TOML, command line, errors that name the key."""

from __future__ import annotations

import tomllib

import pytest

from venom_hw.train import TrainConfig, TrainError, read_config
from venom_hw.train.options import parse_settings


def test_saved_settings_read_back(tmp_path):
    config = TrainConfig(preset="inhf", extra=["a", "b"], lr=3e-3, epochs=7, data='odd "name"', full=True,
                         jitter=["808nm=0.01", "auto"], device="cuda:1", generator="template")
    path = tmp_path / "config.toml"
    path.write_text(config.to_toml())
    assert read_config(path) == config
    assert read_config(path, lr=1e-3, epochs=None).lr == 1e-3
    assert "decay times" in path.read_text() and tomllib.loads(path.read_text())["epochs"] == 7


@pytest.mark.parametrize("values, message", [
    ({"epochs": 0}, "'epochs' = 0: expected 1 or more"),
    ({"epochs": 2.5}, "'epochs' = 2.5: expected int"),
    ({"epochs": True}, "'epochs' = True: expected int"),
    ({"preset": "mec"}, "one of ptsi, inhf"),
    ({"loss": "l1"}, "gaussian_nll"),
    ({"generator": "gan"}, "one of pca, template"),
    ({"device": "tpu"}, "one of auto, cpu, cuda, mps"),
    ({"full": 1}, "'full' = 1: expected bool"),
    ({"synthetic_margin": 0.9}, "'synthetic_margin' = 0.9: expected 1 or more"),
    ({"n_synthetic": -1}, "expected 0 or more"),
    ({"ema": 1.0}, "less than 1"),
    ({"lr": float("nan")}, "'lr'"),
    ({"validation": 0.95}, "0.9 or less"),
])
def test_values_out_of_range(values, message):
    with pytest.raises(TrainError, match=message):
        TrainConfig(**values)


def test_files_that_do_not_fit(tmp_path):
    path = tmp_path / "c.toml"
    path.write_text("epoch = 3\n")
    with pytest.raises(TrainError, match="unknown setting 'epoch'"):
        read_config(path)
    path.write_text("epochs = 0\n")
    with pytest.raises(TrainError, match=r"c\.toml: setting 'epochs'"):
        read_config(path)
    path.write_text("epochs = \n")
    with pytest.raises(TrainError, match=r"c\.toml"):
        read_config(path)


def test_settings_of_the_command_line():
    assert parse_settings(["d_state=4", "n_tau=3", "extra=a,b", "loss=mse"]) == {
        "d_state": 4, "n_tau": 3.0, "extra": ["a", "b"], "loss": "mse"}
    for pair, message in (("d_state", "NAME=VALUE"), ("dstate=4", "NAME of"), ("d_state=x", "type int")):
        with pytest.raises(TrainError, match=message):
            parse_settings([pair])
