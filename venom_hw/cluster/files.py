"""Sources out to workers and results back: plain files, without data, weights or anything generated."""

from __future__ import annotations

import shutil
from pathlib import Path, PurePosixPath

from venom_hw.atomic import write_atomically

from .errors import ClusterError

PACKAGE = Path(__file__).resolve().parents[1]
SUFFIXES = {".py", ".cpp", ".toml", ".md", ".txt"}


def stage_sources(folder: Path) -> Path:
    """A copy of the package in `folder` (made), only its source texts; the folder, to be a Ray working_dir."""
    for path in sorted(PACKAGE.rglob("*")):
        relative = path.relative_to(PACKAGE)
        if path.is_file() and path.suffix in SUFFIXES and "__pycache__" not in relative.parts:
            target = folder / PACKAGE.name / relative
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
    return folder


def collect_files(folder: Path, skip: tuple[str, ...] = ()) -> dict[str, bytes]:
    """{relative path: content} of a folder's plain files (no links), without those whose first part is in `skip`."""
    out = {}
    for path in sorted(Path(folder).rglob("*")):
        relative = path.relative_to(folder)
        if path.is_file() and not path.is_symlink() and relative.parts[0] not in skip:
            out[relative.as_posix()] = path.read_bytes()
    return out


def place_files(folder: Path, files: dict[str, bytes]) -> list[Path]:
    """Write files that a worker sent into `folder`, each atomically. ClusterError for a path that leads out of it."""
    for name in files:
        parts = PurePosixPath(name).parts
        if not parts or PurePosixPath(name).is_absolute() or ".." in parts or "\\" in name:
            raise ClusterError(f"a worker sent the file '{name}': expected a path inside the run's folder")
    return [write_atomically(Path(folder) / name, content) for name, content in files.items()]
