"""The comparison with real curves: it sees what differs, and the synthetic ones are far nearer than the original's."""

import warnings

import numpy as np
import pytest

from rtf_models.data.bts import read_bts
from rtf_models.data.source import Source
from rtf_models.features.light_curve_models import MODELS
from rtf_models.synthetic.errors import SyntheticError
from rtf_models.synthetic.folder import jobs
from rtf_models.synthetic.observe import BTS_SELECTION, Sky
from rtf_models.synthetic.plots import plot_realism
from rtf_models.synthetic.realism import QUANTITIES, compare, separability, summaries, summary


def test_summary_of_a_known_curve():
    t = np.array([100.2, 100.25, 103.2, 103.25, 106.2, 106.25, 110.2])
    source = Source(
        "x", t, [0, 1, 0, 1, 0, 1, 1], [18.0, 18.2, 18.1, 18.2, 18.4, 18.3, 18.8], np.full(7, 0.1)
    )
    values = dict(zip(QUANTITIES, summary(source), strict=True))
    expected = {"detections": 7, "share of g": 3 / 7, "detections per night": 7 / 4, "duration": 10.0,
                "median gap of nights": 3, "longest gap": 4, "share of 1-day gaps": 0, "brightest": 18.0,
                "faintest": 18.8, "first g - r": -0.2, "last g - r": 0.1, "median g - r": -0.1, "days to brightest": 0,
                "amplitude in r": 0.6, "median error": 0.1, "shortest gap": 0.05}  # fmt: skip
    for name, value in expected.items():
        assert values[name] == pytest.approx(value, abs=1e-4), name
    assert np.isnan(values["same-night scatter"])


def test_one_detection_says_little_and_warns_of_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        values = dict(zip(QUANTITIES, summary(Source("x", [1.0], [1], [18.0], [0.1])), strict=True))
    assert values["detections"] == 1 and np.isnan(values["median g - r"])


def test_separability_of_equal_and_of_shifted_numbers():
    pytest.importorskip("sklearn")
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 150, len(QUANTITIES)))
    assert separability(a, b) == pytest.approx(0.5, abs=0.1)
    b[:, 3] += 3
    assert separability(a, b) > 0.95
    assert separability(a, b, columns=["brightest"]) == pytest.approx(0.5, abs=0.12)
    with pytest.raises(SyntheticError, match="150 real and 3 synthetic"):
        separability(a, b[:3])


def of_the_original(index: int) -> Source:
    """A type Ia as the original made it: Bazin normalised to its peak, magnitude about 0, one flux for both bands."""
    rng = np.random.default_rng(index)
    time = np.cumsum(rng.exponential(3.0, 40))
    parameters = [0.0, 0.0, 30.0, rng.normal(1.1, 0.2), rng.normal(3.2, 0.2)]
    flux = MODELS["Bazin"].flux(time, parameters)
    mag = -2.5 * np.log10(np.maximum(flux, 1e-10))
    err = np.maximum(0.03, 0.1 * 10 ** (0.4 * (mag - 19)))
    keep = mag < 20.5
    band = (rng.random(40) < 0.55).astype(int)
    return Source("x", time[keep], band[keep], mag[keep] + rng.normal(0, err[keep]), err[keep])


def test_nearer_to_the_real_curves_than_the_originals(bts_file, tmp_path):
    pytest.importorskip("sklearn")
    rng = np.random.default_rng(0)
    everything = [s for s in (x.within(100) for x in read_bts(bts_file)) if len(s) >= 3]
    real = [everything[k] for k in rng.permutation(len(everything))[:300]]
    sky = Sky(selection=BTS_SELECTION)
    mix = [
        sky.source(j.population, 3, j.index, j.object_id)[0] for j in jobs([], [], 1, (1, 0, 0), 3, mix=150)
    ]
    result = compare(real, mix, by_group=False)
    originals = separability(summaries(real), summaries([of_the_original(k) for k in range(150)]))
    assert originals > 0.995  # magnitudes near 0 give each one away
    assert result["auc"] < 0.95
    for name, most in {"brightest": 0.15, "median magnitude": 0.15, "detections": 0.15, "median gap of nights": 0.2,
                       "median error": 0.2, "duration": 0.2, "median g - r": 0.25}.items():  # fmt: skip
        assert result["quantities"][name]["ks"] < most, name
    assert plot_realism(real, mix, result, tmp_path / "realism.png").stat().st_size > 20_000
