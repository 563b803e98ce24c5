"""State of a group between epochs: a safetensors file and a JSON that names its hash. No pickle."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path

from venom_hw.state_files import read_description, read_tensors, write_state

from .errors import TrainArrayError
from .trainer import ArrayTrainer, Fate

FORMAT = "venom-hw/array-state/1"


def save_state(folder: Path, trainer: ArrayTrainer, number: int) -> None:
    """Write the state after the group's epoch `number`; the older one is removed after the switch."""
    tensors = {
        "rows": trainer.rows,
        "average": trainer.average,
        "exp_avg": trainer.optimiser.exp_avg,
        "exp_avg_sq": trainer.optimiser.exp_avg_sq,
    }
    description = {
        "number": number,
        "seconds": trainer.seconds,
        "identity": identity(trainer),
        "fates": [dataclasses.asdict(fate) for fate in trainer.fates],
    }
    write_state(folder, number, tensors, description, FORMAT)


def identity(trainer: ArrayTrainer) -> dict:
    """What a state belongs to: settings, pixels and a digest of each pixel's pulses."""
    digests = [
        hashlib.sha256(p.counts.numpy().tobytes() + p.target.numpy().tobytes()).hexdigest()[:16]
        for p in trainer.pixels
    ]
    names = [[p.name, p.seed, digest] for p, digest in zip(trainer.pixels, digests, strict=True)]
    return json.loads(
        json.dumps(
            {
                "config": dataclasses.asdict(trainer.config),
                "pixels": names,
                "engine": trainer.engine.name,
                "retries": trainer.retries,
            }
        )
    )


def state_pixels(folder: Path) -> set[str]:
    """Names of the pixels whose training a folder's state goes on with; none where there is no readable state."""
    try:
        state = json.loads((folder / "state.json").read_text(encoding="utf-8"))
        return {name for name, *_ in state["identity"]["pixels"]}
    except (OSError, ValueError, KeyError, TypeError):
        return set()


def restore_state(folder: Path, trainer: ArrayTrainer) -> int:
    """Put a trainer where the group stopped; the number of epochs done, 0 where there is no state.

    Pixels are found by name: one that the group had not then (its pulses were not usable, and are now) starts afresh,
    one that it has no more is dropped. Raises TrainArrayError if the files do not belong together, or to other
    settings, or if the pulses of a pixel have changed.
    """
    path = folder / "state.json"
    if not path.is_file():
        return 0
    state = read_description(folder, FORMAT, TrainArrayError)
    own = identity(trainer)
    names = [name for name, *_ in state["identity"]["pixels"]]
    kept = {k: names.index(p.name) for k, p in enumerate(trainer.pixels) if p.name in names}
    for name, value in own.items():
        then = state["identity"].get(name)
        if name == "pixels":
            value, then = [value[k] for k in kept], [then[j] for j in kept.values()]
        if then != value:
            raise TrainArrayError(
                f"{path}: {name} differ from those the group was started with; expected the same, or "
                "another --out"
            )
    tensors = read_tensors(folder, state, TrainArrayError)
    for name, value in (
        ("rows", trainer.rows),
        ("average", trainer.average),
        ("exp_avg", trainer.optimiser.exp_avg),
        ("exp_avg_sq", trainer.optimiser.exp_avg_sq),
    ):
        for k, then in kept.items():
            value[k] = tensors[name][then].to(value.device)
    trainer.seconds = state["seconds"]
    for k, then in kept.items():
        trainer.fates[k] = Fate(**state["fates"][then])
    return int(state["number"])
