"""The whole quantisation of one model: calibrate, fine-tune, recalibrate, export, verify, report."""

from __future__ import annotations

import hashlib
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from venom_hw.detector.dataset import PulseSet, load_pulse_set, stratified_split
from venom_hw.detector.window import Window
from venom_hw.model.checkpoint import VenomCheckpoint, load_checkpoint

from .calibrate import calibrate
from .checkpoint import QuantisedCheckpoint, save_quantised
from .evaluate import FLOAT, QUANTISED, compare, fidelity, predict, recalibrate
from .files import write_qonnx
from .fold import fold_weights, network_shape
from .formats import TensorFormat
from .qat import Targets, fine_tune
from .recipe import Recipe
from .report import plot, text_table, write_json
from .verify import VerifyError, verify_files


class QuantizeError(ValueError):
    """Model and data do not fit together; the message says what is missing."""


@dataclass
class Pulses:
    """Full windows, split as for the float training: counts (N, L, 2), energies (N,) eV, line of each.

    Pulses of extra folders belong to no line (wl_ids -1) and are only trained on.  ``lines`` holds the
    training pulses of the lines, ``train`` those and the extra ones.
    """

    counts: np.ndarray
    energies: np.ndarray
    wl_ids: np.ndarray
    labels: list[str]
    lines: np.ndarray
    train: np.ndarray
    held_out: np.ndarray

    def choose(self, index: np.ndarray, limit: int, seed: int = 0) -> np.ndarray:
        """At most ``limit`` of the indices, in random order."""
        return np.random.default_rng(seed).permutation(index)[:limit]


def load_pulses(folder: str | Path, model: VenomCheckpoint, extra: Sequence[str | Path] = ()) -> Pulses:
    """Windows of data folders at the checkpoint's window; the split's seed and fraction come from the
    checkpoint too.
    """
    window = Window.from_dict(model.window)
    pulses: PulseSet = load_pulse_set(folder, window=window)
    settings = model.training.get("settings", {})
    train, held_out = stratified_split(
        pulses.wl_ids, float(settings.get("validation", 0.15)), int(settings.get("split_seed", 0))
    )
    full = pulses.lengths == window.length
    lines, held_out = train[full[train]], held_out[full[held_out]]
    if len(lines) < 64 or len(held_out) < 64:
        raise QuantizeError(
            f"{folder}: {len(lines)} training and {len(held_out)} held-out windows of full length "
            f"{window.length}; at least 64 of each are needed"
        )
    counts, energies, ids, train = [pulses.counts], [pulses.energies], [pulses.wl_ids], [lines]
    for path in extra:
        more = load_pulse_set(path, window=window)
        train.append(sum(map(len, counts)) + np.flatnonzero(more.lengths == window.length))
        counts.append(more.counts)
        energies.append(more.energies)
        ids.append(np.full(len(more), -1))
    return Pulses(
        np.concatenate(counts),
        np.concatenate(energies),
        np.concatenate(ids),
        pulses.wl_labels,
        lines,
        np.concatenate(train),
        held_out,
    )


