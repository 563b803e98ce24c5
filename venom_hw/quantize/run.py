"""The whole quantisation of one model: calibrate, fine-tune, recalibrate, export, verify, report."""

from __future__ import annotations

import hashlib
import json
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from venom_hw.detector.resolving_power_table import ResolvingPowerTable
from venom_hw.model.checkpoint import VenomCheckpoint, load_checkpoint

from .calibrate import calibrate
from .checkpoint import QuantisedCheckpoint, save_quantised
from .evaluate import FLOAT, QUANTISED, Fidelity, compare, fidelity, predict, recalibrate
from .files import write_qonnx
from .fold import fold_weights, network_shape
from .network import QuantVenom
from .pulses import Pulses, load_pulses
from .qat import Targets, fine_tune
from .recipe import Recipe
from .report import plot, text_table, write_json
from .verify import VerifyError, verify_files

FIT_PULSES = 8192  # training pulses of the recalibration and of the calibration to energy


@dataclass
class Run:
    """What all parts of a quantisation share.  ``bar(what)`` gives a function that wraps a range in a
    progress bar.
    """

    model: VenomCheckpoint
    pulses: Pulses
    recipe: Recipe
    bar: Callable[[str], Callable[[range], Any]] | None
    seconds: dict[str, float] = field(default_factory=dict)
    began: float = field(default_factory=time.perf_counter)

    def lap(self, what: str) -> None:
        """Note the time since the last lap."""
        self.seconds[what] = round(time.perf_counter() - self.began - sum(self.seconds.values()), 1)

    def predict(self, network: QuantVenom, index: np.ndarray, what: str) -> tuple[np.ndarray, np.ndarray]:
        return predict(network, self.pulses.counts[index], progress=self.bar and self.bar(what))


@dataclass
class Judgement:
    """Quantised against float on the held-out pulses of the lines."""

    fidelity: Fidelity
    tables: dict[str, ResolvingPowerTable]
    difference: np.ndarray
    sigma: np.ndarray
    log_variance_rms: float


def quantise_model(
    model_path: Path,
    data: Path,
    out: Path,
    recipe: Recipe,
    *,
    name: str,
    command: str,
    extra: Sequence[Path] = (),
    windows: int = 1000,
    bootstrap: int = 300,
    fresh: bool = False,
    say: Callable[[str], None] = print,
    bar: Callable[..., Any] | None = None,
) -> dict[str, Any]:
    """Run everything; writes model.safetensors, step.onnx, head.onnx, report.json and report.png into
    ``out``.

    Returns the report.  Raises VerifyError when the files differ from the network in any integer.
    """
    began = time.perf_counter()
    options = {"name": name, "windows": windows, "bootstrap": bootstrap}
    inputs = fingerprint(model_path, [data, *extra], recipe, options)
    if not fresh and (done := finished(out, inputs)):
        say(text_table(done))
        say(
            f"{out} already holds this result (same model, data, recipe and versions); --fresh makes it again"
        )
        return done
    model = load_checkpoint(model_path)
    run = Run(model, load_pulses(data, model, extra), recipe, bar, began=began)
    pulses = run.pulses
    run.lap("load")

    shape = network_shape(model.model.config, int(model.window["length"]), recipe.tensors["e"]["bits"])
    parameters = fold_weights(model.model.state_dict(), shape, model.normalisation)
    chosen = pulses.choose(pulses.train, int(recipe.calibration["windows"]))
    calibration = torch.from_numpy(pulses.counts[chosen])
    network, formats = calibrate(parameters, shape, calibration, recipe, progress=bar and bar("calibrate"))
    say(f"calibrated {len(formats)} number formats on {len(chosen)} windows")
    reference = model.predict(pulses.counts[pulses.held_out])
    before = run.predict(network, pulses.held_out, "before training")
    ids = pulses.wl_ids[pulses.held_out]
    untrained = fidelity(before[0], reference[0], ids, pulses.labels)
    say(f"before fine-tuning: rms difference to float {untrained.per_cent:.2f} % of sigma")
    run.lap("calibrate")

    out.mkdir(parents=True, exist_ok=True)
    resume = out / ".qat-state.safetensors"
    if fresh:
        resume.unlink(missing_ok=True)
    losses = _train(run, network, resume)
    run.lap("fine-tune")
    fit = pulses.choose(pulses.lines, FIT_PULSES, 3)
    float_fit = model.predict(pulses.counts[fit])
    fitted = recalibrate(network, formats, *run.predict(network, fit, "recalibrate"), *float_fit)
    network.snap()
    run.lap("recalibrate")

    training = {
        "command": command,
        "float_model": Path(model_path).name,
        "float_sha256": sha256(model_path),
        "recalibration": fitted,
        "versions": versions(),
        "seed": recipe.training["seed"],
    }
    checkpoint = QuantisedCheckpoint(
        name, network, formats, recipe.to_dict(), model.window, model.normalisation, training, model.data
    )
    paths = [save_quantised(out / "model.safetensors", checkpoint)]
    paths += write_qonnx(network, formats, out, model=name, window=model.window)
    run.lap("export")
    judged = pulses.counts[pulses.choose(pulses.held_out, windows, 2)]
    check = verify_files(network, formats, *paths[1:], judged, progress=bar and bar("verify"))
    run.lap("verify")
    judgement = _judge(run, network, reference, fit, float_fit[0], bootstrap)
    run.lap("evaluate")

    tables = judgement.tables
    report = {
        "format": "venom-hw/quantise-report/1",
        "model": name,
        "command": command,
        "versions": versions(),
        "data": {
            "preset": model.data.get("preset"),
            "folders": [Path(p).name for p in (data, *extra)],
            "held_out": len(ids),
            "training": min(len(pulses.train), int(recipe.training["windows"])),
        },
        "inputs": inputs,
        "window": model.window,
        "recipe": recipe.to_dict(),
        "fidelity": judgement.fidelity.to_dict(),
        "fidelity_before_training": untrained.to_dict(),
        "log_variance_rms": judgement.log_variance_rms,
        "resolving_power": {m: t.to_dict() for m, t in tables.items()},
        "change_of_resolving_power": {
            m: t.relative_difference(QUANTISED, FLOAT).to_dict() for m, t in tables.items()
        },
        "recalibration": fitted,
        "verification": check.to_dict(),
        "seconds": run.seconds,
        "final_loss": losses[-1] if losses else None,
        "files": {p.name: {"bytes": p.stat().st_size, "sha256": sha256(p)} for p in paths},
    }
    title = f"{name}, {len(ids)} held-out pulses"
    paths.append(write_json(out / "report.json", report))
    paths.append(
        plot(out / "report.png", title, tables["kde"], judgement.difference, judgement.sigma, losses)
    )
    say(text_table(report))
    for path in paths:
        say(f"wrote {path} ({path.stat().st_size / 1024:.0f} kB)")
    if check.mismatches or check.window_form_mismatches:
        raise VerifyError(
            f"{check.mismatches} integers of the files and {check.window_form_mismatches} of the whole-window "
            f"form differ from the network; first: {check.first}"
        )
    resume.unlink(missing_ok=True)
    return report


