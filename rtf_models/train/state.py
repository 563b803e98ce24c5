"""State of a run between epochs: state-<epoch>.safetensors (weights, moments) and state.json that names its hash.

No pickle. A crash between the two files is noticed, not resumed from. What is random in an epoch comes from seed and
epoch alone, so no generator's state is kept.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from rtf_models.model.tensors import with_versions
from venom_hw.state_files import read_description, read_tensors, write_state

from .errors import TrainError

FORMAT = "rtf/training-state/1"
STATE = "state.json"
MOMENTS = ("exp_avg", "exp_avg_sq", "step")


def save_state(
    folder: Path, epoch: int, model: nn.Module, optimiser: torch.optim.Optimizer, description: dict
) -> None:
    """Write the state after `epoch` epochs; that of an older epoch goes after the switch."""
    tensors = {f"model.{k}": v for k, v in model.state_dict().items() if isinstance(v, torch.Tensor)}
    for name, parameter in model.named_parameters():
        moments = optimiser.state.get(parameter, {})
        tensors |= {f"{m}.{name}": moments[m] for m in MOMENTS if m in moments}
    write_state(folder, epoch, tensors, {"epoch": epoch} | description, FORMAT)


def read_state(folder: Path) -> dict:
    """state.json of a run. Raises TrainError if there is none or it is no state of ours."""
    path = folder / STATE
    if not path.is_file():
        raise TrainError(f"{path}: no such file; expected the folder of a run that has finished an epoch")
    return read_description(folder, FORMAT, TrainError)


def restore_state(folder: Path, state: dict, model: nn.Module, optimiser: torch.optim.Optimizer) -> None:
    """Weights and moments of a state. Raises TrainError if its tensors are missing, changed, or of another network."""
    tensors = read_tensors(folder, state, TrainError)
    try:
        weights = {k.removeprefix("model."): v for k, v in tensors.items() if k.startswith("model.")}
        model.load_state_dict(with_versions(model, weights))
    except RuntimeError as error:
        path = folder / state["tensors"]
        raise TrainError(f"{path}: of another network than these settings make ({error})") from error
    for name, parameter in model.named_parameters():
        if f"step.{name}" in tensors:
            optimiser.state[parameter] = {
                "step": tensors[f"step.{name}"].clone(),  # AdamW counts on the CPU
                **{m: tensors[f"{m}.{name}"].to(parameter.device, copy=True) for m in MOMENTS[:2]},
            }
