"""Several runs over the same data, one after another."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from venom_hw.atomic import write_atomically

from .config import TrainConfig
from .data import load_data
from .data_record import check_same_data, record_data
from .run import train_run


def sweep(
    configs: Sequence[TrainConfig], out: Path, *, command: str = "", resume: bool = False, quiet: bool = False
) -> list[dict]:
    """Runs that differ in their latent dimension, over data read once; writes sweep_<mode>.json. Finished runs are not
    repeated with `resume`, provided that the data are still those that they were trained on (else TrainError).
    """
    data = None
    summaries = []
    for config in configs:
        folder = out / config.run_name
        data = load_data(config, quiet) if data is None else data
        if resume and (finished := _finished(folder, config)):
            check_same_data(folder, finished.get("data_sha256"), record_data(data))
            summaries.append(finished)
            continue
        summaries.append(train_run(config, folder, data=data, command=command, resume=resume, quiet=quiet))
        write_atomically(out / f"sweep_{config.mode}.json", json.dumps(summaries, indent=1))
    return summaries


def _finished(folder: Path, config: TrainConfig) -> dict | None:
    """The summary of a run that ended with these settings."""
    path = folder / "summary.json"
    if not path.is_file():
        return None
    summary = json.loads(path.read_text(encoding="utf-8"))
    return summary if summary.get("settings") == config.to_dict() else None
