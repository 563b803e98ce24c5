"""The figures: what they draw is what was estimated."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from venom_hw.detector import resolving_power_table
from venom_hw.evaluation import EstimatorReport, evaluate_estimators
from venom_hw.evaluation.estimators import BOUND, FLOAT, GOLDEN, QUANTISED
from venom_hw.figures import __main__ as command
from venom_hw.figures import inside, parity, power, spectra
from venom_hw.figures.models import find_checkpoint, load_model
from venom_hw.figures.style import estimator_colours, save_figure, shown_estimators, styled_figure
from venom_hw.model import CheckpointError, save_checkpoint
from venom_hw.train.inspection import inspect_model


@pytest.fixture(scope="module")
def report(checkpoint, sample) -> EstimatorReport:
    return evaluate_estimators(checkpoint, sample.pulses, filters=["shared", "per_wavelength"], n_boot=4)


def test_golden_integers_do_not_hide_the_network_they_equal(report):
    assert shown_estimators(report) == report.names
    ladder = {name: report.estimates[FLOAT] for name in (FLOAT, QUANTISED, GOLDEN)}
    same = replace(report, estimates=ladder, integers={"differ": 0})
    assert shown_estimators(same) == [FLOAT, QUANTISED]
    assert shown_estimators(replace(same, integers={"differ": 1})) == [FLOAT, QUANTISED, GOLDEN]
    assert len(set(estimator_colours(ladder).values())) == 3


def histogram_of(axes, colour) -> int:
    """Pulses in the step histogram of a colour."""
    from matplotlib.colors import to_rgba

    for patch in axes.patches:
        if to_rgba(patch.get_edgecolor()) == to_rgba(colour):
            return int(round(patch.get_xy()[:, 1].max()))
    raise AssertionError(f"no histogram of {colour}")


def test_spectra_have_a_panel_a_line_with_every_estimator(report):
    figure, table = spectra.line_spectra(report), report.tables["kde"]
    panels = [a for a in figure.axes if a.get_title()]
    assert [a.get_title() for a in panels] == [label.replace("nm", " nm") for label in table.labels]
    for k, axes in enumerate(panels):
        written = [t.get_text() for t in axes.texts]
        assert written == [f"R {table.value[name][k]:.1f}" for name in report.names]
        assert len(axes.patches) == len(report.names)
        assert histogram_of(axes, estimator_colours(report.names)[FLOAT]) > 0
    full = spectra.full_spectrum(report).axes[0]
    drawn = sum(rectangle.get_height() for rectangle in full.patches)
    assert drawn == len(report.energies), "every pulse is in the spectrum of this detector"


def test_power_shows_values_bound_and_between(report):
    table = report.tables["kde"]
    true, lines = np.repeat([1.3, 1.1], 60), np.repeat([0, 1], 60)
    values = {FLOAT: true + 0.02 * np.random.default_rng(0).normal(size=120)}
    off = resolving_power_table(values, true, lines, ["953nm", "1127nm"], n_boot=2)
    bound = np.array([30.0, 31.0, 32.0])
    full = replace(report, bound=bound, between={"kde": off}, between_bound=np.array([40.0, 41.0]))
    axes = power.power_by_wavelength(full).axes[0]
    lines = {line.get_label(): line for line in axes.lines}
    x, y = lines[BOUND].get_data()
    assert (np.diff(x) > 0).all() and len(x) == 5
    wanted = dict(zip([*table.energies, *off.energies], [30.0, 31.0, 32.0, 40.0, 41.0], strict=True))
    drawn = {round(1239.841984 / a, 4): b for a, b in zip(x, y, strict=True)}
    assert drawn == {round(e, 4): value for e, value in wanted.items()}
    open_marks = [line for line in axes.lines if line.get_marker() == "s"]
    assert len(open_marks) == 1, "only what was judged between the lines"
    np.testing.assert_allclose(open_marks[0].get_ydata(), off.value[FLOAT])
    drawn = [c for c in axes.containers if c.get_label().startswith(FLOAT)]
    np.testing.assert_allclose(drawn[0].lines[0].get_ydata(), table.value[FLOAT])
    plain = power.power_by_wavelength(report).axes[0]
    assert BOUND not in [line.get_label() for line in plain.lines]


def test_parity_and_residuals(report):
    figure, names = parity.parity_and_residuals(report), report.names
    assert len(figure.axes) == 2 * len(names)
    for k, name in enumerate(names):
        dots = [line for line in figure.axes[len(names) + k].lines if line.get_marker() == "o"][0]
        np.testing.assert_allclose(sorted(dots.get_ydata()), sorted(1e3 * report.tables["kde"].bias[name]), atol=1e-9)
    figure = parity.residual_histogram(report)
    assert [t.get_text() for t in figure.axes[0].get_legend().get_texts()] == [*names, "normal"]


def test_inside(checkpoint, sample, tmp_path):
    seen = inspect_model(checkpoint, sample.judged)
    upper, lower = inside.attention_over_time(seen).axes
    np.testing.assert_allclose(lower.lines[0].get_ydata(), seen.attention[0])
    assert len(upper.lines) == len(seen.labels)
    figure = inside.feature_channels(seen)
    assert len(figure.axes) == checkpoint.model.config["d_model"]
    figure = inside.state_features(checkpoint, sample.judged, limit=20)
    assert save_figure(figure, tmp_path / "states.pdf").read_bytes().startswith(b"%PDF")


def test_states_are_those_of_the_recurrence(checkpoint, sample):
    size, memory = inside.state_history(checkpoint, sample.judged.counts[:6])
    state = checkpoint.model.initial_state(6)
    x = checkpoint.standardise(sample.judged.counts[:6])
    with torch.no_grad():
        for t in range(x.shape[1]):
            _, state = checkpoint.model.backbone.step(x[:, t], state)
            np.testing.assert_allclose(size[t], state[0].h.abs().mean(0).numpy(), rtol=1e-6)
    assert memory.shape == size.shape[1:] and (memory > 0).all()


def test_memory_of_a_known_decay(checkpoint, sample):
    """With delta fixed by its bias alone, the memory is 1 / (delta |A|) samples."""
    import copy

    known = copy.deepcopy(checkpoint)
    layer = known.model.backbone.layers[0]
    with torch.no_grad():
        layer.dt_proj.weight.zero_()
        layer.dt_proj.bias.fill_(-2.0)
    _, memory = inside.state_history(known, sample.judged.counts[:3])
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
    assert load_model(str(path))[0] == "run" and load_model("inhf")[0] == "inhf"
    with pytest.raises(CheckpointError, match="expected a file, a folder of a training run, or one of .*ptsi"):
        find_checkpoint(str(tmp_path / "none"))


def test_the_command_on_a_simulated_folder(tmp_path, capsys):
    from venom_hw.simulate import main as simulate

    data, out = tmp_path / "pulses", tmp_path / "figures"
    assert simulate(["--preset", "ptsi", "--pulses", "100", "--seed", "5", "--out", str(data)]) == 0
    argv = ["--model", "ptsi", "--data", str(data), "--out", str(out), "--only", "power", "states",
            "--filters", "shared", "--formats", "png", "svg", "--bootstrap", "2", "--quiet"]  # fmt: skip
    assert command.main(argv) == 0
    names = {"power.png", "power.svg", "states.png", "states.svg"}
    assert {p.name for p in out.iterdir()} == names | {"figures.json"}
    numbers = json.loads((out / "figures.json").read_text())
    assert set(numbers["figures"]) == names and numbers["command"].startswith("python -m venom_hw.figures")
    assert numbers["judgement"]["bound"]["mean"] > 10
    assert f"Written to {out}" in capsys.readouterr().out


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
