"""The table of populations: every model, every parameter, and the right class in each scheme."""

import numpy as np
import pytest

from rtf_models.classes import APPLECIDER, APPLECIDER6, BTS
from rtf_models.features.light_curve_models import MODELS
from rtf_models.synthetic.errors import SyntheticError
from rtf_models.synthetic.population import (
    BTS_SHARES,
    BY_MODEL,
    POPULATIONS,
    Normal,
    find_population,
    label_of,
)

NOT_SHAPE = {"ln_amplitude", "baseline", "t0"}


def test_all_eight_models_have_populations():
    assert set(BY_MODEL) == set(MODELS) and len(MODELS) == 8
    for model, names in BY_MODEL.items():
        assert names and all(POPULATIONS[name].model == model for name in names)


@pytest.mark.parametrize("name", POPULATIONS)
def test_shapes_are_the_models_parameters_within_their_bounds(name):
    population = POPULATIONS[name]
    for model, shape in ((population.model, population.shape), population.companion or (None, {})):
        if model is None:
            continue
        assert set(shape) == set(MODELS[model].parameters) - NOT_SHAPE
        bounds = dict(
            zip(
                MODELS[model].parameters, zip(MODELS[model].low, MODELS[model].high, strict=True), strict=True
            )
        )
        for parameter, prior in shape.items():
            low, high = bounds[parameter]
            assert low <= prior.mean <= high and prior.scatter > 0
    assert population.reference and -26 < population.peak.mean < -5


# (population, fine class, coarse class) in the scheme with a place for synthetic classes
LABELS = [
    ("SN Ia", "SN Ia", "SN Ia"), ("SN Ib", "SN Ib", "SN cc"), ("SN Ic", "SN Ic", "SN cc"), ("SN II", "SN II", "SN cc"),
    ("SN IIP", "SN IIP", "SN cc"), ("SN IIn", "SN IIn", "SN cc"), ("SN IIb", "SN IIb", "SN cc"),
    ("SLSN", "SN Ic", "SN cc"), ("TDE", "TDE", "TDE"), ("nova", "Cataclysmic", "Cataclysmic"),
    ("kilonova", "other", "other"), ("afterglow", "other", "other"),
]  # fmt: skip


def test_labels_are_fine_ids_of_the_right_class():
    assert {name for name, _, _ in LABELS} == set(POPULATIONS)
    for name, fine, coarse in LABELS:
        label = label_of(POPULATIONS[name], APPLECIDER6)
        assert APPLECIDER6.fine_name(label) == fine
        assert APPLECIDER6.coarse_name(APPLECIDER6.coarse_id(label)) == coarse


def test_labels_of_bts():
    assert set(BTS_SHARES) <= set(POPULATIONS)
    found = {name: BTS.coarse_name(BTS.coarse_id(label_of(POPULATIONS[name], BTS))) for name in BTS_SHARES}
    assert found == {"SN Ia": "SN Ia", "SN II": "core collapse", "SN IIP": "core collapse", "SN Ic": "core collapse",
                     "SN IIn": "core collapse", "SN Ib": "core collapse", "SN IIb": "core collapse", "SLSN": "other",
                     "nova": "other", "TDE": "other"}  # fmt: skip


@pytest.mark.parametrize("scheme", [APPLECIDER, BTS])
@pytest.mark.parametrize("name", ["kilonova", "afterglow"])
def test_no_class_is_an_error_not_another_class(scheme, name):
    with pytest.raises(SyntheticError, match="applecider6"):
        label_of(POPULATIONS[name], scheme)


def test_unknown_population_lists_the_known():
    with pytest.raises(SyntheticError, match="'SN IIx'; expected one of SN Ia, SN Ib"):
        find_population("SN IIx")


def test_cut_normal_stays_inside():
    rng = np.random.default_rng(0)
    draws = [Normal(0.0, 1.0, -0.5, 2.0).sample(rng) for _ in range(500)]
    assert -0.5 <= min(draws) < -0.3 and 1.2 < max(draws) <= 2.0
    assert Normal(10.0, 1e-9, 0.0, 1.0).sample(rng) == 1.0  # outside of what can be drawn: cut
