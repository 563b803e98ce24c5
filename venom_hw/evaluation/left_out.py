"""Leave-one-line-out: train without each line in turn and judge at that line, which neither network nor filter knew.

With few lines a network can win by recognising lines. At a line it never saw it has to know energies. At the outermost
lines it has to extrapolate as well: those are marked.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np

from venom_hw.atomic import write_atomically
from venom_hw.detector import PulseSet, fit_filter_baseline, stratified_split
from venom_hw.detector.folder import line_files, read_metadata
from venom_hw.detector.resolving_power_table import Interval, resolving_power_table
from venom_hw.detector.wavelength import line_label
from venom_hw.model import load_checkpoint
from venom_hw.train import read_config
from venom_hw.train.run import MODEL_FILE, train

from .errors import EvaluationError
from .estimators import FILTERS, FLOAT, SLOPES, float_estimator
from .sample import full_windows, load_at, load_sample

FORMAT = "venom-hw/leave-one-out/1"
LEAST_LINES = 4  # with two left for the calibration, an inner line would be a guess along a straight line


@dataclass(frozen=True)
class LeftOut:
    """One line, judged by estimators that never saw it: R {name: Interval} by the adaptive kernel density, R_gaussian,
    bias {name: Interval} of the median in eV; edge: an outermost line, extrapolated; pulses judged; slopes (smallest,
    largest) of the network's calibration there, near 1 for one that knows energies."""

    label: str
    energy: float
    edge: bool
    pulses: int
    R: dict[str, Interval]
    R_gaussian: dict[str, Interval]
    bias: dict[str, Interval]
    slopes: tuple[float, float]

    def to_dict(self) -> dict:
        return asdict(self)


def link(source: Path, target: Path) -> None:
    """`target` holds what `source` holds, without a second copy where the file system can."""
    if target.exists():
        return
    try:
        os.link(source.resolve(), target)
    except OSError:
        shutil.copyfile(source, target)


