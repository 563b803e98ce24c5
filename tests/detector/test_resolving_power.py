"""R against Gaussian theory, and its bootstrap."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from venom_hw.detector import (
    compute_resolving_power,
    gaussian_resolving_power,
    resolving_power_table,
    summarize_resolving_power,
)
from venom_hw.detector.resolving_power import FWHM_PER_SIGMA, adaptive_fwhm, kde_fwhm, scott_resolving_power
from venom_hw.detector.resolving_power_metrics import METRICS


def gauss(n, r=12.0, energy=1.2, seed=0):
    return np.random.default_rng(seed).normal(energy, energy / r / FWHM_PER_SIGMA, n)


@pytest.mark.parametrize(("adaptive", "n", "tolerance"),
                         [(False, 1000, 0.03), (False, 20_000, 0.015), (True, 1000, 0.04), (True, 20_000, 0.03)])
def test_kde_is_unbiased_for_gaussians(adaptive, n, tolerance):
    estimates = [compute_resolving_power(gauss(n, seed=s), 1.2, adaptive) for s in range(30 if n < 2000 else 8)]
    assert abs(np.mean(estimates) / 12.0 - 1) < tolerance


def test_adaptive_is_the_default():
    values = gauss(500)
    assert compute_resolving_power(values, 1.2) == 1.2 / adaptive_fwhm(values)
    assert compute_resolving_power(values, 1.2, adaptive=False) == scott_resolving_power(values, 1.2)
    assert scott_resolving_power(values, 1.2) == 1.2 / kde_fwhm(values) != compute_resolving_power(values, 1.2)


def test_gaussian_r_and_its_bias_penalty():
    values = gauss(50_000)
    assert abs(gaussian_resolving_power(values, 1.2) / 12 - 1) < 0.01
    sigma = 1.2 / 12 / FWHM_PER_SIGMA
    assert abs(gaussian_resolving_power(values + sigma, 1.2) / (12 / np.sqrt(2)) - 1) < 0.02


def test_kde_shrugs_off_outliers():
    values = gauss(5000)
    spoilt = np.r_[values, np.full(100, 30.0), np.full(100, -5.0)]
    assert abs(compute_resolving_power(spoilt, 1.2) / compute_resolving_power(values, 1.2) - 1) < 0.05


def test_fwhm_of_a_lorentzian_is_not_its_standard_deviation():
    values = np.random.default_rng(0).standard_cauchy(20_000)
    assert abs(kde_fwhm(values) / 2.0 - 1) < 0.1


@given(st.floats(0.01, 100), st.floats(-50, 50))
def test_fwhm_scales_and_does_not_move(scale, offset):
    values = gauss(500)
    assert abs(kde_fwhm(values * scale + offset) / (scale * kde_fwhm(values)) - 1) < 1e-3


def test_degenerate_values():
    assert np.isnan(kde_fwhm(np.ones(100))) and np.isnan(compute_resolving_power(np.ones(5), 1.0))
    assert gaussian_resolving_power(np.ones(5), 1.0) == np.inf
    with pytest.raises(ValueError, match="finite"):
        kde_fwhm(np.array([1.0, np.nan] * 10))


def lines(r, n=800, seed=0):
    energies = np.array([0.9, 1.1, 1.3, 1.5])
    rng = np.random.default_rng(seed)
    true = np.repeat(energies, n)
    return true, np.repeat(np.arange(4), n), true * (1 + rng.standard_normal(4 * n) / r / FWHM_PER_SIGMA)


def test_summary_leaves_the_edges_out():
    true, ids, pred = lines(10)
    pred[ids == 0] += 5.0
    summary = summarize_resolving_power(pred, true, ids)
    assert abs(summary["mean"] / 10 - 1) < 0.05 and summary["per_line"][0] < 1 and summary["mean_all"] < 8


@pytest.mark.parametrize("metric", sorted(METRICS))
def test_resamples_are_the_metric_of_resampled_values(metric):
    values, draws = gauss(300), np.random.default_rng(1).integers(0, 300, (5, 300))
    draws[0] = np.arange(300)
    value, resampled = METRICS[metric].with_resamples(values, 1.2, draws)
    assert resampled.shape == (5,) and resampled[0] == pytest.approx(value, rel=1e-9)
    if metric != "kde":  # whose resamples keep the bandwidths
        again = [METRICS[metric].with_resamples(values[d], 1.2, draws)[0] for d in draws]
        np.testing.assert_allclose(resampled, again, rtol=1e-12)


def test_bias_of_a_line_and_its_interval():
    true, ids, pred = lines(10, 500)
    table = resolving_power_table({"a": pred + 0.02}, true, ids, list("abcd"), metric="gaussian", n_boot=100)
    bias = table.bias_of_line("a", "b")
    sigma = 1.1 / 10 / FWHM_PER_SIGMA
    assert abs(bias.value - 0.02) < 4 * sigma * 1.2533 / np.sqrt(500)
    assert bias.low < bias.value < bias.high
    assert 2 < (bias.high - bias.low) / (1.2533 * sigma / np.sqrt(500)) < 6  # 95 %: 3.9
    assert table.to_dict()["estimators"]["a"]["bias_interval_eV"]["b"] == bias.to_dict()


def test_a_line_without_a_width_has_no_interval():
    true, ids, pred = lines(10, 20)
    pred[ids == 1] = 1.1
    table = resolving_power_table({"a": pred}, true, ids, list("abcd"), n_boot=5)
    interval = table.line("a", "b")
    assert np.isnan([interval.value, interval.low, interval.high]).all() and np.isfinite(table.line("a", "c").value)


@pytest.mark.parametrize("metric", ["kde", "scott", "gaussian"])
def test_intervals_cover_the_truth(metric):
    inside = 0
    for seed in range(20):
        true, ids, pred = lines(10, 300, seed)
        table = resolving_power_table({"a": pred}, true, ids, list("abcd"), metric=metric, n_boot=60, seed=seed)
        interval = table.mean("a")
        assert interval.low < interval.value < interval.high
        inside += interval.low < 10 < interval.high
    assert inside >= 15


def test_differences_are_paired():
    """Two estimators with common scatter: their difference is known far better than either."""
    true, ids, pred = lines(10)
    better = true + 0.9 * (pred - true)
    table = resolving_power_table({"a": pred, "b": better}, true, ids, list("abcd"), n_boot=60)
    difference, alone = table.difference("b", "a"), table.mean("a")
    assert abs(table.relative_difference("b", "a").value - 1 / 0.9 + 1) < 0.01
    assert difference.low > 0.8 and difference.high - difference.low < 0.5 * (alone.high - alone.low)


def test_inner_lines():
    true, ids, pred = lines(10)
    pred[ids == 3] += 0.1 * (pred[ids == 3] - true[ids == 3]) * 30  # the highest energy is blurred
    estimates = {"a": pred, "b": true + 0.5 * (pred - true)}
    table = resolving_power_table(estimates, true, ids, list("abcd"), metric="gaussian", n_boot=20)
    np.testing.assert_array_equal(table.inner(), [False, True, True, False])
    assert table.mean("a", inner=True).value == table.value["a"][1:3].mean()
    assert table.mean("a").value == table.value["a"].mean() < table.mean("a", inner=True).value
    assert table.difference("b", "a", inner=True).value == pytest.approx(table.value["a"][1:3].mean())
    assert table.relative_difference("b", "a", inner=True).low == pytest.approx(1)
    assert table.to_dict()["estimators"]["a"]["mean_inner"] == table.mean("a", inner=True).to_dict()
    two = resolving_power_table({"a": pred[ids < 2]}, true[ids < 2], ids[ids < 2], list("ab"), n_boot=2)
    assert two.inner().all()


def test_table_prints_serialises_and_repeats():
    true, ids, pred = lines(10, 100)
    table, again = (resolving_power_table({"OF": pred}, true, ids, list("abcd"), n_boot=10) for _ in range(2))
    assert str(table) == str(again) and "mean" in str(table)
    data = json.loads(json.dumps(table.to_dict()))
    assert data["estimators"]["OF"]["mean"]["value"] == table.mean("OF").value
    assert list(data["estimators"]["OF"]["lines"]) == list("abcd")


def test_unknown_metric_and_wrong_shape():
    true, ids, pred = lines(10, 50)
    with pytest.raises(ValueError, match="metric"):
        resolving_power_table({"a": pred}, true, ids, list("abcd"), metric="mad")
    with pytest.raises(ValueError, match="'a'"):
        resolving_power_table({"a": pred[:-1]}, true, ids, list("abcd"))
