"""Run folders, ours and the original's: checkpoint, summary, embeddings."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from rtf_models.checkpoint import FILE_NAME, ORIGINAL_FILE_NAME, Checkpoint, load_checkpoint
from rtf_models.classes import APPLECIDER, ClassScheme
from rtf_models.embedding import Embeddings

from .errors import EvaluationError

CHECKPOINTS = (FILE_NAME, ORIGINAL_FILE_NAME)
SUMMARY = "summary.json"


@dataclass(frozen=True)
class Run:
    """A folder that a training wrote; summary is its summary.json (empty where there is none)."""

    folder: Path
    summary: dict

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def has_checkpoint(self) -> bool:
        return any((self.folder / name).is_file() for name in CHECKPOINTS)

    def has_embeddings(self, *splits: str) -> bool:
        return all(self._embeddings(split).is_file() for split in splits)

    def embeddings(self, split: str) -> Embeddings:
        """Those of "train" or "test". Raises EmbeddingError."""
        return Embeddings.load(self._embeddings(split))

    def _embeddings(self, split: str) -> Path:
        return self.folder / f"{split}_embeddings.npz"

    @cached_property
    def checkpoint(self) -> Checkpoint:
        """The best network of the run, rebuilt from what its files say. Raises CheckpointError."""
        return load_checkpoint(self.folder)

    @cached_property
    def scheme(self) -> ClassScheme:
        """What the labels mean: as the summary or else the checkpoint says, the original's where neither does."""
        if isinstance(self.summary.get("scheme"), dict):
            return ClassScheme.from_dict(self.summary["scheme"], self.folder / SUMMARY)
        return self.checkpoint.scheme if (self.folder / CHECKPOINTS[0]).is_file() else APPLECIDER


def find_runs(
    runs_dir: str | Path, models: Sequence[str] = (), *, need: str = "checkpoint"
) -> tuple[list[Run], dict[str, str]]:
    """The runs below `runs_dir` (or that folder itself), by name, and why other folders were left out.

    models: only those of these names. need: "checkpoint", or "embeddings" (of train and test). Raises EvaluationError
    for a folder that is not there, a name that is not, and where nothing is left.
    """
    runs_dir = Path(runs_dir)
    if not runs_dir.is_dir():
        raise EvaluationError(f"{runs_dir}: no such folder; expected one of training runs")
    folders = sorted(path for path in runs_dir.iterdir() if path.is_dir())
    if _is_run(runs_dir) and not any(_is_run(folder) for folder in folders):
        folders = [runs_dir.resolve()]
    if missing := [name for name in models if name not in {f.name for f in folders}]:
        names = ", ".join(f.name for f in folders) or "none"
        raise EvaluationError(f"{runs_dir}: no run '{missing[0]}'; there are {names}")
    runs, left_out = [], {}
    for folder in folders:
        if models and folder.name not in models:
            continue
        run = Run(folder, read_summary(folder))
        if need == "embeddings" and not run.has_embeddings("train", "test"):
            left_out[folder.name] = "no train_embeddings.npz and test_embeddings.npz"
        elif need == "checkpoint" and not run.has_checkpoint:
            left_out[folder.name] = f"no {' or '.join(CHECKPOINTS)}"
        else:
            runs.append(run)
    if not runs:
        reasons = "; ".join(f"{name}: {why}" for name, why in left_out.items()) or "it is empty"
        raise EvaluationError(f"{runs_dir}: no run to judge ({reasons})")
    return runs, left_out


def _is_run(folder: Path) -> bool:
    return any((folder / name).is_file() for name in (*CHECKPOINTS, SUMMARY, "test_embeddings.npz"))


def read_summary(folder: Path) -> dict:
    """The content of summary.json; {} where there is none. Raises EvaluationError for one that is damaged."""
    path = folder / SUMMARY
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise EvaluationError(f"{path}: {error}; expected a JSON object") from error
    if not isinstance(content, dict):
        raise EvaluationError(f"{path}: a {type(content).__name__}; expected a JSON object")
    return content
