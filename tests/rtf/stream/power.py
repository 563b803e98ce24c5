"""A disk that forgets at a power cut whatever was not flushed."""

from __future__ import annotations

import json
import os
from pathlib import Path


class Disk:
    """Notes each fsync of a process (`watch`, called there), and afterwards cuts the files back (`cut`).

    forget: path -> whether a flush of it is to be left out, as if the code had forgotten it.
    """

    def __init__(self, log: Path, forget=None):
        self.log, self.forget = log, forget

    def watch(self) -> None:
        self.log.parent.mkdir(parents=True, exist_ok=True)
        log = os.open(self.log, os.O_CREAT | os.O_WRONLY | os.O_APPEND)

        def fsync(handle: int) -> None:
            path = os.readlink(f"/proc/self/fd/{handle}")
            if self.forget is not None and self.forget(path):
                return
            status = os.fstat(handle)
            entry = {"node": status.st_ino, "size": status.st_size}
            if os.path.isdir(path):
                entry = {"folder": path, "names": {e.name: e.inode() for e in os.scandir(path)}}
            os.write(log, json.dumps(entry).encode() + b"\n")

        os.fsync = fsync

    def cut(self, out: Path, draw) -> None:
        """Leaves in `out` what was flushed; of the rest, a part drawn at random."""
        sizes: dict[int, int] = {}
        folders: dict[str, dict[str, int]] = {}
        for line in self.log.read_text().splitlines():
            entry = json.loads(line)
            if "node" in entry:
                sizes[entry["node"]] = entry["size"]
            else:
                folders[entry["folder"]] = entry["names"]
        if not out.exists():
            return
        for path in [p for p in out.rglob("*") if p.is_file()]:
            node, size = path.stat().st_ino, path.stat().st_size
            flushed = sizes.get(node, 0)
            if size > flushed:
                os.truncate(path, int(draw.integers(flushed, size + 1)))
            known = folders.get(str(path.parent), {})
            if known.get(path.name) != node and draw.random() < 0.5:
                old = [name for name, inode in known.items() if inode == node]
                if old:  # the renaming is undone
                    path.rename(path.with_name(old[0]))
                else:
                    path.unlink()
