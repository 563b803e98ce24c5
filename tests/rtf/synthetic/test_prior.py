"""Priors from JSON fits."""

import json

import numpy as np
import pytest

from rtf_models.features.light_curve_models import MODELS
from rtf_models.synthetic.errors import SyntheticError
from rtf_models.synthetic.prior import fitted_priors, read_fits


def write_fits(folder, count=40, model="Villar", scatter=True, seed=0, **more):
    rng = np.random.default_rng(seed)
    names = MODELS[model].parameters
    rows = np.column_stack([rng.normal(0.01 * k, 0.002 * (k + 1), count) for k in range(len(names))])
    for k, row in enumerate(rows):
        values = [*row, -3.0] if scatter else list(row)
        fits = {"parametric": [{"model": model, "pso_params": values}], **more}
        (folder / f"ZTF{k:03d}.json").write_text(json.dumps(fits))
    return rows


def test_mean_and_widened_spread_of_the_shape_alone(tmp_path):
    rows = write_fits(tmp_path)
    prior = fitted_priors(tmp_path)["Villar"]
    assert set(prior) == {"beta", "ln_gamma", "ln_rise", "ln_fall"}  # no amplitude, no epoch
    for name, normal in prior.items():
        column = rows[:, MODELS["Villar"].parameters.index(name)]
        assert normal.mean == pytest.approx(column.mean()) and normal.scatter == pytest.approx(
            1.5 * column.std()
        )
    assert (prior["beta"].low, prior["beta"].high) == (-0.01, 0.05)


def test_only_the_first_500_files_and_models_with_enough_fits(tmp_path):
    write_fits(tmp_path, 3, "Bazin")
    assert "Bazin" not in fitted_priors(tmp_path)  # the built-in prior is better than three fits
    assert read_fits(tmp_path)["Bazin"].shape == (3, 5)
    write_fits(tmp_path, 510, "Magnetar")
    assert len(read_fits(tmp_path)["Magnetar"]) == 500


def test_broken_files_are_left_out(tmp_path, caplog):
    write_fits(tmp_path, 10, scatter=False)
    (tmp_path / "A.json").write_text("{")
    (tmp_path / "B.json").write_text(json.dumps({"parametric": [{"model": "Villar", "pso_params": [1, 2]}]}))
    (tmp_path / "C.json").write_text(
        json.dumps({"parametric": [{"model": "Villar", "pso_params": [float("nan")] * 6}]})
    )
    assert len(read_fits(tmp_path)["Villar"]) == 10
    assert "1 of 13 fit files left out, first: A.json" in caplog.text


@pytest.mark.parametrize("content", [None, "", '{"parametric": [{"model": "Spline", "pso_params": [1]}]}'])
def test_nothing_usable_is_an_error(tmp_path, content):
    if content is None:
        with pytest.raises(SyntheticError, match="no such folder"):
            read_fits(tmp_path / "absent")
        with pytest.raises(SyntheticError, match=r"no \*.json"):
            read_fits(tmp_path)
        return
    (tmp_path / "x.json").write_text(content)
    with pytest.raises(SyntheticError, match="no usable fit in 1 files"):
        read_fits(tmp_path)
