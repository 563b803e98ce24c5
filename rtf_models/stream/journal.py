"""The journal: one line a commit, appended and flushed. A commit has happened when its line is whole on the disk.

The order of a commit, each step durable before the next one begins:

1. the fingerprints and dead letters under hidden names, the state under its own name;
2. the journal's line, which names them: from here on the commit has happened;
3. the hidden files get their visible names.

A kill before 2 leaves files that no line names: `Journal.open` removes them, and the stream goes on after the commit
before. A kill between 2 and 3 leaves hidden files that a line names: `Journal.open` finishes the renaming. So a file
with a visible name is never taken back, and readers of the folder may take finished parts away at any time.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from .durable import append_durably, cut_durably, make_folder, rename_durably, sync_folder, write_durably
from .errors import JournalError, StreamError

FORMAT = "rtf-stream-journal-1"
HIDDEN = ".{}.pending"


@dataclass(frozen=True)
class Commit:
    """One line of the journal.

    Attributes:
        number: 1, 2, 3 ...
        files: visible names, relative to the output folder, of the parts and dead letters that this commit wrote.
        state_base: commit whose state file is whole; those after it, up to `number`, hold changes.
        totals: counters since the journal's beginning.
        note: where the stream stood, for people.
    """

    number: int
    files: tuple[str, ...]
    state_base: int
    totals: Mapping[str, int]
    note: str = ""
    sizes: Mapping[str, int] = field(default_factory=dict)

    def line(self) -> bytes:
        content = {"commit": self.number, "files": list(self.files), "sizes": dict(self.sizes),
                   "state_base": self.state_base, "totals": dict(self.totals), "note": self.note}
        return _sealed(content)


def _sealed(content: dict) -> bytes:
    """A JSON line that carries the check of its own content."""
    text = json.dumps(content, sort_keys=True)
    return json.dumps(content | {"check": _check(text)}, sort_keys=True).encode() + b"\n"


def _check(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _unsealed(line: bytes) -> dict | None:
    """The content of a line; None if it is torn or changed."""
    try:
        content = json.loads(line)
        check = content.pop("check")
    except (ValueError, AttributeError, KeyError, TypeError):
        return None
    return content if _check(json.dumps(content, sort_keys=True)) == check else None


class Journal:
    """The committed contents of an output folder. One process at a time: the folder is locked while it is open."""

    def __init__(self, folder: Path, contract: Mapping[str, object]):
        """Opens or begins the journal of `folder`, and puts the folder in the order of its last commit.

        contract: what must be the same at every run into this folder (model, format, ...).

        Raises:
            JournalError: the journal is damaged, or was begun under another contract.
            StreamError: another process writes into the folder, or it cannot be written.
        """
        self.folder = Path(folder)
        self.state_folder = self.folder / "state"
        self.path = self.state_folder / "journal.jsonl"
        self.last: Commit | None = None
        try:
            make_folder(self.state_folder)
            make_folder(self.folder / "dead_letters")
            self._lock = open(self.state_folder / "lock", "a")
        except OSError as error:
            raise StreamError(f"{self.folder}: cannot be written to ({error}); expected a folder of our own") from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._lock.close()
            raise StreamError(f"{self.folder}: another process is writing into it; expected one at a time") from error
        try:
            self._read(dict(contract))
            self._recover()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self._lock.close()

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_) -> None:
        self.close()

    @property
    def next_number(self) -> int:
        return 1 if self.last is None else self.last.number + 1

    def state_path(self, number: int) -> Path:
        return self.state_folder / f"state-{number:08d}.npz"

    def commit(self, files: Mapping[str, bytes], state: bytes, *, whole_state: bool, totals: Mapping[str, int],
               note: str = "") -> Commit:
        """Makes one commit: new visible files (name relative to the folder -> content) and the state after them.

        whole_state: `state` stands alone; else it holds the changes since the commit before.
        """
        number = self.next_number
        if self.last is None and not whole_state:
            raise ValueError("the first commit's state must be whole")
        commit = Commit(number, tuple(files), number if whole_state else self.last.state_base, dict(totals), note,
                        {name: len(content) for name, content in files.items()})
        for name, content in files.items():
            write_durably(self._hidden(name), content)
        write_durably(self.state_path(number), state)
        append_durably(self.path, commit.line())
        self.last = commit
        self._publish(commit)
        if whole_state:
            self._remove_old_states()
        return commit

    def states(self) -> list[bytes]:
        """The state files of the last commit: a whole one and the changes after it. Raises JournalError."""
        if self.last is None:
            return []
        paths = [self.state_path(n) for n in range(self.last.state_base, self.last.number + 1)]
        try:
            return [path.read_bytes() for path in paths]
        except OSError as error:
            raise JournalError(f"{self.path}: the state of commit {self.last.number} cannot be read ({error}); "
                               "expected every state file since the last whole one") from error

    def _hidden(self, name: str) -> Path:
        path = self.folder / name
        return path.with_name(HIDDEN.format(path.name))

    def _publish(self, commit: Commit) -> None:
        for name in commit.files:
            if (hidden := self._hidden(name)).exists():
                rename_durably(hidden, self.folder / name)

    def _read(self, contract: dict) -> None:
        head = _sealed({"format": FORMAT, "contract": contract})
        content = self.path.read_bytes() if self.path.exists() else b""
        lines = content.splitlines(keepends=True)
        whole = 0
        for number, line in enumerate(lines):
            found = _unsealed(line) if line.endswith(b"\n") else None
            if found is None:
                if number < len(lines) - 1:
                    raise JournalError(f"{self.path}, line {number + 1}: damaged; expected the line as it was written "
                                       "(only the last one may be torn, by a kill)")
                break
            if number == 0:
                self._check_contract(found, contract)
            else:
                self.last = self._commit_of(found, number)
            whole += len(line)
        if whole == 0:  # nothing yet, or killed while beginning
            write_durably(self.path, head)
        elif whole < len(content):
            cut_durably(self.path, whole)

    def _check_contract(self, found: dict, contract: dict) -> None:
        if found.get("format") != FORMAT:
            raise JournalError(f"{self.path}: format {found.get('format')!r}; expected {FORMAT!r}")
        for name in sorted(set(contract) | set(found["contract"])):
            ours, theirs = contract.get(name), found["contract"].get(name)
            if ours != theirs:
                raise JournalError(f"{self.folder}: holds fingerprints of {name} {theirs!r}, this run is of {ours!r}; "
                                   "expected the same, or another output folder")

    def _commit_of(self, found: dict, number: int) -> Commit:
        try:
            commit = Commit(found["commit"], tuple(found["files"]), found["state_base"], found["totals"], found["note"],
                            found["sizes"])
        except KeyError as error:
            raise JournalError(f"{self.path}, line {number + 1}: no {error}; expected a commit") from error
        if commit.number != number:
            raise JournalError(f"{self.path}, line {number + 1}: commit {commit.number}; expected {number}")
        return commit

    def _recover(self) -> None:
        """Finishes the last commit and removes whatever no commit names."""
        if self.last is not None:
            self._publish(self.last)
        for folder in (self.folder, self.folder / "dead_letters"):
            for leftover in folder.glob(HIDDEN.format("*")):
                leftover.unlink()
                sync_folder(folder)
        self._remove_old_states()

    def _remove_old_states(self) -> None:
        known = set() if self.last is None else set(range(self.last.state_base, self.last.number + 1))
        named = {self.state_path(n) for n in known}
        stale = [path for path in self.state_folder.glob("state-*.npz") if path not in named]
        for path in stale:
            path.unlink(missing_ok=True)
        if stale:
            sync_folder(self.state_folder)


def committed_files(folder: str | os.PathLike) -> list[str]:
    """Names of all files (parts, dead letters) that the folder's journal has committed, oldest first."""
    path = Path(folder) / "state" / "journal.jsonl"
    names: list[str] = []
    try:
        with open(path, "rb") as file:
            for line in file:
                found = _unsealed(line)
                names += found.get("files", []) if found else []
    except OSError as error:
        raise JournalError(f"{path}: cannot be read ({error}); expected the output folder of encode") from error
    return names
