"""A whole run from the command line on a small simulated detector; the report; interruption and --resume."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import venom_hw
from venom_hw.detector import PRESETS, generate_folder, photon_energy
from venom_hw.model import load_checkpoint
from venom_hw.quantize.pulses import QuantizeError, load_pulses
from venom_hw.train import TrainConfig, Trainer, read_config, run
from venom_hw.train.__main__ import EPILOG, main, parser
from venom_hw.train.data import between_energies, first_of_each_line, held_out_energies, prepare
from venom_hw.train.evaluate import FILTER, SNAPPING, VENOM, Evaluation, evaluate, snapping
from venom_hw.train.meta import read_meta
from venom_hw.train.options import given_settings, parse_settings

TINY = ["pulses=120", "between=3", "between_pulses=20", "d_model=4", "d_state=2", "d_head_hidden=4", "n_tau=2"]


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch):
    """Of the bootstrap: these tests look at what a run does, not at its intervals."""
    monkeypatch.setattr(run, "evaluate", lambda checkpoint, data, _: evaluate(checkpoint, data, 8))


def arguments(tmp_path, out):
    short = ["--preset", "ptsi", "--epochs", "2", "--batch", "32", "--quiet"]
    return [*short, "--out", str(out), "--simulated", str(tmp_path / "sim"), "--set", *TINY]


def test_command_line_end_to_end(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("venom_hw.train.data.TEST_PULSES", 30)
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    assert main(arguments(tmp_path, whole)) == 0
    said = capsys.readouterr().out
    assert "optimal filter, shared template" in said and f"Written to {whole}" in said
    written = {p.name for p in whole.iterdir()}
    assert written >= {"model.safetensors", "model_meta.json", "config.toml", "state.json"}
    assert written >= {"report.txt", "report.json", "report.png", "report.pdf"}
    checkpoint = load_checkpoint(whole / "model.safetensors")
    assert checkpoint.data["preset"] == "ptsi" and checkpoint.window["length"] == 56
    assert checkpoint.training["seed"] == 0
    assert "venom_hw.train --preset ptsi" in checkpoint.training["command"]
    report = json.loads((whole / "report.json").read_text())
    assert set(report["kde"]["estimators"]) == {"VENOM", "optimal filter, shared template"}
    assert len(report["between_lines"]) >= 2 * 4
    assert set(report["difference"]["kde"]) == {"value", "low", "high"}
    assert (whole / "report.png").read_bytes()[:4] == b"\x89PNG"
    meta = json.loads((whole / "model_meta.json").read_text())
    assert len(meta["training_history"]) == 2
    assert len(meta["validation_indices"]) == checkpoint.data["validation_pulses"]

    assert read_meta(whole / "model.safetensors").history == meta["training_history"]

    # the same run, stopped after one epoch and resumed, ends with the same weights
    monkeypatch.setattr(run, "write_report", lambda path, *rest: path.write_text("once is enough"))
    settings = read_config(whole / "config.toml")
    assert run.train(settings, stopped, tmp_path / "sim", "command", quiet=True, stop_after=1) is None
    assert main(["--resume", str(stopped), "--simulated", str(tmp_path / "sim"), "--quiet"]) == 0
    other = load_checkpoint(stopped / "model.safetensors")
    for (name, a), b in zip(checkpoint.model.state_dict().items(), other.model.state_dict().values(), strict=True):
        assert np.array_equal(a.numpy(), b.numpy()), name

    assert main(arguments(tmp_path, whole)) == 2  # a run is not overwritten
    assert "--resume" in capsys.readouterr().err
    assert main(["--resume", str(whole), "--lr", "0.1"]) == 2
    assert "expected no --out" in capsys.readouterr().err


def test_errors_end_with_status_2(tmp_path, capsys):
    assert main(["--data", str(tmp_path / "none"), "--out", str(tmp_path / "o"), "--quiet"]) == 2
    assert str(tmp_path / "none") in capsys.readouterr().err
    assert main(["--resume", str(tmp_path)]) == 2
    assert "state.json" in capsys.readouterr().err
    assert main(["--set", "lr=fast"]) == 2
    assert "type float" in capsys.readouterr().err


def test_a_single_line_is_refused(tmp_path, capsys):
    generate_folder(PRESETS["ptsi"], tmp_path / "one", 20, 1, [1.2])
    assert main(["--data", str(tmp_path / "one"), "--out", str(tmp_path / "o"), "--quiet"]) == 2
    assert "one line only" in capsys.readouterr().err


def test_help_teaches(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    said = capsys.readouterr().out
    assert "examples:" in said and "weight_decay = 0.0001" in said and "report.png" in said
    assert "Command line:" not in said and "\nTrain a VENOM network" in said


@pytest.mark.parametrize("preset", ["ptsi", "inhf"])
def test_help_gives_the_command_of_the_shipped_models(preset):
    shipped = load_checkpoint(Path(venom_hw.__file__).parent / "pretrained" / f"{preset}.safetensors").training
    (line,) = [x for x in EPILOG.splitlines() if x.endswith(f"as shipped: {preset}")]
    words = shlex.split(line.removesuffix(f"as shipped: {preset}"))
    args = parser().parse_args(words[3:])
    found = vars(read_config(args.config, **(given_settings(args) | parse_settings(args.set))))
    told = shipped["settings"]
    assert {k: found[k] for k in told} == told


def test_test_energies_are_never_trained_on():
    for preset in PRESETS.values():
        lines = [photon_energy(w) for w in preset.wavelengths_nm]
        taken = between_energies(preset.wavelengths_nm, 20)
        assert min(taken) < min(lines) and max(taken) > max(lines)
        test = held_out_energies(preset.wavelengths_nm, taken)
        assert len(test) >= 4 and min(lines) < min(test) and max(test) < max(lines)
        assert min(abs(t - e) for t in test for e in (*taken, *lines)) > 1e-3


def test_a_users_folder_needs_no_simulation(tmp_path):
    generate_folder(PRESETS["ptsi"], tmp_path / "mine", 40, 3, [1.0, 1.3])
    data = prepare(TrainConfig(data=str(tmp_path / "mine"), n_tau=2.0), tmp_path / "sim")
    assert not (tmp_path / "sim").exists() and data.test is None and data.extra == ()
    assert sorted([*data.train_idx, *data.val_idx]) == list(range(len(data.lines)))
    assert data.normalisation["energy_offset"] == pytest.approx(data.lines.energies[data.train_idx].mean())


def lab_folder(tmp_path, pulses=150):
    """A folder as if measured: three lines, nothing in between."""
    generate_folder(PRESETS["ptsi"], tmp_path / "lab", pulses, 5, [1.0, 1.2, 1.4])
    return tmp_path / "lab"


def test_a_measured_folder_with_synthetic_pulses_from_the_command_line(tmp_path, capsys, monkeypatch):
    """Reports on the way, and after a stop and --resume the same bits."""
    folder, whole, stopped = lab_folder(tmp_path), tmp_path / "whole", tmp_path / "stopped"
    # reports are tested in their own file
    monkeypatch.setattr(run, "write_report", lambda path, *rest: path.write_text("report"))
    monkeypatch.setattr(run, "plot_report", lambda path, *rest: path.write_text("plot"))
    options = ["--data", str(folder), "--epochs", "3", "--batch", "32", "--n-synthetic", "300", "--n-components", "5",
               "--micro-batch", "20", "--jitter", "0.002", "--n-tau", "2", "--d-model", "4", "--d-state", "2",
               "--d-head-hidden", "4", "--lr", "0.02", "--report-every", "1", "--quiet"]
    assert main([*options, "--out", str(whole)]) == 0, capsys.readouterr().err
    assert (whole / "report-0002.pdf").exists() and not (whole / "report-0003.pdf").exists()
    assert (whole / "report.pdf").exists() and (whole / "generator.npz").exists()
    checkpoint = load_checkpoint(whole / "model.safetensors")
    assert checkpoint.data["synthetic_pulses_an_epoch"] == 300 and checkpoint.data["generator"] == "pca"
    assert checkpoint.training["device"] == "cpu"

    settings = read_config(whole / "config.toml")
    assert run.train(settings, stopped, tmp_path / "sim", "command", quiet=True, stop_after=2) is None
    assert main(["--resume", str(stopped), "--quiet"]) == 0
    other = load_checkpoint(stopped / "model.safetensors")
    for (name, a), b in zip(checkpoint.model.state_dict().items(), other.model.state_dict().values(), strict=True):
        assert np.array_equal(a.numpy(), b.numpy()), name


def test_a_run_does_not_go_on_with_other_pulses(tmp_path, capsys):
    folder = lab_folder(tmp_path)
    config = TrainConfig(data=str(folder), epochs=2, batch=32, d_model=4, d_state=2, d_head_hidden=4, n_tau=2.0)
    assert run.train(config, tmp_path / "run", tmp_path / "sim", "command", quiet=True, stop_after=1) is None
    generate_folder(PRESETS["ptsi"], folder, 150, 6, [1.0, 1.2, 1.4], force=True)
    assert main(["--resume", str(tmp_path / "run"), "--quiet"]) == 2
    assert "was trained on data with seed 5, now it is 6" in capsys.readouterr().err


def test_a_network_that_learnt_nothing_is_said_and_does_not_stop_reports(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(run, "evaluate", refuse)
    folder, out = lab_folder(tmp_path), tmp_path / "run"
    options = ["--data", str(folder), "--epochs", "2", "--batch", "32", "--n-tau", "2", "--d-model", "4", "--quiet"]
    assert main([*options, "--report-every", "1", "--out", str(out)]) == 2
    error = capsys.readouterr().err
    assert "no report after epoch 1: cannot be calibrated to energy yet (expected to rise)" in error
    assert "error: " in error and "expected a network that has learnt more" in error
    assert load_checkpoint(out / "model.safetensors").training["epochs"] == 2


def refuse(*_):
    raise ValueError("expected to rise")


def test_mean_square_leaves_a_sigma_that_means_something(toy_data):
    config = TrainConfig(d_model=8, d_state=4, d_head_hidden=8, epochs=12, batch=64, lr=1e-2, warmup=1.0, loss="mse")
    trainer = Trainer(config, toy_data.normalisation, *toy_data.training_tensors())
    while not trainer.finished:
        trainer.history.append({"train_loss": trainer.run_epoch()})
    before = [p.clone() for p in trainer.average.parameters()]
    held = toy_data.lines.select(toy_data.val_idx)
    mu, logvar = run.make_checkpoint(trainer, toy_data, "command").predict(held.counts)
    assert np.ptp(logvar) == 0
    assert 0.5 < np.sqrt(np.mean((mu - held.energies) ** 2)) / np.exp(logvar[0] / 2) < 2
    assert all(torch.equal(a, b) for a, b in zip(before, trainer.average.parameters(), strict=True))


def test_whole_traces(tmp_path):
    data = prepare(TrainConfig(data=str(lab_folder(tmp_path, 40)), full=True), tmp_path / "sim")
    assert data.lines.window.length == data.lines.counts.shape[1] > 200 and data.description["full_traces"] is True


def test_a_model_of_whole_traces_is_quantised_on_whole_traces(tmp_path):
    folder, out = lab_folder(tmp_path, 200), tmp_path / "run"
    sizes = dict(d_model=4, d_state=2, d_head_hidden=4, n_layers=1)
    config = TrainConfig(data=str(folder), full=True, epochs=2, batch=64, **sizes)
    assert run.train(config, out, tmp_path / "sim", "command", quiet=True, stop_after=1) is None
    checkpoint = load_checkpoint(out / "model.safetensors")
    pulses, trained = load_pulses(folder, checkpoint, [folder]), prepare(config, tmp_path / "sim")
    count = len(trained.lines)
    assert np.array_equal(pulses.counts, np.concatenate([trained.lines.counts] * 2))
    assert np.array_equal(pulses.lines, trained.train_idx) and np.array_equal(pulses.held_out, trained.val_idx)
    assert np.array_equal(np.setdiff1d(pulses.train, pulses.lines), np.arange(count, 2 * count))
    del checkpoint.data["full_traces"]  # cut about the trigger, no window is whole
    with pytest.raises(QuantizeError, match="0 training and 0 held-out windows"):
        load_pulses(folder, checkpoint)


def test_a_folder_without_noise_windows_trains_to_the_end(tmp_path, capsys, monkeypatch):
    """Traces that begin shortly before the photon, as postage stamps do: no filter, but a network and its report."""
    # pages and plot without a filter are tested in the reports' own file
    monkeypatch.setattr(run, "write_report", lambda path, *rest: path.write_text("report"))
    monkeypatch.setattr(run, "plot_report", lambda path, *rest: path.write_text("plot"))
    folder, out = lab_folder(tmp_path, 120), tmp_path / "run"
    (folder / "noise.npz").unlink(missing_ok=True)
    for path in folder.glob("*nm.npz"):
        with np.load(path) as stored:
            arrays = dict(stored)
        np.savez(path, **{k: v[:, 420:900] if k.endswith("_trace") else v for k, v in arrays.items()})
    options = ["--epochs", "6", "--batch", "32", "--lr", "0.02", "--n-tau", "2", "--d-model", "4", "--d-state", "2",
               "--d-head-hidden", "4", "--report-every", "3", "--quiet"]
    assert main(["--data", str(folder), "--out", str(out), *options]) == 0, capsys.readouterr().err
    said = capsys.readouterr()
    assert f"left out: {FILTER} (the data set has no noise windows" in said.out and "no report" not in said.err
    assert {p.name for p in out.iterdir()} >= {"report.txt", "report.pdf", "report.png", "report-0003.pdf"}
    report = json.loads((out / "report.json").read_text())
    assert set(report["kde"]["estimators"]) == {VENOM} and "no noise windows" in report["left_out"][FILTER]
    metrics = load_checkpoint(out / "model.safetensors").training["metrics"]
    assert metrics["R_venom"]["value"] == report["kde"]["estimators"][VENOM]["mean"]["value"]


def test_first_of_each_line():
    wl_ids = np.array([2, 0, 0, 2, 0, 2, 1])
    assert first_of_each_line(np.array([6, 5, 4, 3, 2, 0]), wl_ids, 2).tolist() == [4, 2, 6, 5, 3]


def evaluation(line_power, between_power):
    energies = np.array([1.0, 1.2, 1.4])
    table = SimpleNamespace(energies=energies, value={VENOM: np.array(line_power)})
    between = [{"energy_eV": e, "estimator": VENOM, "R": r} for e, r in zip((1.1, 1.3), between_power, strict=True)]
    return Evaluation({"kde": table}, {}, energies, np.arange(3), between, 0.0)


def test_snapping_to_the_lines_is_seen():
    assert snapping(evaluation([20, 22, 24], [21, 23])) < SNAPPING
    assert snapping(evaluation([20, 160, 24], [21, 23])) == pytest.approx(160 / 22)
    lonely = evaluation([20, 22, 24], [21, 23])
    lonely.between.clear()
    assert snapping(lonely) is None
