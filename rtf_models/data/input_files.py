"""Which files, in which state, each source was written from, so that a source of changed ones is written again."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

INPUTS_FILE = "inputs.jsonl"


@dataclass(frozen=True)
class InputState:
    """What a source is written from.

    Attributes:
        label: fine id. files: (path, size in bytes, time of the last change in ns), links resolved, sorted; a file that
            is not there has size and time -1.
    """

    label: int
    files: tuple[tuple[str, int, int], ...]

    @classmethod
    def of(cls, label: int, paths: Iterable[Path]) -> InputState:
        return cls(int(label), tuple(sorted(_state(path) for path in paths)))

    def present(self) -> tuple[Path, ...]:
        """Its files that are still there."""
        return tuple(Path(path) for path, *_ in self.files if os.path.isfile(path))


def _state(path: Path) -> tuple[str, int, int]:
    real = os.path.realpath(path)
    try:
        state = os.stat(real)
    except OSError:
        return real, -1, -1
    return real, state.st_size, state.st_mtime_ns


def read_inputs(folder: str | Path) -> dict[str, InputState]:
    """{object id: its state when it was written last}, from the folder's inputs.jsonl.

    A line that cannot be read, such as the last one of a run that was killed, counts as not there: its source is
    written again.
    """
    try:
        lines = (Path(folder) / INPUTS_FILE).read_bytes().splitlines()
    except FileNotFoundError:
        return {}
    found = {}
    for line in lines:
        try:
            entry = json.loads(line)
            files = tuple((str(path), int(size), int(time)) for path, size, time in entry["files"])
            found[str(entry["id"])] = InputState(int(entry["label"]), files)
        except (ValueError, KeyError, TypeError):
            continue
    return found


def append_inputs(folder: str | Path, states: Mapping[str, InputState]) -> None:
    """Adds lines to inputs.jsonl; a later line of an object takes the place of an earlier one."""
    path = Path(folder) / INPUTS_FILE
    text = "".join(json.dumps({"id": key, "label": state.label, "files": state.files}) + "\n"
                   for key, state in states.items())
    if not text:
        return
    with open(path, "ab") as file:
        if file.tell():  # after a line that was cut off by a kill
            with open(path, "rb") as written:
                written.seek(-1, os.SEEK_END)
                text = text if written.read(1) == b"\n" else "\n" + text
        file.write(text.encode())