def folder_without(data: Path, label: str, folder: Path) -> Path:
    """A data folder with all lines of `data` but one, and its noise; returns `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    for wavelength, path in line_files(data):
        if line_label(wavelength) != label:
            link(path, folder / path.name)
    for extra in ("noise.npz", "sweep.npz"):
        if (data / extra).is_file():
            link(data / extra, folder / extra)
    metadata = read_metadata(data)
    if metadata:
        if "lines" in metadata:
            metadata = metadata | {"lines": [x for x in metadata["lines"] if x != label]}
        write_atomically(folder / "metadata.json", json.dumps(metadata | {"left_out": label}, indent=1))
    return folder


def judge(model_file: Path, rest: Path, data: Path, label: str, n_boot: int, seed: int) -> LeftOut:
    """R and bias at the line `label` of `data`, of the model and the shared-template filter, both fitted and calibrated
    on the folder `rest`, which lacks it. Judged on the part of the line that a training with it would hold out."""
    model = load_checkpoint(model_file)
    sample = load_sample(model, rest)
    network = float_estimator(model, sample)
    baseline = fit_filter_baseline(sample.pulses, sample.train)
    everything = load_at(model, data)
    settings = model.training.get("settings", {})
    _, held = stratified_split(
        everything.wl_ids, float(settings.get("validation", 0.15)), int(settings.get("split_seed", 0))
    )
    line = everything.wl_labels.index(label)
    held = held[(everything.wl_ids[held] == line) & full_windows(everything)[held]]
    if len(held) < 10:
        raise EvaluationError(f"{data}, line {label}: {len(held)} full held-out windows; expected 10 or more")
    judged: PulseSet = everything.select(held)
    raw = network.raw(judged.counts, None)
    estimates = {FILTERS["shared"]: baseline.predict(judged.counts), FLOAT: network.calibration(raw)}
    energy = float(judged.energies[0])
    tables = {
        m: resolving_power_table(
            estimates, judged.energies, np.zeros(len(judged), int), [label], metric=m, n_boot=n_boot, seed=seed
        )
        for m in ("kde", "gaussian")
    }
    return LeftOut(
        label, energy, energy in (everything.energies.min(), everything.energies.max()), len(judged),
        *({name: tables[m].line(name, label) for name in estimates} for m in ("kde", "gaussian")),
        {name: tables["kde"].bias_of_line(name, label) for name in estimates},
        network.slopes([np.median(raw)]),
    )  # fmt: skip


def leave_one_out(
    data: str | os.PathLike,
    out: str | os.PathLike,
    *,
    settings: dict | None = None,
    config: str | os.PathLike | None = None,
    lines: Sequence[str] | None = None,
    n_boot: int = 200,
    seed: int = 0,
    command: str = "",
    quiet: bool = False,
    say: Callable[[str], None] = lambda _: None,
) -> list[LeftOut]:
    """Train once for each line of the folder `data` (or each of `lines`) without it; judge there.

    `settings`: of venom_hw.train.TrainConfig (epochs, lr, n_synthetic ...), over those of the TOML file `config`.
    Each training lives in out/<line>/ and is resumed after an interruption; a finished judgement (out/<line>.json) of
    the same settings is read back. Raises EvaluationError, TrainError, DataError.
    """
    data, out = Path(data), Path(out)
    labels = [line_label(w) for w, _ in line_files(data)]
    if len(labels) < LEAST_LINES:
        raise EvaluationError(f"{data}: {len(labels)} lines; expected {LEAST_LINES} or more to leave one out")
    if unknown := [x for x in lines or () if x not in labels]:
        raise EvaluationError(f"line {unknown[0]!r}: expected some of {', '.join(labels)}")
    found = []
    for label in lines or labels:
        rest = folder_without(data, label, out / label / "data")
        chosen = read_config(config, **((settings or {}) | {"data": str(rest), "preset": None}))
        wanted = {"format": FORMAT, "settings": vars(chosen), "n_boot": n_boot, "seed": seed, "data": data.name}
        wanted = json.loads(json.dumps(wanted))
        target = out / f"{label}.json"
        if (stored := _finished(target, wanted)) is not None:
            say(f"{label}: judged before")
            found.append(stored)
            continue
        run = out / label
        if (run / "state.json").is_file():
            say(f"{label}: going on with its training")
        else:
            say(f"{label}: training without it")
        train(chosen, run, out / "simulated", command, resume=(run / "state.json").is_file(), quiet=quiet,
              n_boot=min(n_boot, 20))
        result = judge(run / MODEL_FILE, rest, data, label, n_boot, seed)
        write_atomically(target, json.dumps(wanted | {"result": result.to_dict()}, indent=1))
        found.append(result)
    return found


def _finished(path: Path, wanted: dict) -> LeftOut | None:
    """A judgement read back, if it is of the same settings."""
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        result = stored.pop("result")
        if stored != wanted or set(result) != {f.name for f in fields(LeftOut)}:
            return None
        for key in ("R", "R_gaussian", "bias"):
            result[key] = {name: Interval(**value) for name, value in result[key].items()}
        return LeftOut(**(result | {"slopes": tuple(result["slopes"])}))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def leave_one_out_table(found: Sequence[LeftOut]) -> str:
    """Markdown: R and bias at each left-out line and their means over the inner ones; slopes of the network's
    calibration at the line, marked (!) where they are too far from 1 for R to be trusted."""
    names = list(found[0].R)
    head = ["line left out", "eV", *(f"R, {n}" for n in names), *(f"bias in meV, {n}" for n in names), "slopes"]
    rows = []
    for line in sorted(found, key=lambda x: x.energy):
        bias = (line.bias[n] for n in names)
        rows.append([f"{line.label}{' (edge)' if line.edge else ''}", f"{line.energy:.4f}",
                     *(f"{line.R[n].value:.1f} [{line.R[n].low:.1f}, {line.R[n].high:.1f}]" for n in names),
                     *(f"{1e3 * b.value:+.1f} [{1e3 * b.low:+.1f}, {1e3 * b.high:+.1f}]" for b in bias),
                     f"{line.slopes[0]:.2f} to {line.slopes[1]:.2f}{' (!)' if _squeezes(line) else ''}"])
    inner = [line for line in found if not line.edge]
    if inner:
        rows.append(["mean of the inner lines", "", *(f"{np.mean([x.R[n].value for x in inner]):.1f}" for n in names),
                     *(f"rms {1e3 * np.sqrt(np.mean([x.bias[n].value ** 2 for x in inner])):.1f}" for n in names), ""])
    return "\n".join("| " + " | ".join(r) + " |" for r in [head, ["---"] * len(head), *rows])


def _squeezes(line: LeftOut) -> bool:
    return line.slopes[0] < SLOPES[0] or line.slopes[1] > SLOPES[1]
