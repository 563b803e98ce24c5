"""Synthetic light curves through the survey_sim package, at ZTF's real pointings.

survey_sim (github.com/nuclear-multimessenger-astronomy/survey-sim) is a separate package with data of its own; it is
not on the Python package index. `rtf_models generate` needs neither and makes light curves of the same kinds.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

import numpy as np
from tqdm import tqdm

from venom_hw.atomic import write_atomically

from ..classes import APPLECIDER6
from ..data.compact import write_compact
from ..data.source import BANDS, Source
from ..errors import MissingPackage, RtfError, require
from .errors import SyntheticError
from .folder import SPLITS

CONFIG = "surveysim.json"
BAND_FREQUENCIES = {"g": 6.3e14, "r": 4.7e14, "i": 3.8e14}  # Hz, of the blast-wave model
EPILOG = """\
--ztf-dir holds the survey's pointings, one HDF5 file a month (ztf_201803.h5, ztf_201804.h5, ...), as survey_sim's own
download brings them. The afterglow populations need --grb-catalogue, a CSV file of gamma-ray bursts for survey_sim.
A source is kept with 3 detections of S/N 3 or more. Labels are fine ids of class scheme applecider6.

examples:
  python -m rtf_models generate-surveysim --ztf-dir ztf_boom --output-dir synthetic --populations kilonova tde
  python -m rtf_models generate-surveysim --ztf-dir ztf_boom --output-dir synthetic --grb-catalogue grb.csv \\
      --populations afterglow afterglow_offaxis
"""


@dataclass(frozen=True)
class SurveyPopulation:
    """One population of survey_sim.

    Attributes:
        kind: survey_sim's name of the transient type, the key of its model.
        population, options: class of survey_sim that draws it, and keywords; catalogue: it reads --grb-catalogue.
        model, model_options: class of survey_sim that gives the light curves.
        injected: fewest objects put into the survey; label: fine class of scheme applecider6; name: in file names.
    """

    kind: str
    population: str
    model: str
    injected: int
    label: str
    name: str
    options: Mapping = field(default_factory=dict)
    model_options: Mapping = field(default_factory=dict)
    catalogue: bool = False


_AFTERGLOW = {"kind": "Afterglow", "model": "BlastwaveModel", "label": "other", "catalogue": True,
              "model_options": {"band_frequencies": BAND_FREQUENCIES}}  # fmt: skip
TABLE: dict[str, SurveyPopulation] = {
    "kilonova": SurveyPopulation("Kilonova", "KilonovaPopulation", "MetzgerKNModel", 100_000, "other", "Kilonova"),
    "afterglow_onaxis": SurveyPopulation(population="OnAxisGrbPopulation", injected=100_000, name="AfterglowOn",
                                         **_AFTERGLOW),
    "afterglow_offaxis": SurveyPopulation(population="OffAxisGrbPopulation", injected=500_000, name="AfterglowOff",
                                          options={"rate": 800.0, "z_max": 1.0}, **_AFTERGLOW),
    "tde": SurveyPopulation("TDE", "TdePopulation", "ParametricModel", 50_000, "TDE", "Tde"),
    "snia": SurveyPopulation("SNIa", "SupernovaIaPopulation", "ParametricModel", 10_000, "SN Ia", "SNIa"),
    "snii": SurveyPopulation("SNII", "SupernovaIIPopulation", "ParametricModel", 10_000, "SN II", "SNII"),
}  # fmt: skip
ALIASES = {"afterglow": "afterglow_onaxis"}


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(
        prog="python -m rtf_models generate-surveysim", description=__doc__, epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    p.add_argument("--ztf-dir", type=Path, required=True, metavar="DIR", help="ZTF pointings, an HDF5 file a month")
    p.add_argument("--output-dir", type=Path, required=True, metavar="DIR", help="data folder to write")
    p.add_argument("--populations", nargs="+", default=["kilonova", "afterglow"], metavar="NAME",
                   help=f"of {', '.join(TABLE)}; afterglow is afterglow_onaxis (default kilonova afterglow)")
    p.add_argument("--n-per-pop", type=int, default=500, help="sources kept a population, at most (default 500)")
    p.add_argument("--seed", type=int, default=42, help="seed (default 42)")
    p.add_argument("--ztf-start", default="201803", metavar="YYYYMM", help="first month (default 201803)")
    p.add_argument("--ztf-end", default="202103", metavar="YYYYMM", help="last month (default 202103)")
    p.add_argument("--grb-catalogue", type=Path, metavar="CSV", help="gamma-ray bursts, for afterglows")
    p.add_argument("--quiet", action="store_true", help="no progress")
    return p


def months(start: str, end: str) -> list[str]:
    """YYYYMM from start to end, both included (SyntheticError if they are none, or in the wrong order)."""
    for option, value in (("--ztf-start", start), ("--ztf-end", end)):
        if not (len(value) == 6 and value.isdigit() and 1 <= int(value[4:]) <= 12):
            raise SyntheticError(f"{option} {value}: expected a month as YYYYMM, e.g. 201803")
    first, last = (int(m[:4]) * 12 + int(m[4:]) - 1 for m in (start, end))
    if last < first:
        raise SyntheticError(f"--ztf-end {end} is before --ztf-start {start}; expected a later month")
    return [f"{k // 12:04d}{k % 12 + 1:02d}" for k in range(first, last + 1)]


def pointing_files(folder: Path, start: str, end: str) -> list[str]:
    """The months' files that are there (SyntheticError naming what is expected if there is none)."""
    wanted = [folder / f"ztf_{month}.h5" for month in months(start, end)]
    found = [str(path) for path in wanted if path.is_file()]
    if not found:
        raise SyntheticError(f"--ztf-dir {folder}: none of {wanted[0].name} to {wanted[-1].name}; expected ZTF's "
                             "pointings as survey_sim's download brings them")  # fmt: skip
    return found


