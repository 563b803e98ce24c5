"""Files that are on the disk when a call returns: content and directory entry are both flushed.

Nothing here makes a file appear whole; that is the journal's part: what it does not name does not count.
"""

from __future__ import annotations

import os
from pathlib import Path


def sync_folder(folder: Path) -> None:
    """Flushes the folder's entries, so that files made, renamed or removed in it stay so after a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def make_folder(folder: Path) -> Path:
    """Makes the folder (and those above it), durably; the folder."""
    missing = [p for p in (folder, *folder.parents) if not p.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for made in missing:
        sync_folder(made.parent)
    return folder


def write_durably(path: Path, content: bytes) -> None:
    """Writes (or overwrites) a file. A kill may leave it half written: its name must mean nothing until journaled."""
    with open(path, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    sync_folder(path.parent)


def append_durably(path: Path, content: bytes) -> None:
    """Appends to a file (made if absent). A kill may leave a part of `content` at its end."""
    fresh = not path.exists()
    with open(path, "ab") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    if fresh:
        sync_folder(path.parent)


def cut_durably(path: Path, size: int) -> None:
    """Cuts a file back to its first `size` bytes."""
    with open(path, "r+b") as file:
        file.truncate(size)
        os.fsync(file.fileno())


def rename_durably(path: Path, target: Path) -> None:
    """Gives a file its name, in one step."""
    os.replace(path, target)
    sync_folder(target.parent)
