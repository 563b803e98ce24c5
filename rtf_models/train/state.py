"""State of a run between epochs: state-<epoch>.safetensors (weights, moments) and state.json that names its hash.

No pickle. A crash between the two files is noticed, not resumed from. What is random in an epoch comes from seed and
epoch alone, so no generator's state is kept.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import torch
from safetensors.torch import load, save
from torch import nn

from rtf_models.model.tensors import with_versions
from venom_hw.atomic import write_atomically

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
    content = save({k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()})
    target = folder / f"state-{epoch:04d}.safetensors"
    write_atomically(target, content)
    head = {
        "format": FORMAT,
        "epoch": epoch,
        "tensors": target.name,
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    write_atomically(folder / STATE, json.dumps(head | description, indent=1))
    for old in folder.glob("state-*.safetensors"):
        if old != target:
            old.unlink()


def read_state(folder: Path) -> dict:
    """state.json of a run. Raises TrainError if there is none or it is no state of ours."""
    path = folder / STATE
    if not path.is_file():
        raise TrainError(f"{path}: no such file; expected the folder of a run that has finished an epoch")
    try:
        state = json.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as wrong:
        raise TrainError(f"{path}: not JSON ({wrong})") from wrong
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise TrainError(f"{path}: expected format '{FORMAT}'")
    return state


def restore_state(folder: Path, state: dict, model: nn.Module, optimiser: torch.optim.Optimizer) -> None:
    """Weights and moments of a state. Raises TrainError if its tensors are missing, changed, or of another network."""
    path = folder / state["tensors"]
    content = path.read_bytes() if path.is_file() else b""
    if hashlib.sha256(content).hexdigest() != state["sha256"]:
        raise TrainError(f"{path}: missing or changed since {STATE} was written")
    tensors = load(content)
    try:
        weights = {k.removeprefix("model."): v for k, v in tensors.items() if k.startswith("model.")}
        model.load_state_dict(with_versions(model, weights))
    except RuntimeError as error:
        raise TrainError(f"{path}: of another network than these settings make ({error})") from error
    for name, parameter in model.named_parameters():
        if f"step.{name}" in tensors:
            optimiser.state[parameter] = {
                "step": tensors[f"step.{name}"].clone(),  # AdamW counts on the CPU
                **{m: tensors[f"{m}.{name}"].to(parameter.device, copy=True) for m in MOMENTS[:2]},
            }
