"""When the survey looks."""

import numpy as np
import pytest

from rtf_models.synthetic.cadence import (
    MIDNIGHT,
    NIGHT,
    TWO_DAY_CADENCE_FROM,
    Survey,
    exposures,
    moon_illumination,
)

SURVEY = Survey()
WEATHER = SURVEY.weather()


def visits(start, seed=0, survey=SURVEY, days=60, opposition=None):
    return exposures(
        survey,
        np.random.default_rng(seed),
        start,
        start + days,
        start + 30 if opposition is None else opposition,
        WEATHER,
    )


@pytest.mark.parametrize(("mjd", "lit"), [(58504.2, 1.0), (58312.1, 0.0), (58666.8, 0.0)])
def test_moon_at_known_eclipses(mjd, lit):  # lunar 2019-01-21, solar 2018-07-13 and 2019-07-02
    assert moon_illumination(mjd) == pytest.approx(lit, abs=0.02)


def test_visits_are_at_night_in_order_in_the_season():
    for seed in range(20):
        v = visits(58_900.0, seed)
        assert (np.diff(v.mjd) >= 0).all() and len(v.mjd) == len(v.band) == len(v.limit)
        hour = v.mjd % 1
        assert hour.min() > NIGHT[0] - 0.01 and hour.max() < NIGHT[1] + 0.3
        assert set(v.band) <= {0, 1}
    assert len(visits(58_900.0, opposition=58_930.0 + 182)) == 0  # behind the sun
    assert NIGHT[0] < MIDNIGHT < NIGHT[1]


def gaps(start):
    found = [np.diff(np.unique(np.floor(visits(start, seed).mjd))) for seed in range(80)]
    return np.concatenate(found)


def test_three_days_then_two_days_apart():
    early, late = gaps(58_300.0), gaps(TWO_DAY_CADENCE_FROM + 20.0)
    assert np.median(early) == 3 and np.median(late) == 2
    assert (early == 2).mean() < (late == 2).mean()


def test_both_bands_in_a_night_and_repeats_in_overlaps():
    v = [visits(58_300.0, seed) for seed in range(80)]
    nights = [(np.floor(x.mjd), x.band) for x in v]
    both = np.mean([len(set(band[night == n])) == 2 for night, band in nights for n in np.unique(night)])
    assert 0.4 < both < 0.8
    closest = np.array([np.diff(x.mjd).min() for x in v if len(x) > 5])
    assert 0.05 < (closest < 0.001).mean() < 0.4  # 40 s apart: the field next door


def test_weather_is_shared_seeded_and_bad_a_third_of_the_time():
    clear, loss = WEATHER
    assert (Survey().weather()[0] == clear).all() and (Survey(seed=1).weather()[0] != clear).any()
    assert 0.55 < clear.mean() < 0.8 and abs(np.median(loss)) < 0.1
    two = [set(np.floor(visits(58_500.0, seed).mjd)) for seed in range(60)]
    assert not set().union(*two) & {
        night for night in range(58_500, 58_560) if not clear[night - 58_240 + 400]
    }


def test_full_moon_takes_depth_and_the_limit_is_about_20_5():
    mjd, limit, band = (
        np.concatenate(x)
        for x in zip(
            *[(v.mjd, v.limit, v.band) for v in (visits(58_850.0, seed, days=120) for seed in range(60))],
            strict=True,
        )
    )
    lit = moon_illumination(mjd)
    for b in (0, 1):
        dark, bright = (np.median(limit[(band == b) & part]) for part in (lit < 0.1, lit > 0.95))
        assert dark - bright > 0.3
    assert 20.0 < np.median(limit) < 20.6


def test_i_band_only_where_asked_for():
    assert 2 in set(visits(58_300.0, survey=Survey(i_band=1.0)).band)
    with_i = visits(58_300.0, survey=Survey(i_band=1.0), days=100)
    assert 0.05 < (with_i.band == 2).mean() < 0.5


def test_same_seed_same_visits():
    a, b = visits(58_700.0, 5), visits(58_700.0, 5)
    assert (a.mjd == b.mjd).all() and (a.limit == b.limit).all()
