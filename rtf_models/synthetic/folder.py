"""A data folder of synthetic light curves: compact npz files by split, classes.json, manifest.csv, synthetic.json."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from venom_hw.atomic import write_atomically

from ..data.compact import write_compact
from .errors import SyntheticError
from .light_curve import Transient
from .observe import Sky
from .population import BTS_SHARES, BY_MODEL, POPULATIONS, Population, find_population

SPLITS = ("train", "val", "test")
CONFIG, MANIFEST = "synthetic.json", "manifest.csv"
_COLUMNS = ("object_id", "split", "population", "model", "label", "class", "coarse_class", "detections", "brightest",
            "redshift", "absolute_magnitude", "host_av", "galactic_av", "t0", "peak_mjd", "visits",
            "shape")  # fmt: skip


@dataclass(frozen=True)
class Job:
    """One file to make: number `index` of a population; a model's name where the model was asked for."""

    population: Population
    index: int
    object_id: str
    split: str


def jobs(
    models: Sequence[str],
    populations: Sequence[str],
    count: int,
    shares: Sequence[float],
    seed: int,
    mix: int = 0,
) -> list[Job]:
    """What to make: `count` sources of each model and of each population, and `mix` with the types' shares in BTS.

    shares: of train, val and test. A source's split depends on the seed, its name and nothing else.

    Raises:
        SyntheticError: an unknown name, or shares that are not three numbers with a sum of 1.
    """
    if len(shares) != 3 or min(shares) < 0 or abs(sum(shares) - 1) > 1e-6:
        raise SyntheticError(
            f"--splits {' '.join(f'{s:g}' for s in shares)}: expected three shares with a sum of 1"
        )
    if len(set(models)) < len(models) or len(set(populations)) < len(populations):
        raise SyntheticError("a model or population is named twice; expected each once")
    wanted: list[tuple[str, Population, int]] = []
    for model in models:
        if model not in BY_MODEL:
            raise SyntheticError(f"no model '{model}'; expected one of {', '.join(BY_MODEL)}")
        kinds = [POPULATIONS[name] for name in BY_MODEL[model]]
        wanted += [(f"SYN_{model}_{k:05d}", kinds[k % len(kinds)], k) for k in range(count)]
    for name in populations:
        population = find_population(name)
        short = population.name.replace(" ", "")
        wanted += [(f"SYN_{short}_{k:05d}", population, 1_000_000 + k) for k in range(count)]
    names, weights = zip(*BTS_SHARES.items(), strict=True)
    for k in range(mix):
        pick = np.random.default_rng([seed, 77, k]).choice(len(names), p=np.array(weights) / sum(weights))
        wanted.append((f"SYN_mix_{k:05d}", POPULATIONS[names[pick]], 2_000_000 + k))
    return [
        Job(population, index, object_id, _split(object_id, shares, seed))
        for object_id, population, index in wanted
    ]


def _split(object_id: str, shares: Sequence[float], seed: int) -> str:
    draw = np.random.default_rng([seed, *object_id.encode()]).random()
    return SPLITS[min(int(np.searchsorted(np.cumsum(shares), draw, side="right")), 2)]


def config_of(sky: Sky, seed: int, **more) -> dict:
    """The effective configuration that makes the files, for synthetic.json."""
    priors = {
        model: {name: [p.mean, p.scatter] for name, p in shape.items()} for model, shape in sky.priors.items()
    }
    return {"format": 1, "seed": seed, "scheme": sky.scheme.name, "survey": asdict(sky.survey),
            "selection": asdict(sky.selection), "fitted_priors": priors, **more}  # fmt: skip


def check_folder(folder: Path, config: dict) -> None:
    """Refuses to add to synthetic data that was made otherwise: SyntheticError naming the first difference."""
    path = folder / CONFIG
    if not path.is_file():
        return
    try:
        there = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise SyntheticError(f"{path}: cannot be read ({error}); expected a JSON file") from error
    here = json.loads(json.dumps(config))
    for key in ("format", "seed", "scheme", "survey", "selection", "fitted_priors"):
        if there.get(key) != here[key]:
            raise SyntheticError(
                f"{folder} holds synthetic data made with {key} {there.get(key)}, not {here[key]}; "
                "expected another --output-dir, or --force to make all of it again"
            )


def write_folder(
    folder: Path,
    sky: Sky,
    todo: Iterable[Job],
    seed: int,
    config: dict,
    *,
    force: bool = False,
    advance: Callable[[], object] = lambda: None,
) -> dict[str, int]:
    """Makes the files that are not there (all, with `force`), then manifest.csv, classes.json and synthetic.json.

    The manifest keeps the rows of files made before. Returns {"written": ..., "kept": ..., population: count, ...}.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / CONFIG, json.dumps(config, indent=1) + "\n")
    sky.scheme.save(folder)
    rows = {} if force else _read_manifest(folder / MANIFEST)
    counts = {"written": 0, "kept": 0}
    for job in todo:
        path = folder / job.split / f"{job.object_id}.npz"
        if path.is_file() and job.object_id in rows and not force:
            counts["kept"] += 1
        else:
            source, transient, truth = sky.source(job.population, seed, job.index, job.object_id)
            write_compact(path, source)
            rows[job.object_id] = _row(job, sky, source, transient, truth)
            counts["written"] += 1
            if counts["written"] % 200 == 0:
                _write_manifest(folder / MANIFEST, rows)
        counts[job.population.name] = counts.get(job.population.name, 0) + 1
        advance()
    _write_manifest(folder / MANIFEST, rows)
    return counts


def _row(job: Job, sky: Sky, source, transient: Transient, truth: dict) -> dict[str, str]:
    shape = {k: round(v, 5) for k, v in transient.shape.items()}
    if transient.companion_shape is not None:
        shape |= {f"companion_{k}": round(v, 5) for k, v in transient.companion_shape.items()}
        shape["companion_ratio"] = round(transient.companion_ratio, 4)
    fine, coarse = sky.scheme.fine_name(source.label), sky.scheme.coarse_name(sky.scheme.coarse_id(source.label))
    values = (job.object_id, job.split, job.population.name, job.population.model, source.label, fine, coarse,
              len(source), f"{source.mag.min():.3f}", f"{transient.z:.5f}", f"{transient.peak:.3f}",
              f"{transient.host_av:.3f}", f"{transient.galactic_av:.3f}", f"{truth['t0']:.4f}",
              f"{truth['peak_mjd']:.4f}", truth["visits"],
              json.dumps(shape))  # fmt: skip
    return dict(zip(_COLUMNS, map(str, values), strict=True))


def _write_manifest(path: Path, rows: dict[str, dict]) -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, _COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows[name] for name in sorted(rows))
    write_atomically(path, text.getvalue())


def _read_manifest(path: Path) -> dict[str, dict]:
    if not path.is_file():
        return {}
    with open(path, newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        if tuple(reader.fieldnames or ()) != _COLUMNS:
            raise SyntheticError(
                f"{path}: columns {reader.fieldnames}; expected {', '.join(_COLUMNS)} (or --force)"
            )
        return {row["object_id"]: row for row in reader}
