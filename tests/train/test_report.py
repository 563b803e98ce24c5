"""The PDF report: its pages, what they show, and the attention that it takes apart."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import numpy as np
import pytest
import torch

from venom_hw.model import MKIDEnergySSM, VenomCheckpoint
from venom_hw.train import TrainConfig, Trainer
from venom_hw.train import report_pages as pages
from venom_hw.train.evaluate import FILTER, VENOM, evaluate, text_report
from venom_hw.train.inspection import attention_weights, inspect_model
from venom_hw.train.plot import plot_report
from venom_hw.train.report import chapters, write_report

HISTORY = [{"epoch": k, "train_loss": 1 / k, "val_loss": 0.9 / k, "val_R_rms": 5.0 * k, "lr": 1e-3 / k, "seconds": 2.0}
           for k in (1, 2, 3)]
PAGES = ["summary", "loss", "spectra", "resolving power", "parity", "residuals", "attention"]


@pytest.fixture()
def checkpoint(toy_data):
    """Trained as little as it takes for the estimates to rise with energy."""
    config = TrainConfig(d_model=20, d_state=2, d_head_hidden=8, epochs=6, batch=64, lr=1e-2, warmup=1.0, ema=0.9)
    run = Trainer(config, toy_data.normalisation, *toy_data.training_tensors())
    while not run.finished:
        run.run_epoch()
    training = {"command": "a command", "settings": {"lr": 0.5, "plot_features": False}, "epochs": 3}
    window = toy_data.lines.window.to_dict()
    return VenomCheckpoint(run.average, window, toy_data.normalisation, training, {"preset": "toy"})


@pytest.fixture()
def result(checkpoint, toy_data):
    found = evaluate(checkpoint, toy_data, 10)
    found.between.append({"energy_eV": 1.1, "estimator": VENOM, "R": 7.0, "bias_eV": 0.004, "pulses": 9})
    return found


def number_of_pages(path) -> int:
    return len(re.findall(rb"/Type /Page\b(?!s)", path.read_bytes()))


def test_pages_with_and_without_features(tmp_path, result, checkpoint, toy_data):
    assert list(chapters(result, checkpoint, toy_data, HISTORY)) == PAGES
    checkpoint.training["settings"]["plot_features"] = True
    assert list(chapters(result, checkpoint, toy_data, HISTORY)) == [*PAGES, "features"]
    write_report(tmp_path / "a.pdf", result, checkpoint, toy_data, HISTORY)
    assert number_of_pages(tmp_path / "a.pdf") == 9  # 20 channels, 16 a page
    assert [p.name for p in tmp_path.iterdir()] == ["a.pdf"]  # nothing half written is left


def test_attention_weights_are_those_of_the_pooling():
    torch.manual_seed(2)
    model = MKIDEnergySSM(d_model=6, d_state=2, d_head_hidden=4)
    features, lengths = torch.randn(5, 9, 6), torch.tensor([9, 1, 4, 9, 7])
    for given in (None, lengths):
        weights = attention_weights(model, features, given)
        mask = None if given is None else torch.arange(9) < given.unsqueeze(1)
        pooled = torch.einsum("bl,bld->bd", weights, features)
        assert torch.allclose(pooled, model.head.pool(features, mask), atol=1e-6)
        assert torch.allclose(weights.sum(1), torch.ones(5))
    assert bool((weights[1, 1:] == 0).all())


def test_inspection_averages_each_line(checkpoint, toy_data):
    held = toy_data.lines.select(toy_data.val_idx)
    seen = inspect_model(checkpoint, held)
    assert seen.labels == toy_data.lines.wl_labels and seen.energies == pytest.approx([1.0, 1.2, 1.4])
    assert seen.time[5] == 0 and seen.time[6] == pytest.approx(2.0)  # us, trigger at sample 5, 500 kHz
    assert seen.attention.shape == (3, 24) and seen.attention.sum(axis=1) == pytest.approx([1, 1, 1])
    assert np.array_equal(seen.pulse[1], held.counts[held.wl_ids == 1].mean(axis=0))
    with torch.no_grad():
        wanted = checkpoint.model.backbone(checkpoint.standardise(held.counts[held.wl_ids == 2])).mean(0)
    assert np.allclose(seen.features[2], wanted, atol=1e-6)
    assert (seen.attention_spread[:, 0] <= seen.attention_spread[:, 1]).all()


def texts(figure) -> str:
    return " ".join(t.get_text() for t in figure.findobj(lambda a: hasattr(a, "get_text")))


def test_summary_says_what_was_done(result, checkpoint):
    said = texts(pages.summary_page(result, checkpoint))
    assert "a command" in said and "lr = 0.5" in said and "preset toy" in said and FILTER in said


def test_long_summaries_end_with_where_the_rest_is(result, checkpoint):
    checkpoint.training["command"] = "word " * 4000
    said = texts(pages.summary_page(result, checkpoint))
    assert said.count("\n") < pages.LINES_OF_TEXT and "report.txt" in said


def test_loss_page_draws_the_history():
    axes = pages.loss_page(HISTORY).axes
    drawn = {line.get_label(): line.get_ydata().tolist() for panel in axes for line in panel.lines}
    assert drawn["training"] == [1.0, 0.5, 1 / 3] and drawn["held out, mean of lines"] == [5.0, 10.0, 15.0]


def test_power_page_draws_values_and_bias(result):
    figure = pages.power_page(result)
    table = result.tables["kde"]
    drawn = [line.get_ydata() for line in figure.axes[0].lines]
    for name in (VENOM, FILTER):
        assert any(len(y) == 3 and np.allclose(y, table.value[name]) for y in drawn), name
    assert [7.0] in [list(y) for y in drawn] and f"mean R {table.mean(FILTER)}" in texts(figure)
    biases = [list(line.get_ydata()) for line in figure.axes[2].lines]
    assert [4.0] in biases and any(np.allclose(b, 1e3 * table.bias[VENOM]) for b in biases if len(b) == 3)


def test_parity_and_spectra_have_a_panel_each(result):
    assert len(pages.parity_page(result).axes) == 2 and len(pages.spectra_page(result).axes) == 3
    medians = pages.parity_page(result).axes[0].lines[-1].get_ydata()
    assert medians == pytest.approx([np.median(result.estimates[VENOM][result.energies == e]) for e in (1.0, 1.2, 1.4)])


def test_pulls_of_an_honest_network_are_a_unit_normal():
    rng = np.random.default_rng(0)
    sigma = rng.uniform(0.01, 0.05, 4000)
    energies = np.repeat([1.0, 1.2], 2000)
    said = {}
    for factor in (1.0, 2.0):
        figure = pages.residual_page(energies, energies + factor * sigma * rng.normal(size=4000), 2 * np.log(sigma))
        said[factor] = float(re.search(r"rms (\d\.\d+)", texts(figure)).group(1))
        stated, found = figure.axes[3].lines[0].get_data()
        assert found == pytest.approx(factor * np.asarray(stated), rel=0.15)
    assert said[1.0] == pytest.approx(1, abs=0.05) and said[2.0] == pytest.approx(2, abs=0.1)


def test_features_of_all_channels(checkpoint, toy_data):
    first, second = pages.feature_pages(inspect_model(checkpoint, toy_data.lines))
    assert (len(first.axes), len(second.axes)) == (16, 4) and "channel 19" in texts(second)


def test_without_noise_windows_the_filter_is_left_out_and_the_reason_said(tmp_path, checkpoint, toy_data):
    with_filter = evaluate(checkpoint, toy_data, 4)
    test = toy_data.lines.select(np.arange(60))  # as if at energies that were not trained on
    quiet = replace(toy_data, lines=replace(toy_data.lines, noise=None), test=replace(test, noise=None))
    found = evaluate(checkpoint, quiet, 4)
    assert list(found.estimates) == [VENOM] and {row["estimator"] for row in found.between} == {VENOM}
    assert np.array_equal(found.estimates[VENOM], with_filter.estimates[VENOM])
    stored = json.loads(json.dumps(found.to_dict()))
    assert "no noise windows" in stored["left_out"][FILTER] and stored["difference"] == {}
    assert set(stored["kde"]["estimators"]) == {VENOM}
    assert set(found.summary()) == {"R_venom", "validation_nll_eV"}
    said = text_report(found)
    assert f"left out: {FILTER} (the data set has no noise windows" in said and "paired" not in said
    assert "left out" not in text_report(with_filter) and with_filter.to_dict()["left_out"] == {}
    write_report(tmp_path / "a.pdf", found, checkpoint, quiet, HISTORY)
    assert number_of_pages(tmp_path / "a.pdf") == 7
    assert "no noise windows" in texts(pages.summary_page(found, checkpoint)).replace("\n     ", "")
    plot_report(tmp_path / "a.png", found, HISTORY, "title")
    assert (tmp_path / "a.png").read_bytes()[:4] == b"\x89PNG"


def test_a_network_that_cannot_be_calibrated_is_no_matter_of_the_filter(checkpoint, toy_data):
    with torch.no_grad():
        checkpoint.model.head.fc3.weight[0] *= -1  # estimates that fall with energy
    with pytest.raises(ValueError):
        evaluate(checkpoint, toy_data, 4)


def test_stored_resolving_powers_beside_the_recomputed_filter(checkpoint, toy_data):
    first, second, third = toy_data.lines.wl_labels
    stored = {first: 9.25, third: 7.5}
    data = replace(toy_data, lines=replace(toy_data.lines, opt_R=stored))
    found = evaluate(checkpoint, data, 4)
    assert found.to_dict()["stored_opt_filt_R"] == stored
    said = text_report(found)
    part = said[said.index("as stored in the folder's metadata.json (opt_filt_R), and recomputed here:"):]
    rows = [line.split() for line in part.splitlines()[1:3]]
    table = found.tables["kde"]
    for row, label in zip(rows, stored, strict=True):
        assert row[:3] == [label, "stored", f"{stored[label]:.2f}"]
        assert " ".join(row[4:]) == str(table.line(FILTER, label))
    assert second not in part
    assert "opt_filt_R" not in text_report(evaluate(checkpoint, toy_data, 4))
    bare = evaluate(checkpoint, replace(data, lines=replace(data.lines, noise=None)), 4)
    assert f"stored {9.25:6.2f}   recomputed left out" in text_report(bare)
