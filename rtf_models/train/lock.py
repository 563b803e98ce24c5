"""One process at a time in a run's folder."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from .errors import TrainError

FILE = ".lock"


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Holds the folder (made as needed) while the block runs; the system lets go of it when a process dies.

    Raises TrainError where another process holds it. File systems and systems without locks are not guarded.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        import fcntl
    except ImportError:
        yield
        return
    with open(folder / FILE, "a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise TrainError(
                f"{folder}: another process is training in this folder; expected one at a time (another --output-dir, "
                "or wait)"
            ) from None
        except OSError:
            pass  # no locks on this file system
        yield