def _train(run: Run, network: QuantVenom, resume: Path) -> list[float]:
    """Fine-tune towards the float model; parameters end on their grids.  Returns the losses."""
    settings, pulses = run.recipe.training, run.pulses
    use = pulses.choose(pulses.train, int(settings["windows"]), 1)
    x = embed_all(network, pulses.counts[use])
    values = (*run.model.predict(pulses.counts[use]), pulses.energies[use])
    targets = Targets(*(torch.from_numpy(v).float() for v in values))
    steps = run.bar("fine-tune")(range(int(settings["steps"]))) if run.bar else None

    def progress(step: int, loss: float) -> None:
        if steps is not None:
            steps.update(step + 1 - steps.n)
            steps.set_postfix(loss=f"{loss:.4f}", refresh=False)

    losses = fine_tune(network, x, targets, settings, resume=resume, progress=progress)
    if steps is not None:
        steps.close()
    network.snap()
    return losses


def _judge(
    run: Run,
    network: QuantVenom,
    reference: tuple[np.ndarray, np.ndarray],
    fit: np.ndarray,
    float_fit: np.ndarray,
    bootstrap: int,
) -> Judgement:
    """``reference``: float model on the held-out pulses; ``fit``: training pulses of the calibration to
    energy.
    """
    pulses = run.pulses
    energy, logvar = run.predict(network, pulses.held_out, "evaluate")
    fit_energy, _ = run.predict(network, fit, "evaluate")
    ids, truth = pulses.wl_ids[pulses.held_out], pulses.energies[pulses.held_out]
    train = {FLOAT: float_fit, QUANTISED: fit_energy}
    held_out = {FLOAT: reference[0], QUANTISED: energy}
    tables = {
        metric: compare(train, held_out, pulses.energies[fit], truth, ids, pulses.labels, metric, bootstrap)
        for metric in ("kde", "gaussian")
    }
    sigma = np.empty(len(ids))
    for line in np.unique(ids):
        sigma[ids == line] = reference[0][ids == line].std()
    faithful = fidelity(energy, reference[0], ids, pulses.labels)
    rms = float(np.sqrt(np.mean((logvar - reference[1]) ** 2)))
    return Judgement(faithful, tables, energy - reference[0], sigma, rms)


def embed_all(network: QuantVenom, counts: np.ndarray, batch: int = 4096) -> torch.Tensor:
    """Normalised input of all windows on its grid, float32 (L, N, 2), computed in float64."""
    network.double()
    starts = range(0, len(counts), batch)
    parts = [network.embed(torch.from_numpy(counts[i : i + batch])).float() for i in starts]
    network.float()
    return torch.cat(parts, dim=1)


def fingerprint(model: Path, folders: Sequence[Path], recipe: Recipe, options: dict[str, Any]) -> str:
    """Hash of what decides the result: float model, data files (name, size, time), recipe, options, versions."""
    files = [
        (path.name, path.stat().st_size, path.stat().st_mtime_ns)
        for folder in folders
        for path in sorted(Path(folder).glob("*"))
    ]
    facts = [sha256(model), files, recipe.to_dict(), options, versions()]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def finished(out: Path, inputs: str) -> dict[str, Any] | None:
    """The report in ``out`` if it is of these inputs, without a mismatch, and its files are untouched."""
    try:
        report = json.loads((out / "report.json").read_text())
        same = report["inputs"] == inputs and report["verification"]["mismatches"] == 0
        same &= all(sha256(out / name) == facts["sha256"] for name, facts in report["files"].items())
    except (OSError, ValueError, KeyError):
        return None
    return report if same and (out / "report.png").exists() else None


def versions() -> dict[str, str]:
    """Versions that could change a bit of the result."""
    names = ("torch", "brevitas", "onnx", "numpy", "venom-hw")
    return {"python": platform.python_version(), **{name: version(name) for name in names}}


def sha256(path: str | Path) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()
