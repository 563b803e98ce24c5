"""The two files of a training's state: tensors, and state.json that names their hash. No pickle.

A crash between the two is noticed, not resumed from. Of the project this module imports `atomic` alone: any room may
use it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import load, save
from torch import Tensor

from venom_hw.atomic import write_atomically


def write_state(folder: Path, number: int, tensors: Mapping[str, Tensor], description: dict, form: str) -> None:
    """Write state-<number>.safetensors and state.json (`description` with `form`, the tensors' file and its hash).

    The tensors of an older state are removed after the switch.
    """
    content = save({name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()})
    target = folder / f"state-{number:04d}.safetensors"
    write_atomically(target, content)
    head = {"format": form, "tensors": target.name, "sha256": hashlib.sha256(content).hexdigest()}
    write_atomically(folder / "state.json", json.dumps(head | description, indent=1))
    for old in folder.glob("state-*.safetensors"):
        if old != target:
            old.unlink()


def read_description(folder: Path, form: str, error: type[ValueError]) -> dict:
    """The state.json of a folder. Raises `error` if it is not JSON or of another format."""
    path = folder / "state.json"
    try:
        state = json.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as wrong:
        raise error(f"{path}: not JSON ({wrong})") from wrong
    if not isinstance(state, dict) or state.get("format") != form:
        raise error(f"{path}: expected format '{form}'")
    return state


def read_tensors(folder: Path, state: dict, error: type[ValueError]) -> dict[str, Tensor]:
    """The tensors that a state.json names. Raises `error` if they are not the ones it was written with."""
    path = folder / state["tensors"]
    content = path.read_bytes() if path.is_file() else b""
    if hashlib.sha256(content).hexdigest() != state["sha256"]:
        raise error(f"{path}: missing or changed since state.json was written")
    return load(content)
