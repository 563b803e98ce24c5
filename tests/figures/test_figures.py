"""The figures: what they draw is what was estimated."""

import json

import numpy as np
import pytest
import torch

from venom_hw.figures import __main__ as command
from venom_hw.figures import inside, parity, power, spectra
from venom_hw.figures.estimates import PER_LINE, SHARED, VENOM, Estimates, estimate, line_bounds
from venom_hw.figures.held_out import find_checkpoint, load_held_out
from venom_hw.figures.style import save_figure, styled_figure
from venom_hw.model import CheckpointError, save_checkpoint
from venom_hw.train.inspection import inspect_model


@pytest.fixture(scope="module")
def found(checkpoint, held) -> Estimates:
    return estimate(checkpoint, held, n_boot=10)


def test_estimators_share_pulses_and_are_calibrated(found, held):
    assert found.names == [VENOM, SHARED, PER_LINE]
    for values in found.values.values():
        assert values.shape == (len(held.val_idx),)
    np.testing.assert_array_equal(found.energies, held.pulses.energies[held.val_idx])
    for name, bias in found.table.bias.items():
        assert (np.abs(bias) < 0.25 * found.table.energies / found.table.value[name]).all(), name
    assert found.bound is None, "a measured folder has no bound"
    json.dumps(found.to_dict(), allow_nan=False)


def test_calibration_sees_training_pulses_only(checkpoint, held, found):
    """Held-out pulses with other labels change nothing in the estimates."""
    pulses = held.pulses
    energies = pulses.energies.copy()
    energies[held.val_idx] = 1.2
    changed = type(held)(type(pulses)(**{**vars(pulses), "energies": energies}), held.train_idx, held.val_idx)
    again = estimate(checkpoint, changed, n_boot=2)
    for name in found.names:
        np.testing.assert_array_equal(again.values[name], found.values[name])


def histogram_of(axes, colour) -> int:
    """Pulses in the step histogram of a colour."""
    from matplotlib.colors import to_rgba

    for patch in axes.patches:
        if to_rgba(patch.get_edgecolor()) == to_rgba(colour):
            return int(round(patch.get_xy()[:, 1].max()))
    raise AssertionError(f"no histogram of {colour}")


def test_spectra_have_a_panel_a_line_with_every_estimator(found):
    figure = spectra.line_spectra(found)
    panels = [a for a in figure.axes if a.get_title()]
    assert [a.get_title() for a in panels] == [label.replace("nm", " nm") for label in found.table.labels]
    for k, axes in enumerate(panels):
        written = [t.get_text() for t in axes.texts]
        assert written == [f"R {found.table.value[name][k]:.1f}" for name in found.names]
        assert len(axes.patches) == len(found.names)
        assert histogram_of(axes, "#0b6e99") > 0
    full = spectra.full_spectrum(found).axes[0]
    drawn = sum(rectangle.get_height() for rectangle in full.patches)
    assert drawn == (found.energies > 0).sum(), "every pulse is in the spectrum of this detector"


def test_power_shows_values_bound_and_between(found):
    rows = [{"energy_eV": 1.1, "estimator": VENOM, "R": 9.0, "bias_eV": 0.0, "pulses": 10},
            {"energy_eV": 1.3, "estimator": VENOM, "R": 8.0, "bias_eV": 0.0, "pulses": 10}]  # fmt: skip
    full = Estimates(found.values, found.energies, found.table, rows, np.array([30.0, 31.0, 32.0]))
    axes = power.power_by_wavelength(full).axes[0]
    lines = {line.get_label(): line for line in axes.lines}
    np.testing.assert_allclose(lines["Cramer-Rao bound of the detector"].get_ydata(), [30.0, 31.0, 32.0])
    crossing = [line for line in axes.lines if line.get_marker() == "s"]
    assert len(crossing) == 1
    np.testing.assert_allclose(crossing[0].get_xdata(), [1239.841984 / 1.3, 1239.841984 / 1.1], rtol=1e-6)
    np.testing.assert_allclose(crossing[0].get_ydata(), [8.0, 9.0])
    drawn = [c for c in axes.containers if c.get_label().startswith(VENOM)]
    np.testing.assert_allclose(drawn[0].lines[0].get_ydata(), found.table.value[VENOM])


def test_parity_and_residuals(found):
    figure = parity.parity_and_residuals(found)
    assert len(figure.axes) == 2 * len(found.names)
    lower = figure.axes[len(found.names)]
    dots = [line for line in lower.lines if line.get_marker() == "o"][0]
    np.testing.assert_allclose(sorted(dots.get_ydata()), sorted(1e3 * found.table.bias[VENOM]), atol=1e-9)
    figure = parity.residual_histogram(found)
    assert [t.get_text() for t in figure.axes[0].get_legend().get_texts()] == [*found.names, "normal"]


