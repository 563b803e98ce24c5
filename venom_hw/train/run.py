"""A whole run: data, epochs, checkpoint after each, report at the end."""

from __future__ import annotations

import json
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
from venom_hw.model import VenomCheckpoint, save_checkpoint

from .config import TrainConfig
from .data import TrainingData, prepare
from .errors import TrainError
from .evaluate import Evaluation, evaluate, text_report
from .loop import LOSSES, Trainer
from .plot import plot_report
from .resume import restore_state, save_state

MODEL_FILE = "model.safetensors"


def versions() -> dict[str, str]:
    """Versions that decide the bits of a result."""
    return {
        "venom_hw": __version__,
        "python": platform.python_version(),
        **{name: version(name) for name in ("torch", "numpy", "safetensors")},
    }


def make_checkpoint(
    trainer: Trainer, data: TrainingData, command: str, metrics: dict | None = None
) -> VenomCheckpoint:
    """The averaged weights with window, normalisation and where they come from."""
    training = {
        "command": command,
        "seed": trainer.config.seed,
        "epochs": trainer.epoch,
        "steps": trainer.step,
        "settings": {k: v for k, v in vars(trainer.config).items()},
        "versions": versions(),
        "metrics": metrics or {},
    }
    return VenomCheckpoint(
        trainer.average, data.lines.window.to_dict(), data.normalisation, training, data.description
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

    Raises TrainError for a folder that holds another run, or unusable settings; DataError for unusable pulses.
    """
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
    trainer = Trainer(config, data.normalisation, *data.training_tensors())
    if resume:
        restore_state(out, trainer)
    if not quiet:
        print(
            f"{len(trainer.counts)} training pulses, {len(data.val_idx)} held out, L = {data.lines.window.length}, "
            f"{trainer.model.parameter_count()} parameters, {trainer.steps_per_epoch} steps an epoch",
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
            checkpoint = make_checkpoint(trainer, data, command)
            val_loss, power = held_out(checkpoint, data, config.loss)
            bar.set_postfix_str(f"loss {train_loss:+.4f}, held out {val_loss:+.4f}, R(rms) {power:.2f}")
        trainer.history.append(
            {
                "epoch": trainer.epoch,
                "train_loss": train_loss,
                "val_loss": val_loss,
                "val_R_rms": power,
                "seconds": round(time.perf_counter() - started, 2),
            }
        )
        save_checkpoint(out / MODEL_FILE, checkpoint)
        save_state(out, trainer)
        done_now += 1
        if stop_after is not None and done_now >= stop_after and not trainer.finished:
            return None
    checkpoint = make_checkpoint(trainer, data, command)
    result = evaluate(checkpoint, data, n_boot)
    checkpoint.training["metrics"] = result.summary()
    save_checkpoint(out / MODEL_FILE, checkpoint)
    meta = {"training_history": trainer.history, "validation_indices": data.val_idx.tolist()}
    write_atomically(out / "model_meta.json", json.dumps(meta))
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
    return result
