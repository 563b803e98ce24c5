"""A whole run: data, epochs, checkpoint after each, report at the end."""

from __future__ import annotations

import copy
import json
import math
import platform
import sys
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from venom_hw import __version__
from venom_hw.atomic import write_atomically
from venom_hw.backend import require_torch
from venom_hw.model import MKIDEnergySSM, VenomCheckpoint, load_checkpoint, save_checkpoint

from .config import TrainConfig
from .data import TrainingData, prepare
from .errors import TrainError
from .evaluate import Evaluation, evaluate, text_report
from .loop import Trainer
from .losses import LOSSES
from .meta import write_meta
from .plot import plot_report
from .report import write_report
from .resume import restore_state, save_state
from .synthetic_source import synthetic_source

MODEL_FILE = "model.safetensors"
REPORT_BOOT = 50  # bootstrap samples of the reports while it trains


def versions() -> dict[str, str]:
    """Versions that decide the bits of a result."""
    return {
        "venom_hw": __version__,
        "python": platform.python_version(),
        **{name: version(name) for name in ("torch", "numpy", "safetensors")},
    }


@torch.no_grad()
def with_one_sigma(model: MKIDEnergySSM, mean_square: float) -> MKIDEnergySSM:
    """A copy whose log sigma^2 is log(mean_square) for every pulse: what a network knows that was trained on the mean
    square alone, which leaves its second output where it started.
    """
    model = copy.deepcopy(model)
    model.head.fc3.weight[1] = 0
    model.head.fc3.bias[1] = math.log(mean_square)
    return model


def make_checkpoint(
    trainer: Trainer, data: TrainingData, command: str, metrics: dict | None = None, train_loss: float | None = None
) -> VenomCheckpoint:
    """The averaged weights with window, normalisation and where they come from.

    train_loss: of the last epoch (default: as the history says), which becomes sigma^2 where the loss is "mse".
    """
    if train_loss is None and trainer.history:
        train_loss = trainer.history[-1]["train_loss"]
    training = {
        "command": command,
        "seed": trainer.config.seed,
        "epochs": trainer.epoch,
        "steps": trainer.step,
        "settings": {k: v for k, v in vars(trainer.config).items()},
        "versions": versions(),
        "device": str(trainer.device),
        "metrics": metrics or {},
    }
    average = trainer.average if trainer.device.type == "cpu" else copy.deepcopy(trainer.average).cpu()
    if trainer.config.loss == "mse" and train_loss:
        average = with_one_sigma(average, train_loss)
    return VenomCheckpoint(
        average, data.lines.window.to_dict(), data.normalisation, training, data.description
    )


@torch.no_grad()
def held_out(checkpoint: VenomCheckpoint, data: TrainingData, loss: str) -> tuple[float, float]:
    """Loss (standardised units) and mean R = E / (2.355 rms) over the held-out pulses."""
    pulses = data.lines.select(data.val_idx)
    mu, logvar = checkpoint.predict(pulses.counts, lengths=pulses.lengths)
    offset, scale = data.normalisation["energy_offset"], data.normalisation["energy_scale"]
    value = float(
        LOSSES[loss](
            torch.from_numpy((mu - offset) / scale),
            torch.from_numpy(logvar - 2 * np.log(scale)),
            torch.from_numpy((pulses.energies - offset) / scale),
        )
    )
    rms = [
        np.sqrt(np.mean((mu[rows] - pulses.energies[rows]) ** 2)) / pulses.energies[rows][0]
        for rows in (pulses.wl_ids == k for k in np.unique(pulses.wl_ids))
    ]
    return value, float(np.mean([1 / (2.355 * r) for r in rms]))


def make_trainer(
    config: TrainConfig, data: TrainingData, out: Path, resume: bool = False, quiet: bool = True
) -> Trainer:
    """The run's trainer, where it stopped if it goes on. Raises TrainError."""
    own = data.training_tensors()
    jitter = data.jitter(config.jitter)
    if config.synthetic:
        own, jitter = tuple(t[:0] for t in own), None
    fresh = synthetic_source(config, data, out, resume, quiet)
    trainer = Trainer(config, data.normalisation, *own, fresh=fresh, jitter=jitter)
    if resume:
        _same_data(out, data)
        restore_state(out, trainer)
    return trainer


def _same_data(out: Path, data: TrainingData) -> None:
    """Raises TrainError where the run's last model was trained on other pulses than those that are there now."""
    before = load_checkpoint(out / MODEL_FILE).data if (out / MODEL_FILE).is_file() else {}
    for key in ("preset", "version", "seed", "lines", "training_pulses", "validation_pulses", "extra_pulses"):
        if key in before and before[key] != data.description.get(key):
            raise TrainError(
                f"{out / MODEL_FILE}: was trained on data with {key} {before[key]!r}, now it is "
                f"{data.description.get(key)!r}; expected the same pulses, or another --out"
            )


