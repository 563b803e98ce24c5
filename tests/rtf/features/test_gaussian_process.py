"""The Gaussian process against scikit-learn, finite differences and, beyond 100 points, its exact form."""

import numpy as np
import pytest

from rtf_models.features import gaussian_process as gp


def data(count, seed=0, noise=0.03):
    rng = np.random.default_rng(seed)
    t = np.sort(rng.random(count) * 80)
    return t, np.exp(-(((t - 30) / 15) ** 2)) + rng.normal(0, noise, count), np.full(count, noise**2)


AMPLITUDES = np.repeat([0.1, 0.3], 3)
SCALES = np.tile([13.0, 6.0, 4.0], 2)


@pytest.mark.parametrize("count", [2, 5, 30, 100])
def test_exact_form_is_that_of_scikit_learn(count):
    pytest.importorskip("sklearn")
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import RBF, ConstantKernel

    t, y, variance = data(count)
    ours = gp.fit(t, y, variance, AMPLITUDES, SCALES)
    query = np.linspace(-5, 90, 40)
    scores = []
    for amplitude, scale in zip(AMPLITUDES, SCALES, strict=True):
        kernel = ConstantKernel(amplitude, "fixed") * RBF(scale, "fixed")
        theirs = GaussianProcessRegressor(kernel, alpha=variance, optimizer=None).fit(
            t[:, None], y - ours.mean
        )
        scores.append((theirs.log_marginal_likelihood_value_, theirs))
    best = max(range(len(scores)), key=lambda k: scores[k][0])
    assert (ours.amplitude, ours.scale[0]) == (AMPLITUDES[best], SCALES[best])
    rms = np.sqrt(((scores[best][1].predict(t[:, None]) - y + ours.mean) ** 2).mean())
    np.testing.assert_allclose(ours.train_rms, rms, atol=1e-6)
    mean, error = scores[best][1].predict(query[:, None], return_std=True)
    found, found_variance = ours.predict(query)
    np.testing.assert_allclose(found, mean + ours.mean, atol=1e-5)
    np.testing.assert_allclose(found_variance, error**2, atol=1e-5)


def test_derivatives_are_those_of_the_mean():
    process = gp.fit(*data(25), AMPLITUDES, SCALES)
    t, h = np.linspace(0, 85, 30), 1e-3
    above, at, below = (process.predict(t + step)[0] for step in (h, 0, -h))
    first, second = process.derivatives(t)
    np.testing.assert_allclose(first, (above - below) / (2 * h), atol=1e-6)
    np.testing.assert_allclose(second, (above - 2 * at + below) / h**2, atol=1e-5)


@pytest.mark.parametrize(("count", "scale"), [(180, 12.0), (180, 30.0), (700, 20.0)])
def test_inducing_points_agree_with_the_exact_form_where_the_curve_is_smooth(monkeypatch, count, scale):
    t, y, variance = data(count)
    sparse = gp.fit(t, y, variance, [0.3], [scale])
    monkeypatch.setattr(gp, "EXACT_POINTS", 1000)
    exact = gp.fit(t, y, variance, [0.3], [scale])
    assert len(sparse.nodes) == 30 and len(exact.nodes) == count
    query = np.linspace(2, 78, 50)
    for ours, theirs in zip(sparse.predict(query), exact.predict(query), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=5e-3)


def test_two_inputs_with_a_scale_each():
    rng = np.random.default_rng(1)
    x = rng.random((60, 2)) * [50, 0.3]
    y = np.sin(x[:, 0] / 8) + 3 * x[:, 1]
    process = gp.fit(x, y, np.full(60, 1e-4), [1.0, 1.0], [[8.0, 0.3], [8.0, 0.003]])
    assert process.scale.tolist() == [8.0, 0.3]  # the second has no notion of neighbouring wavelengths
    inside = rng.random((20, 2)) * [40, 0.2] + [5, 0.05]
    np.testing.assert_allclose(
        process.predict(inside)[0], np.sin(inside[:, 0] / 8) + 3 * inside[:, 1], atol=0.05
    )