def survey_sim() -> ModuleType:
    """The package (MissingPackage with what to do otherwise)."""
    try:
        return require("survey_sim", "rtf")
    except MissingPackage:
        raise MissingPackage(
            "package 'survey_sim' is not installed, and is not on the Python package index: build it from "
            "github.com/nuclear-multimessenger-astronomy/survey-sim (Rust and maturin). Without it, "
            "`python -m rtf_models generate` makes synthetic kilonovae, afterglows, supernovae and tidal disruptions"
        ) from None


def find_populations(names: list[str]) -> dict[str, SurveyPopulation]:
    """The populations by their names in the table (SyntheticError for another name, or one that comes twice)."""
    found: dict[str, SurveyPopulation] = {}
    for name in names:
        name = ALIASES.get(name, name)
        if name not in TABLE:
            raise SyntheticError(f"no population '{name}'; expected of {', '.join([*TABLE, *ALIASES])}")
        if name in found:
            raise SyntheticError(f"population '{name}' is named twice")
        found[name] = TABLE[name]
    return found


def simulate(package: ModuleType, survey, population: SurveyPopulation, count: int, seed: int,
             catalogue: Path | None) -> list[Source]:  # fmt: skip
    """At most `count` detected sources of one population, in survey_sim's order.

    Raises:
        SyntheticError: this version of survey_sim has not what is needed, or its sources are not photometry.
    """
    wanted = ("SimulationPipeline", "DetectionCriteria", population.population, population.model)
    if missing := [name for name in wanted if not hasattr(package, name)]:
        raise SyntheticError(f"this survey_sim has no {', '.join(missing)}; expected a version with "
                             f"{', '.join(wanted)}")  # fmt: skip
    first = (str(catalogue),) if population.catalogue else ()
    drawn = getattr(package, population.population)(*first, **population.options)
    model = getattr(package, population.model)(**population.model_options)
    criteria = package.DetectionCriteria(min_detections=3, min_bands=1, snr_threshold=3.0)
    pipeline = package.SimulationPipeline(survey, [drawn], {population.kind: model}, criteria,
                                          n_transients=max(population.injected, 100 * count), seed=seed)  # fmt: skip
    result = pipeline.run()
    if not hasattr(result, "sources"):
        raise SyntheticError("this survey_sim keeps no light curves (SimulationResult has no sources()); expected a "
                             "version that does")  # fmt: skip
    label = APPLECIDER6.fine.index(population.label)
    sources = []
    for detected in result.sources():
        if len(sources) == count:
            break
        source = as_source(f"SS_{population.name}_{len(sources):05d}", detected.photometry, label)
        if source is not None:
            sources.append(source)
    return sources


def as_source(object_id: str, photometry, label: int) -> Source | None:
    """A source from survey_sim's (times, magnitudes, errors, bands); None with fewer than 3 finite g, r, i points."""
    try:
        times, mags, errors, bands = photometry
    except (TypeError, ValueError) as error:
        raise SyntheticError(f"survey_sim's photometry is {type(photometry).__name__}; expected (times, magnitudes, "
                             "errors, bands)") from error  # fmt: skip
    names = np.array([str(band)[-1] for band in bands])  # "g" or "ztfg"
    times, mags, errors = (np.asarray(values, float) for values in (times, mags, errors))
    good = np.isfinite(times) & np.isfinite(mags) & np.isfinite(errors) & (errors > 0) & np.isin(names, BANDS)
    if good.sum() < 3:
        return None
    order = np.flatnonzero(good)[np.argsort(times[good], kind="stable")]
    band = np.array([BANDS.index(name) for name in names[order]])
    return Source(object_id, times[order], band, mags[order], errors[order], label)


def _generate(args) -> None:
    populations = find_populations(args.populations)
    if args.n_per_pop < 1:
        raise SyntheticError(f"--n-per-pop {args.n_per_pop}: expected 1 or more")
    if (needy := [name for name, p in populations.items() if p.catalogue]) and args.grb_catalogue is None:
        raise SyntheticError(f"population '{needy[0]}' needs --grb-catalogue, a CSV file of gamma-ray bursts")
    if args.grb_catalogue is not None and not args.grb_catalogue.is_file():
        raise SyntheticError(f"--grb-catalogue {args.grb_catalogue}: no such file")
    package = survey_sim()
    files = pointing_files(args.ztf_dir, args.ztf_start, args.ztf_end)
    survey = package.SurveyStore.from_ztf_boom(files, nside=64)
    counts = {}
    for name, population in tqdm(populations.items(), desc="survey_sim", unit="population", file=sys.stderr,
                                 disable=args.quiet):  # fmt: skip
        sources = simulate(package, survey, population, args.n_per_pop, args.seed, args.grb_catalogue)
        for source in sources:
            write_compact(args.output_dir / SPLITS[0] / f"{source.object_id}.npz", source)
        counts[name] = len(sources)
    APPLECIDER6.save(args.output_dir)
    config = {"populations": counts, "seed": args.seed, "months": [args.ztf_start, args.ztf_end],
              "files": [Path(f).name for f in files]}  # fmt: skip
    write_atomically(args.output_dir / CONFIG, json.dumps(config, indent=1) + "\n")
    listed = ", ".join(f"{n} {name}" for name, n in counts.items())
    print(f"{args.output_dir}: {listed} in train/; scheme {APPLECIDER6.name}; classes.json, {CONFIG}")


def main(argv=None) -> int:
    """Runs the command; 0, or 2 with a message for something the user can put right."""
    args = parser().parse_args(argv)
    try:
        _generate(args)
    except (RtfError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