def report_so_far(out: Path, trainer: Trainer, checkpoint: VenomCheckpoint, data: TrainingData, n_boot: int) -> None:
    """The PDF of an unfinished run. A network that cannot be calibrated yet is no reason to stop: it is said."""
    try:
        result = evaluate(checkpoint, data, n_boot)
    except ValueError as error:
        print(f"no report after epoch {trainer.epoch}: cannot be calibrated to energy yet ({error})", file=sys.stderr)
        return
    write_report(out / f"report-{trainer.epoch:04d}.pdf", result, checkpoint, data, trainer.history)


def train(
    config: TrainConfig,
    out: Path,
    simulated: Path,
    command: str,
    resume: bool = False,
    quiet: bool = False,
    n_boot: int = 200,
    stop_after: int | None = None,
) -> Evaluation | None:
    """Run (or go on with) a training in folder `out`; returns the evaluation, or None if `stop_after` epochs
    ended it early.

    Raises TrainError for a folder that holds another run, or unusable settings; DataError for unusable pulses;
    BackendError where another library than PyTorch is asked for.
    """
    require_torch("training")
    torch.set_num_threads(config.threads)
    if not resume and (out / "state.json").exists():
        raise TrainError(
            f"{out}: holds a run already; --resume {out} goes on with it, another --out keeps it"
        )
    out.mkdir(parents=True, exist_ok=True)
    write_atomically(out / "config.toml", config.to_toml())
    with tqdm(
        desc=f"simulate {config.preset}", unit="pulse", disable=quiet or bool(config.data), leave=False
    ) as bar:
        data = prepare(config, simulated, bar.update)
    trainer = make_trainer(config, data, out, resume, quiet)
    if not quiet:
        print(
            f"{len(trainer.counts)} training pulses, {len(data.val_idx)} held out, L = {data.lines.window.length}, "
            f"{trainer.model.parameter_count()} parameters, {trainer.steps_per_epoch} steps an epoch, "
            f"on {trainer.device}",
            file=sys.stderr,
        )
    done_now = 0
    while not trainer.finished:
        started = time.perf_counter()
        with tqdm(
            total=trainer.steps_per_epoch,
            desc=f"epoch {trainer.epoch + 1}/{config.epochs}",
            unit="step",
            disable=quiet,
            mininterval=0.5,
        ) as bar:

            def show(loss: float, bar=bar) -> None:
                bar.update()
                bar.set_postfix_str(f"loss {loss:+.4f}", refresh=False)

            train_loss = trainer.run_epoch(show)
            checkpoint = make_checkpoint(trainer, data, command, train_loss=train_loss)
            val_loss, power = held_out(checkpoint, data, config.loss)
            bar.set_postfix_str(f"loss {train_loss:+.4f}, held out {val_loss:+.4f}, R(rms) {power:.2f}")
        trainer.history.append(
            {
                "epoch": trainer.epoch,
                "train_loss": train_loss,
                "val_loss": val_loss,
                "val_R_rms": power,
                "lr": trainer.optimiser.param_groups[0]["lr"],
                "seconds": round(time.perf_counter() - started, 2),
            }
        )
        save_checkpoint(out / MODEL_FILE, checkpoint)
        write_meta(out / MODEL_FILE, trainer.history, data.val_idx)
        save_state(out, trainer)
        if config.report_every and trainer.epoch % config.report_every == 0 and not trainer.finished:
            report_so_far(out, trainer, checkpoint, data, min(n_boot, REPORT_BOOT))
        done_now += 1
        if stop_after is not None and done_now >= stop_after and not trainer.finished:
            return None
    checkpoint = make_checkpoint(trainer, data, command)
    try:
        result = evaluate(checkpoint, data, n_boot)
    except ValueError as error:
        raise TrainError(
            f"{out / MODEL_FILE}: cannot be calibrated to energy ({error}); expected a network that has learnt more, "
            "with more epochs or pulses or another lr"
        ) from error
    checkpoint.training["metrics"] = result.summary()
    save_checkpoint(out / MODEL_FILE, checkpoint)
    write_meta(out / MODEL_FILE, trainer.history, data.val_idx)
    report = {
        "command": command,
        "preset": config.preset,
        "data": data.description,
        "versions": versions(),
        "seconds": sum(h["seconds"] for h in trainer.history),
    } | result.to_dict()
    write_atomically(out / "report.json", json.dumps(report, indent=1))
    write_atomically(out / "report.txt", text_report(result) + "\n")
    plot_report(
        out / "report.png",
        result,
        trainer.history,
        f"VENOM, {data.description.get('preset', config.data)}: {command}",
    )
    write_report(out / "report.pdf", result, checkpoint, data, trainer.history)
    return result
