"""One group of pixels: load, train together, evaluate, write a model and a row for each. Resumable after each epoch."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from venom_hw.atomic import write_atomically
from venom_hw.detector import DataError
from venom_hw.model import VenomCheckpoint, save_checkpoint
from venom_hw.train import TrainConfig, TrainError
from venom_hw.train.data import TrainingData
from venom_hw.train.run import versions

from .fresh import pixel_generator
from .pixel_data import PixelSource, load_pixel, pixel_pulses
from .results import evaluate_pixel, few_energies
from .state import restore_state, save_state, state_pixels
from .trainer import ArrayTrainer

ROWS = "rows.json"


@dataclass(frozen=True)
class Group:
    """number of the group, its pixels, settings shared by all; n_boot: resamples of R's interval."""

    number: int
    sources: tuple[PixelSource, ...]
    config: TrainConfig
    engine: str = "auto"
    retries: int = 2
    device: str = "cpu"
    threads: int = 1
    n_boot: int = 100
    command: str = ""

    @property
    def name(self) -> str:
        return f"group-{self.number:04d}"


def run_group(
    group: Group, out: Path, progress: Callable[[int], None] | None = None, stop_after: int | None = None
) -> list[dict] | None:
    """Train a group in folder `out` (out/<group>/ for its state, out/pixels/<pixel>/ for the models); its rows.

    Finished pixels are read, not trained again; those that failed in an earlier run are. A pixel without usable data
    gets a row that says so. `progress` gets the number of pixels of each step. None if `stop_after` epochs ended it.
    """
    folder = out / "groups" / group.name
    rows = finished_rows(folder)
    waiting = [s for s in group.sources if s.name not in rows]
    if not waiting:
        return [rows[s.name] for s in group.sources]
    folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(group.threads)
    begun = state_pixels(folder)
    sources, data, pulses = [], [], []
    for source in waiting:
        try:
            one = load_pixel(source, group.config)
            kept = out / "pixels" / source.name
            fresh = pixel_generator(group.config, one, source.seed, kept, resume=source.name in begun)
            mine = pixel_pulses(source, one, group.config, fresh)
            if mine.pulses < group.config.batch:
                raise TrainError(
                    f"{mine.pulses} training pulses, expected at least one batch of {group.config.batch}"
                )
        except (DataError, TrainError, OSError, ValueError) as error:
            rows[source.name] = {
                "pixel": source.name,
                "status": "failed",
                "seed": source.seed,
                "group": group.name,
                "attempts": 0,
                "reason": f"no usable pulses: {error}",
            }
            continue
        sources.append(source)
        data.append(one)
        pulses.append(mine)
    if sources:
        trainer = ArrayTrainer(group.config, pulses, group.engine, group.retries, group.device, group.threads)
        if not _train(group, folder, trainer, progress, stop_after):
            return None
        for k, (source, one) in enumerate(zip(sources, data, strict=True)):
            rows[source.name] = _finish(group, out, trainer, k, source, one)
    ordered = [rows[s.name] for s in group.sources]
    write_rows(folder, ordered)
    for left in (*folder.glob("state-*.safetensors"), folder / "state.json"):
        left.unlink(missing_ok=True)
    return ordered


def finished_rows(folder: Path) -> dict[str, dict]:
    """{pixel: row} of a group's pixels that have not failed; they are not trained again."""
    return {row["pixel"]: row for row in read_rows(folder) or [] if row["status"] != "failed"}


def write_rows(folder: Path, rows: list[dict]) -> None:
    write_atomically(folder / ROWS, json.dumps(rows, indent=1))


def read_rows(folder: Path) -> list[dict] | None:
    """The rows of a group that came to its end (with pixels that failed in it, perhaps), None of one that did not."""
    path = folder / ROWS
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def _train(group: Group, folder: Path, trainer: ArrayTrainer, progress, stop_after: int | None) -> bool:
    """All epochs that are left; False if `stop_after` ended them early."""
    number, now = restore_state(folder, trainer), 0
    while not trainer.finished:
        if stop_after is not None and now >= stop_after:
            return False
        started = time.perf_counter()
        trainer.run_epoch(progress)
        trainer.seconds += time.perf_counter() - started
        number, now = number + 1, now + 1
        save_state(folder, trainer, number)
    return True


def _finish(
    group: Group, out: Path, trainer: ArrayTrainer, k: int, source: PixelSource, data: TrainingData
) -> dict:
    """Evaluate one pixel, write its model, return its row; one that cannot be evaluated has failed."""
    fate = trainer.fates[k]
    row = {
        "pixel": source.name,
        "group": group.name,
        "seed": source.seed,
        "lr": fate.rate,
        "epochs": fate.epoch,
        "attempts": 1 + len(fate.divergences) - (fate.status == "failed"),
        "train_loss": fate.losses[-1] if fate.losses else None,
        "training_pulses": len(trainer.pixels[k].counts),
        "training_energies": len(trainer.pixels[k].target.unique()),
        "synthetic_pulses": trainer.pixels[k].pulses - len(trainer.pixels[k].counts),
        "held_out_pulses": len(data.val_idx),
        "seconds": round(trainer.seconds / len(trainer.pixels), 3),
        "engine": f"{trainer.engine.name} on {trainer.device}",
        "reason": "; ".join(fate.divergences),
    }
    row["warning"] = few_energies(row)
    if fate.status == "failed":
        return row | {"status": "failed"}
    measured = evaluate_pixel(trainer, k, data, group.n_boot)
    status = "failed" if "R" not in measured else "retried" if fate.divergences else "ok"
    row |= {"status": status} | {n: v for n, v in measured.items() if n != "reason"}
    row["reason"] = "; ".join(t for t in (row["reason"], measured.get("reason", "")) if t)
    training = {
        "command": group.command,
        "seed": source.seed,
        "epochs": fate.epoch,
        "steps": fate.step,
        "settings": dataclasses.asdict(dataclasses.replace(group.config, seed=source.seed, lr=fate.rate)),
        "engine": trainer.engine.name,
        "device": str(trainer.device),
        "synthetic_pulses": row["synthetic_pulses"],
        "versions": versions(),
        "metrics": measured,
        "train_loss": fate.losses,
        "divergences": fate.divergences,
    }
    checkpoint = VenomCheckpoint(
        trainer.layout.model(trainer.average[k]),
        data.lines.window.to_dict(),
        data.normalisation,
        training,
        data.description | {"pixel": source.name},
    )
    save_checkpoint(out / "pixels" / source.name / "model.safetensors", checkpoint)
    return row
