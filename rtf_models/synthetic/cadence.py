"""When the Zwicky Transient Facility looks: field cadence, weather, moon, season, and how deep each exposure is.

The pattern follows the survey's public programme (Bellm et al. 2019, PASP 131, 068003): g and r in the same night every
third night, every second one from October 2020; some fields are visited nightly by other programmes, and some
positions lie in two fields. Weather and moon are the same for all objects of a survey seed. Shares, losses and depths
were set so that gaps, repeats in a night and the faintest detections against the moon's phase resemble those of the
real BTS curves (`realism` measures how far that goes).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

FIRST_NIGHT, LAST_NIGHT = 58_240, 59_310  # MJD: April 2018 to April 2021, when the BTS sample was taken
TWO_DAY_CADENCE_FROM = 59_123  # MJD of October 2020
NEW_MOON = 58_253.49  # MJD
SYNODIC_MONTH = 29.530588  # days
MIDNIGHT = 0.335  # of Palomar, fraction of the MJD
NIGHT = (0.11, 0.54)  # dusk and dawn
REACH = 0.17  # days from the meridian that a field is followed


@dataclass(frozen=True)
class Exposures:
    """Visits of one position: mjd (V,) ascending, band (V,) 0 g, 1 r, 2 i, limit (V,) detection limit, mag."""

    mjd: np.ndarray
    band: np.ndarray
    limit: np.ndarray

    def __len__(self) -> int:
        return len(self.mjd)


# Share of positions visited every night by programmes beside the public one: (from MJD, share).
NIGHTLY_SHARE = ((0, 0.01), (58_600, 0.15), (58_900, 0.35), (TWO_DAY_CADENCE_FROM, 0.03))
READOUT = 0.000463  # days: the next exposure, 40 s later
PAIR = (0.047, 0.5)  # days between the g and r visits of a night: median, scatter of the logarithm


@dataclass(frozen=True)
class Survey:
    """Numbers of the survey.

    Attributes:
        seed: of the weather.
        limits: median detection limit in g, r, i of a dark clear night, mag; moonlight: what full moon takes away, mag.
        position_depth, exposure_depth: scatter of the limit from position to position and exposure to exposure, mag.
        bad_nights: share of nights without data; spell: mean length of a bad spell in nights; outages: longer ones
            (4 to 10 nights) a month.
        missed: share of planned visits that fail; postponed, again_next_night: shares of planned nights.
        back_to_back, two_fields: shares of positions in two fields that are visited one after the other, and on
            nights of their own.
        i_band: share of positions also visited in i every fourth night (partnership data: 0 in the public survey).
    """

    seed: int = 0
    limits: tuple[float, float, float] = (20.60, 20.33, 19.8)
    moonlight: tuple[float, float, float] = (0.80, 0.50, 0.35)
    position_depth: float = 0.25
    exposure_depth: float = 0.23
    bad_nights: float = 0.22
    spell: float = 2.0
    outages: float = 0.5
    missed: float = 0.27
    postponed: float = 0.17
    again_next_night: float = 0.05
    back_to_back: float = 0.07
    two_fields: float = 0.25
    i_band: float = 0.0

    def weather(self) -> tuple[np.ndarray, np.ndarray]:
        """(clear (N,) bool, loss of depth (N,) mag) of the nights FIRST_NIGHT - 400 to LAST_NIGHT + 400."""
        nights = LAST_NIGHT - FIRST_NIGHT + 801
        rng = np.random.default_rng([self.seed, 0x7A7F])
        clearing = 1 / self.spell
        clouding = clearing * self.bad_nights / (1 - self.bad_nights)
        clear, draw = np.empty(nights, bool), rng.random(nights)
        state = True
        for night in range(nights):
            state = draw[night] >= clouding if state else draw[night] < clearing
            clear[night] = state
        for begin in rng.integers(0, nights, rng.poisson(self.outages * nights / 30)):
            clear[begin : begin + rng.integers(4, 11)] = False
        return clear, rng.exponential(0.2, nights) - 0.1


def moon_illumination(mjd: np.ndarray) -> np.ndarray:
    """Lit fraction of the moon, 0 new to 1 full (mean synodic month; half a day is its error)."""
    return (1 - np.cos(2 * np.pi * (np.asarray(mjd) - NEW_MOON) / SYNODIC_MONTH)) / 2


def exposures(
    survey: Survey,
    rng: np.random.Generator,
    start: float,
    end: float,
    opposition: float,
    weather: tuple[np.ndarray, np.ndarray] | None = None,
) -> Exposures:
    """The visits of one position between two MJDs.

    `opposition`: an MJD at which the position crosses the meridian at midnight; its season is a hundred and some days
    on either side, every year. `weather`: of `survey.weather()`, to share among objects.
    """
    clear, loss = survey.weather() if weather is None else weather
    kind, nightly, infrared = rng.random(3)
    infrared = infrared < survey.i_band
    back_to_back = kind < survey.back_to_back
    fields = 2 if not back_to_back and kind < survey.back_to_back + survey.two_fields else 1
    depth = rng.normal(0.0, survey.position_depth)  # galactic latitude, place on the detector, declination
    due = float(start) + rng.uniform(0, 3, fields)
    due_infrared = float(start) + rng.uniform(0, 4)
    mjd: list[float] = []
    band: list[int] = []
    for night in range(max(int(start), FIRST_NIGHT - 400), min(int(end), LAST_NIGHT + 400) + 1):
        meridian = MIDNIGHT - ((night - opposition + 182.625) % 365.25 - 182.625) / 365.25
        dusk, dawn = max(NIGHT[0], meridian - REACH), min(NIGHT[1], meridian + REACH)
        if dawn - dusk < 0.02 or not clear[night - FIRST_NIGHT + 400]:
            continue
        every_night = nightly < next(share for since, share in reversed(NIGHTLY_SHARE) if night >= since)
        for f in range(fields):
            if (night < due[f] and not (every_night and f == 0)) or rng.random() < survey.postponed:
                continue
            due[f] = night + (2 if night >= TWO_DAY_CADENCE_FROM else 3) - 0.5
            if rng.random() < survey.again_next_night:
                due[f] = night + 0.5
            gap = max(0.0068, PAIR[0] * float(np.exp(rng.normal(0.0, PAIR[1]))))
            at = rng.uniform(dusk, max(dusk, dawn - gap))
            order = (0, 1) if rng.random() < 0.5 else (1, 0)
            mjd += [night + at, night + at + gap]
            band += order
            if back_to_back:
                again = READOUT * rng.geometric(0.35, 2) * rng.uniform(0.975, 1.005, 2)
                mjd += [night + at + again[0], night + at + gap + again[1]]
                band += order
            if every_night and rng.random() < 0.2:
                again = rng.uniform(0.005, 0.06, 2)
                mjd += [night + at + again[0], night + at + gap + again[1]]
                band += order
        if infrared and night >= due_infrared:
            due_infrared = night + 3.5
            mjd.append(night + rng.uniform(dusk, dawn))
            band.append(2)
    mjd, band = np.array(mjd), np.array(band, np.int64)
    keep = (rng.random(len(mjd)) >= survey.missed) & (mjd >= start) & (mjd <= end)
    mjd, band = mjd[keep], band[keep]
    order = np.argsort(mjd, kind="stable")
    mjd, band = mjd[order], band[order]
    lit = moon_illumination(mjd) ** 2
    limit = np.array(survey.limits)[band] - np.array(survey.moonlight)[band] * lit + depth
    if len(mjd):
        limit = limit - loss[np.floor(mjd).astype(int) - FIRST_NIGHT + 400]
        limit = limit + rng.normal(0.0, survey.exposure_depth, len(mjd))
    return Exposures(mjd, band, limit)
