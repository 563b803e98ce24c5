"""One synthetic source: a transient drawn, placed, watched by the survey, and kept if the survey found it."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from ..classes import APPLECIDER6, ClassScheme
from ..data.source import Source
from .cadence import FIRST_NIGHT, LAST_NIGHT, Survey, exposures
from .cosmology import redshift_of_modulus, sample_redshift
from .errors import SyntheticError
from .light_curve import Transient, draw
from .photometry import measure
from .population import Normal, Population, label_of

ATTEMPTS = 3000  # a population that gives no source in so many tries cannot be seen by this survey
BEFORE = 1.0  # mag beyond the limits at which a placement is not worth simulating


@dataclass(frozen=True)
class Selection:
    """Which observed light curves are kept.

    Attributes:
        min_detections: fewest detections.
        brightest: the brightest detection is at most this magnitude (BTS: 19); None, anything detected.
        kept_at_limit: share kept at the `brightest` limit; all are kept a magnitude brighter, a straight line between
            (a spectroscopic survey loses objects before its limit).
        redshift: (low, high) to draw from, evenly in volume; None, all the volume that the survey reaches.
        days: detections later than this after the first one are cut off; None keeps all.
    """

    min_detections: int = 3
    brightest: float | None = None
    kept_at_limit: float = 1.0
    redshift: tuple[float, float] | None = None
    days: float | None = 100.0

    def __post_init__(self):
        if self.min_detections < 1:
            raise SyntheticError(f"--min-detections {self.min_detections}: expected 1 or more")
        if not 0 < self.kept_at_limit <= 1:
            raise SyntheticError(
                f"--kept-at-limit {self.kept_at_limit:g}: expected a share above 0, at most 1"
            )
        if self.redshift is not None and not 0 <= self.redshift[0] < self.redshift[1] <= 10:
            raise SyntheticError(
                f"--redshift {self.redshift[0]:g} {self.redshift[1]:g}: expected 0 <= low < high <= 10"
            )
        if self.days is not None and not self.days > 0:
            raise SyntheticError(f"--days {self.days:g}: expected more than 0")


BTS_SELECTION = Selection(brightest=19.0, kept_at_limit=0.4)


@dataclass
class Sky:
    """A survey's season of nights, with which objects are simulated one by one.

    survey, selection, scheme; priors: shape distributions by model that replace the populations' own (`prior`).
    """

    survey: Survey = field(default_factory=Survey)
    selection: Selection = field(default_factory=Selection)
    scheme: ClassScheme = APPLECIDER6
    priors: Mapping[str, Mapping[str, Normal]] = field(default_factory=dict)

    def __post_init__(self):
        self._weather = self.survey.weather()

    def source(
        self, population: Population, seed: int, index: int, object_id: str
    ) -> tuple[Source, Transient, dict]:
        """Source number `index` of a population: (what is seen, what is there, epochs and counts).

        A function of the seeds, the population's name and the index alone: files can be made again one by one.

        Raises:
            SyntheticError: nothing detected in 3,000 tries; or the scheme has no class for the population.
        """
        label = label_of(population, self.scheme)
        rng = np.random.default_rng([seed, zlib.crc32(population.name.encode()), index])
        for attempt in range(1, ATTEMPTS + 1):
            transient = self._place(population, rng)
            if transient is None:
                continue
            seen = self._watch(transient, rng)
            if seen is not None:
                mjd, band, mag, mag_err, truth = seen
                source = Source(
                    object_id=object_id, time=mjd, band=band, mag=mag, mag_err=mag_err, label=label
                )
                return source, transient, {**truth, "attempts": attempt}
        raise SyntheticError(
            f"'{population.name}': none of {ATTEMPTS} objects had {self.selection.min_detections} detections"
            + (
                f" with the brightest at magnitude {self.selection.brightest:g}"
                if self.selection.brightest
                else ""
            )
            + "; nearer --redshift, a fainter --brightest or fewer --min-detections would help"
        )

    def _faintest(self) -> float:
        limit = max(self.survey.limits) + 0.3
        return limit if self.selection.brightest is None else min(limit, self.selection.brightest + BEFORE)

    def _place(self, population: Population, rng) -> Transient | None:
        """A transient at a place where it may be seen; None if it cannot."""
        shape = self.priors.get(population.model)
        peak = population.peak.sample(rng)
        if population.modulus is not None:
            z = None
        elif self.selection.redshift is not None:
            z = float(sample_redshift(rng, *self.selection.redshift, 1)[0])
        else:
            brightest = (
                population.peak.mean - 3 * population.peak.scatter
            )  # not of this one: volumes must compare
            reach = redshift_of_modulus(self._faintest() - brightest + BEFORE)
            z = float(sample_redshift(rng, 0.0, min(population.z_max, reach), 1)[0])
        transient = draw(population, rng, z, peak, dict(shape) if shape else None)
        return (
            transient
            if transient.brightest_r() < self._faintest() + (0.5 if population.onset else 0.0)
            else None
        )

    def _watch(self, transient: Transient, rng):
        """(mjd, band, mag, mag_err, truth) of the detections; None if the selection leaves the object out."""
        t0 = rng.uniform(FIRST_NIGHT, LAST_NIGHT)
        opposition = rng.uniform(FIRST_NIGHT, FIRST_NIGHT + 365.25)
        begin, end = transient.lifetime()
        end = min(end, 400.0)
        visits = exposures(self.survey, rng, t0 + begin, t0 + end, opposition, self._weather)
        if len(visits) < self.selection.min_detections:
            return None
        found = measure(visits.mjd, transient.magnitude(visits.mjd - t0, visits.band), visits.limit, rng)
        mjd, band = visits.mjd[found.index], visits.band[found.index]
        mag, mag_err = found.mag, found.mag_err
        if self.selection.days is not None and len(mjd):
            keep = mjd - mjd[0] <= self.selection.days
            mjd, band, mag, mag_err = mjd[keep], band[keep], mag[keep], mag_err[keep]
        if len(mjd) < self.selection.min_detections:
            return None
        if not self._kept(float(mag.min()), rng):
            return None
        peak_mjd = t0 + transient.peak_phase * (1 + transient.z)
        return mjd, band, mag, mag_err, {"t0": t0, "peak_mjd": peak_mjd, "visits": len(visits)}

    def _kept(self, brightest: float, rng) -> bool:
        if self.selection.brightest is None:
            return True
        below = self.selection.brightest - brightest
        return below >= 0 and rng.random() < 1 - (1 - self.selection.kept_at_limit) * max(0.0, 1 - below)
