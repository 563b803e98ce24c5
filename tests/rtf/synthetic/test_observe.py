"""Sources as the survey would keep them: reproducible one by one, physical, selected, rightly labelled."""

import numpy as np
import pytest

from rtf_models.classes import APPLECIDER6, BTS
from rtf_models.synthetic.cadence import Survey
from rtf_models.synthetic.errors import SyntheticError
from rtf_models.synthetic.observe import BTS_SELECTION, Selection, Sky
from rtf_models.synthetic.population import BY_MODEL, POPULATIONS, Normal

SKY = Sky()


def make(name, index=0, sky=SKY, seed=1):
    return sky.source(POPULATIONS[name], seed, index, f"SYN_{index}")


@pytest.mark.parametrize("name", POPULATIONS)
def test_every_population_gives_physical_sources(name):
    """The original's were of magnitude about 0, and the same in both bands."""
    for index in range(3):
        source, transient, truth = make(name, index)
        assert len(source) >= 3 and (np.diff(source.time) >= 0).all()
        assert 12 < source.mag.min() and source.mag.max() < 22.5
        assert (source.mag_err > 0.01).all() and (source.mag_err < 0.5).all()
        assert source.time[-1] - source.time[0] <= 100
        assert APPLECIDER6.coarse_id(source.label) >= 0
        assert len(source) <= truth["visits"]
        true = transient.magnitude(source.time - truth["t0"], source.band)
        pull = (source.mag - true) / source.mag_err
        assert (
            np.abs(np.median(pull)) < 2 and np.std(pull) < 2.5
        )  # near the limit only what is scattered up is seen


def test_each_model_can_be_made():
    for model, names in BY_MODEL.items():
        assert make(names[0])[1].population.model == model


def test_a_source_is_a_function_of_seed_and_number_alone():
    first = [make("SN Ia", k)[0] for k in range(4)]
    np.random.seed(123)  # noqa: NPY002  the original drew from the global generator
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    for k in (3, 1):
        again = make("SN Ia", k, Sky())[0]
        assert (again.mag == first[k].mag).all() and (again.time == first[k].time).all()
    assert (np.random.get_state()[1] == state).all()  # noqa: NPY002
    other = make("SN Ia", 1, seed=2)[0]
    assert len(other) != len(first[1]) or (other.mag != first[1].mag).any()
    assert len({source.time[0] for source in first}) == 4


def test_the_detection_limit_bites():
    """Deeper surveys see more of the same kind of object; nothing is detected far below the limit."""
    counts = {}
    for offset in (0.0, 2.0):
        survey = Survey(limits=tuple(limit + offset for limit in Survey().limits))
        sky = Sky(survey, Selection(redshift=(0.05, 0.08)))
        sources = [make("SN Ia", k, sky)[0] for k in range(25)]
        counts[offset] = np.mean([len(s) for s in sources])
        assert max(s.mag.max() for s in sources) < max(survey.limits) + 1.6
    assert counts[2.0] > 1.2 * counts[0.0]


def test_selection_by_brightness_redshift_length_and_number():
    sky = Sky(selection=Selection(min_detections=8, brightest=18.5, redshift=(0.02, 0.06), days=30))
    for k in range(6):
        source, transient, _ = make("SN Ia", k, sky)
        assert len(source) >= 8 and source.mag.min() <= 18.5
        assert 0.02 <= transient.z <= 0.06 and source.time[-1] - source.time[0] <= 30


def test_faint_ones_are_kept_less_often():
    full = Sky(selection=Selection(brightest=19.0))
    faded = Sky(selection=BTS_SELECTION)
    peaks = [np.median([make("SN Ia", k, sky)[0].mag.min() for k in range(40)]) for sky in (full, faded)]
    assert peaks[1] < peaks[0]


def test_magnitudes_limited_samples_see_brighter_objects_farther_away():
    sources = [make("SN II", k, Sky(selection=Selection(brightest=19.0))) for k in range(40)]
    peak, z = (np.array(x) for x in zip(*[(t.peak, t.z) for _, t, _ in sources], strict=True))
    assert np.median(peak) < POPULATIONS["SN II"].peak.mean - 0.5  # Malmquist
    assert np.corrcoef(peak, z)[0, 1] < -0.3


def test_what_cannot_be_seen_is_an_error_that_says_so():
    sky = Sky(selection=Selection(redshift=(5.0, 6.0)))
    with pytest.raises(
        SyntheticError, match="'nova'|'SN Ib': none of 3000 objects had 3 detections; nearer --redshift"
    ):
        make("SN Ib", 0, sky)


def test_scheme_without_the_class_is_an_error():
    with pytest.raises(SyntheticError, match="'bts' has no class for 'kilonova'"):
        make("kilonova", sky=Sky(scheme=BTS))


@pytest.mark.parametrize(
    "bad", [{"min_detections": 0}, {"redshift": (0.2, 0.1)}, {"days": 0.0}, {"kept_at_limit": 0.0}]
)
def test_bad_selections(bad):
    with pytest.raises(SyntheticError, match="expected"):
        Selection(**bad)


def test_priors_replace_the_shapes():
    slow = Sky(priors={"Bazin": {"ln_rise": Normal(2.5, 1e-6), "ln_fall": Normal(4.5, 1e-6)}})
    assert make("SN Ia", 0, slow)[1].shape == pytest.approx({"ln_rise": 2.5, "ln_fall": 4.5}, abs=1e-4)