def test_inside(checkpoint, held, tmp_path):
    seen = inspect_model(checkpoint, held.shown)
    upper, lower = inside.attention_over_time(seen).axes
    np.testing.assert_allclose(lower.lines[0].get_ydata(), seen.attention[0])
    assert len(upper.lines) == len(seen.labels)
    figure = inside.feature_channels(seen)
    assert len(figure.axes) == checkpoint.model.config["d_model"]
    figure = inside.state_features(checkpoint, held.shown, limit=20)
    assert save_figure(figure, tmp_path / "states.pdf").read_bytes().startswith(b"%PDF")


def test_states_are_those_of_the_recurrence(checkpoint, held):
    size, memory = inside.state_history(checkpoint, held.shown.counts[:6])
    state = checkpoint.model.initial_state(6)
    x = checkpoint.standardise(held.shown.counts[:6])
    with torch.no_grad():
        for t in range(x.shape[1]):
            _, state = checkpoint.model.backbone.step(x[:, t], state)
            np.testing.assert_allclose(size[t], state[0].h.abs().mean(0).numpy(), rtol=1e-6)
    assert memory.shape == size.shape[1:] and (memory > 0).all()


def test_memory_of_a_known_decay(checkpoint, held):
    """With delta fixed by its bias alone, the memory is 1 / (delta |A|) samples."""
    import copy

    known = copy.deepcopy(checkpoint)
    layer = known.model.backbone.layers[0]
    with torch.no_grad():
        layer.dt_proj.weight.zero_()
        layer.dt_proj.bias.fill_(-2.0)
    _, memory = inside.state_history(known, held.shown.counts[:3])
    delta = np.log1p(np.exp(-2.0))
    np.testing.assert_allclose(memory, 1 / (delta * np.exp(layer.log_neg_A.detach().numpy())), rtol=1e-4)


def test_formats_and_reproducible_bytes(tmp_path):
    with styled_figure() as figure:
        figure.subplots().plot([1, 2])
    for suffix, head in (("png", b"\x89PNG"), ("pdf", b"%PDF"), ("svg", b"<?xml")):
        one, two = (save_figure(figure, tmp_path / f"{k}.{suffix}").read_bytes() for k in "ab")
        assert one.startswith(head)
        assert suffix == "svg" or one == two


def test_models_are_found_by_name_file_and_folder(tmp_path, checkpoint):
    assert find_checkpoint("ptsi").name == "ptsi.safetensors"
    path = save_checkpoint(tmp_path / "run" / "model.safetensors", checkpoint)
    assert find_checkpoint(str(path)) == find_checkpoint(str(tmp_path / "run")) == path
    with pytest.raises(CheckpointError, match="expected a file, a folder of a training run, or one of .*ptsi"):
        find_checkpoint(str(tmp_path / "none"))


def test_the_command_on_a_simulated_folder(tmp_path, checkpoint, capsys, monkeypatch):
    from venom_hw.simulate import main as simulate

    data = tmp_path / "pulses"
    assert simulate(["--preset", "ptsi", "--pulses", "120", "--seed", "5", "--out", str(data)]) == 0
    from venom_hw.model import load_checkpoint

    shipped = load_checkpoint(find_checkpoint("ptsi"))
    held = load_held_out(shipped, data)
    assert len(load_held_out(shipped, data, limit=5).val_idx) == 5 * len(held.pulses.wl_labels)
    assert not set(held.train_idx) & set(held.val_idx)
    monkeypatch.setattr("venom_hw.figures.estimates.CALIBRATION_PULSES", 60)
    out = tmp_path / "figures"
    argv = ["--model", "ptsi", "--data", str(data), "--out", str(out), "--only", "spectrum", "states",
            "--formats", "png", "svg", "--bootstrap", "2", "--quiet"]  # fmt: skip
    assert command.main(argv) == 0
    names = {"spectrum.png", "spectrum.svg", "states.png", "states.svg"}
    assert {p.name for p in out.iterdir()} == names | {"figures.json"}
    numbers = json.loads((out / "figures.json").read_text())
    assert set(numbers["figures"]) == names and numbers["command"].startswith("python -m venom_hw.figures")
    assert f"Written to {out}" in capsys.readouterr().out
    bounds = line_bounds(held.pulses, estimate(shipped, held, bound=False, n_boot=2).table)
    assert bounds.shape == (5,) and (bounds > 10).all()


@pytest.mark.parametrize("argv, message", [
    (["--model", "none", "--data", "d"], "model 'none'"),
    (["--model", "ptsi", "--data", "nowhere"], "nowhere"),
    (["--model", "ptsi", "--data", "d", "--bootstrap", "1"], "--bootstrap 1: expected 2 or more"),
], ids=["model", "data", "bootstrap"])  # fmt: skip
def test_errors_end_with_two(argv, message, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert command.main([*argv, "--quiet"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and message in error


def test_help_names_every_figure(capsys):
    with pytest.raises(SystemExit):
        command.main(["--help"])
    printed = capsys.readouterr().out
    assert all(f"  {name:<11}{command.MEANING[name]}" in printed for name in command.FIGURES)
    makers = command.draw(command.FIGURES, None, None, None, None)
    assert tuple(makers) == command.FIGURES
