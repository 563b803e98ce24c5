"""State of a run between epochs: state.safetensors (weights, averages, optimiser moments) and state.json. No pickle.

state.json names the hash of the tensors it belongs to, so a crash between the two files is noticed, not resumed from.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import torch

from venom_hw.state_files import read_description, read_tensors, write_state

from .config import TrainConfig
from .errors import TrainError
from .loop import Trainer

FORMAT = "venom-hw/training-state/1"
MOMENTS = ("exp_avg", "exp_avg_sq", "step")


def save_state(folder: Path, trainer: Trainer) -> None:
    """Write the run's state. The tensors' file has the epoch in its name; older ones are removed after the switch."""
    tensors = {f"model.{k}": v for k, v in trainer.model.state_dict().items()}
    tensors |= {f"average.{k}": v for k, v in trainer.average.state_dict().items()}
    for name, parameter in trainer.model.named_parameters():
        moments = trainer.optimiser.state.get(parameter, {})
        tensors |= {f"{m}.{name}": moments[m] for m in MOMENTS if m in moments}
    description = {
        "epoch": trainer.epoch,
        "step": trainer.step,
        "history": trainer.history,
        "config": dataclasses.asdict(trainer.config),
        "torch": torch.__version__,
    }
    write_state(folder, trainer.epoch, tensors, description, FORMAT)


def read_state(folder: Path) -> dict:
    """state.json of a run. Raises TrainError if there is none or it is of another format."""
    path = folder / "state.json"
    if not path.is_file():
        raise TrainError(f"{path}: no such file; expected the folder of a run that has finished an epoch")
    return read_description(folder, FORMAT, TrainError)


def saved_config(folder: Path) -> TrainConfig:
    """The settings that the run was started with."""
    try:
        return TrainConfig(**read_state(folder)["config"])
    except (KeyError, TypeError) as error:
        raise TrainError(
            f"{folder / 'state.json'}: field 'config' does not fit this version ({error})"
        ) from error


def restore_state(folder: Path, trainer: Trainer) -> None:
    """Put a trainer where the run stopped. Raises TrainError if the files do not belong together or to these
    settings.
    """
    state = read_state(folder)
    recorded = dataclasses.asdict(saved_config(folder))  # a setting younger than the run has its default there
    if changed := [k for k, v in dataclasses.asdict(trainer.config).items() if recorded[k] != v]:
        raise TrainError(
            f"{folder / 'state.json'}: setting '{changed[0]}' is {recorded[changed[0]]!r} there, "
            f"{getattr(trainer.config, changed[0])!r} here; expected the settings the run was started with"
        )
    tensors = read_tensors(folder, state, TrainError)

    def part(prefix: str) -> dict:
        return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}

    trainer.model.load_state_dict(part("model."))
    trainer.average.load_state_dict(part("average."))
    moments = {m: part(f"{m}.") for m in MOMENTS}
    for name, parameter in trainer.model.named_parameters():
        if name in moments["step"]:
            trainer.optimiser.state[parameter] = {
                "step": moments["step"][name].clone(),  # AdamW counts on the CPU
                **{m: moments[m][name].to(parameter.device, copy=True) for m in ("exp_avg", "exp_avg_sq")},
            }
    trainer.epoch, trainer.step, trainer.history = state["epoch"], state["step"], state["history"]