def versions() -> dict[str, str]:
    """Versions that could change a bit of the result."""
    return {
        "python": platform.python_version(),
        **{name: version(name) for name in ("torch", "brevitas", "onnx", "numpy", "venom-hw")},
    }


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
    """Run everything; writes model.safetensors, step.onnx, head.onnx, recipe.json, report.json, report.png
    into ``out``.

    Returns the report.  Raises VerifyError when the files differ from the network in any integer.
    """
    began = time.perf_counter()
    seconds: dict[str, float] = {}

    def lap(what: str) -> None:
        seconds[what] = round(time.perf_counter() - began - sum(seconds.values()), 1)

    out.mkdir(parents=True, exist_ok=True)
    model = load_checkpoint(model_path)
    pulses = load_pulses(data, model, extra)
    lap("load")

    length, training = int(model.window["length"]), recipe.training
    shape = network_shape(model.model.config, length, recipe.tensors["e"]["bits"])
    parameters = fold_weights(model.model.state_dict(), shape, model.normalisation)
    chosen = pulses.choose(pulses.train, int(recipe.calibration["windows"]))
    calibration = torch.from_numpy(pulses.counts[chosen])
    network, formats = calibrate(parameters, shape, calibration, recipe, progress=bar and bar("calibrate"))
    say(f"calibrated {len(formats)} number formats on {len(chosen)} windows")
    lap("calibrate")

    use = pulses.choose(pulses.train, int(training["windows"]), 1)
    float_train, float_held = (model.predict(pulses.counts[i]) for i in (use, pulses.held_out))
    before = predict(network, pulses.counts[pulses.held_out], progress=bar and bar("before training"))
    ids, energies = pulses.wl_ids[pulses.held_out], pulses.energies[pulses.held_out]
    untrained = fidelity(before[0], float_held[0], ids, pulses.labels)
    say(f"before fine-tuning: rms difference to float {untrained.per_cent:.2f} % of sigma")
    lap("float predictions")

    x = embed_all(network, pulses.counts[use])
    as_tensor = torch.from_numpy
    targets = Targets(*(as_tensor(v).float() for v in (*float_train, pulses.energies[use])))
    resume = out / ".qat-state.safetensors"
    if fresh:
        resume.unlink(missing_ok=True)
    steps = bar("fine-tune")(range(int(training["steps"]))) if bar else None

    def progress(step: int, loss: float) -> None:
        if steps is not None:
            steps.update(step + 1 - steps.n)
            steps.set_postfix(loss=f"{loss:.4f}", refresh=False)

    losses = fine_tune(network, x, targets, training, resume=resume, progress=progress)
    if steps is not None:
        steps.close()
    lap("fine-tune")

    network.snap()
    fit = pulses.choose(pulses.lines, 8192, 3)
    float_fit = model.predict(pulses.counts[fit])
    fitted = recalibrate(
        network,
        formats,
        *predict(network, pulses.counts[fit], progress=bar and bar("recalibrate")),
        *float_fit,
    )
    network.snap()
    header_training = {
        "command": command,
        "float_model": Path(model_path).name,
        "float_sha256": sha256(model_path),
        "recalibration": fitted,
        "versions": versions(),
        "seed": training["seed"],
    }
    checkpoint = QuantisedCheckpoint(
        name,
        network,
        formats,
        recipe.to_dict(),
        dict(model.window),
        dict(model.normalisation),
        header_training,
        dict(model.data),
    )
    paths = [save_quantised(out / "model.safetensors", checkpoint)]
    paths += write_qonnx(network, formats, out, model=name, window=model.window)
    lap("export")

    judged = pulses.counts[pulses.choose(pulses.held_out, windows, 2)]
    check = verify_files(network, formats, paths[1], paths[2], judged, progress=bar and bar("verify"))
    lap("verify")

    after = predict(network, pulses.counts[pulses.held_out], progress=bar and bar("evaluate"))
    fit_energy = predict(network, pulses.counts[fit], progress=bar and bar("evaluate"))[0]
    faithful = fidelity(after[0], float_held[0], ids, pulses.labels)
    tables = {
        metric: compare(
            {FLOAT: float_fit[0], QUANTISED: fit_energy},
            {FLOAT: float_held[0], QUANTISED: after[0]},
            pulses.energies[fit],
            energies,
            ids,
            pulses.labels,
            metric,
            bootstrap,
        )
        for metric in ("kde", "gaussian")
    }
    sigma = np.empty(len(ids))
    for line in np.unique(ids):
        sigma[ids == line] = float_held[0][ids == line].std()
    lap("evaluate")
    report = {
        "format": "venom-hw/quantise-report/1",
        "model": name,
        "command": command,
        "versions": versions(),
        "data": {
            "preset": model.data.get("preset"),
            "held_out": len(ids),
            "training": len(use),
            "folders": [Path(p).name for p in (data, *extra)],
        },
        "window": dict(model.window),
        "recipe": recipe.to_dict(),
        "bits": class_bits(formats, shape, recipe),
        "fidelity": faithful.to_dict(),
        "fidelity_before_training": untrained.to_dict(),
        "log_variance_rms": float(np.sqrt(np.mean((after[1] - float_held[1]) ** 2))),
        "resolving_power": {metric: table.to_dict() for metric, table in tables.items()},
        "change_of_resolving_power": {
            m: t.relative_difference(QUANTISED, FLOAT).to_dict() for m, t in tables.items()
        },
        "recalibration": fitted,
        "verification": check.to_dict(),
        "seconds": seconds,
        "final_loss": losses[-1] if losses else None,
        "files": {p.name: {"bytes": p.stat().st_size, "sha256": sha256(p)} for p in paths},
    }
    paths.append(write_json(out / "report.json", report))
    paths.append(
        plot(
            out / "report.png",
            f"{name}, {len(ids)} held-out pulses",
            tables["kde"],
            after[0] - float_held[0],
            sigma,
            losses,
        )
    )
    say(text_table(report))
    for path in paths:
        say(f"wrote {path} ({path.stat().st_size / 1024:.0f} kB)")
    if check.mismatches or check.window_form_mismatches:
        raise VerifyError(
            f"{check.mismatches} integers of the files and {check.window_form_mismatches} of the whole-window form "
            f"differ from the network; first: {check.first}"
        )
    resume.unlink(missing_ok=True)
    return report


def embed_all(network: torch.nn.Module, counts: np.ndarray, batch: int = 4096) -> torch.Tensor:
    """Normalised input of all windows on its grid, float32 (L, N, 2), computed in float64."""
    network.double()
    parts = [
        network.embed(torch.from_numpy(counts[i : i + batch])).float() for i in range(0, len(counts), batch)
    ]
    network.float()
    return torch.cat(parts, dim=1)


def class_bits(formats: dict[str, TensorFormat], shape: Any, recipe: Recipe) -> dict[str, int]:
    """Bits of each tensor class of the network."""
    return {
        name: settings["bits"]
        for table in (recipe.tensors, recipe.weights)
        for name, settings in table.items()
    }


def sha256(path: str | Path) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()
