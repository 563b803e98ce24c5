"""All pixels: groups of them as tasks, here or on a Ray cluster; one table at the end."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from tqdm import tqdm

from venom_hw.atomic import write_atomically
from venom_hw.cluster import Session, collect_files, place_files, run_tasks

from .errors import TrainArrayError
from .group import Group, finished_rows, read_rows, run_group, write_rows
from .pixel_data import PixelSource
from .results import write_table


def make_groups(sources: list[PixelSource], size: int, **settings) -> list[Group]:
    """Pixels in groups of `size`, in order; `settings` are those of Group."""
    return [
        Group(number, tuple(sources[first : first + size]), **settings)
        for number, first in enumerate(range(0, len(sources), size))
    ]


def group_task(group: Group, out: str, done: list[dict]) -> dict[str, bytes] | None:
    """A group on a worker. out: a folder that driver and worker share, or "": work in a folder of its own and send the
    files back. done: rows of its finished pixels, which are not trained again.
    """
    if out:
        run_group(group, Path(out))
        return None
    with tempfile.TemporaryDirectory(prefix="venom-group-") as folder:
        simulated = Path(folder) / "simulated"  # the driver's folder for it need not exist here
        sources = tuple(replace(s, folder=simulated / s.name) if s.preset else s for s in group.sources)
        if done:
            write_rows(Path(folder) / "run" / "groups" / group.name, done)
        run_group(replace(group, sources=sources), Path(folder) / "run")
        return collect_files(Path(folder) / "run")


def train_array(
    groups: list[Group],
    out: Path,
    session: Session | None = None,
    *,
    shared: bool = True,
    retries: int = 1,
    cpus: float = 1,
    gpus: float = 0,
    quiet: bool = False,
) -> list[dict]:
    """Train every pixel that is not finished in `out`; the rows of all pixels, also written as results.csv and .json.

    session None: in this process. shared: the workers see `out` (so on a local cluster). A group whose task fails more
    than `retries` times gives rows of status "failed" with the reason. Running again tries every pixel that failed
    again, whatever the reason was, and keeps the others.
    """
    out.mkdir(parents=True, exist_ok=True)
    same_run(out, groups)
    done = {g.name: finished_rows(out / "groups" / g.name) for g in groups}
    todo = [g for g in groups if any(s.name not in done[g.name] for s in g.sources)]
    place = str(out.resolve()) if session is None or session.local or shared else ""
    errors: dict[str, str] = {}
    with tqdm(
        total=len(groups),
        initial=len(groups) - len(todo),
        desc="groups of pixels",
        unit="group",
        disable=quiet,
        file=sys.stderr,
    ) as bar:
        if session is None:
            for group in todo:
                with _pixel_steps(group, quiet) as show:
                    try:
                        run_group(group, out, show)
                    except TrainArrayError:
                        raise
                    except Exception as error:  # one group's trouble is no other's
                        errors[group.name] = f"{type(error).__name__}: {error}"
                bar.update()
        else:
            tasks = [(g, place, list(done[g.name].values())) for g in todo]
            for outcome in run_tasks(session, group_task, tasks, retries=retries, cpus=cpus, gpus=gpus):
                group = todo[outcome.index]
                if outcome.error:
                    errors[group.name] = f"{outcome.error} (tried {outcome.attempts} times)"
                elif outcome.value is not None:
                    place_files(out, outcome.value)
                bar.update()
    rows = [row for g in groups for row in _rows(out, g, errors)]
    write_table(out, rows)
    return rows


def _rows(out: Path, group: Group, errors: dict[str, str]) -> list[dict]:
    folder = out / "groups" / group.name
    rows = {row["pixel"]: row for row in read_rows(folder) or []}
    if group.name in errors:  # what failed earlier was tried again, and that failed as a whole
        rows = finished_rows(folder)
    reason = errors.get(group.name, "the group did not finish")
    failed = {"status": "failed", "group": group.name, "attempts": 0, "reason": reason}
    return [rows.get(s.name) or {"pixel": s.name, "seed": s.seed, **failed} for s in group.sources]


def same_run(out: Path, groups: list[Group]) -> None:
    """Write config.toml and pixels.txt; raises TrainArrayError where `out` holds a run of other settings or pixels."""
    settings = groups[0].config.to_toml() if groups else ""
    pixels = "".join(f"{g.name} {s.name} {s.seed} {s.folder}\n" for g in groups for s in g.sources)
    for name, content, what in (
        ("config.toml", settings, "settings"),
        ("pixels.txt", pixels, "pixels or groups"),
    ):
        path = out / name
        if path.is_file() and path.read_text(encoding="utf-8") != content:
            raise TrainArrayError(
                f"{path}: this folder holds a run of other {what}; expected the same, or another --out"
            )
        write_atomically(path, content)


@contextmanager
def _pixel_steps(group: Group, quiet: bool) -> Iterator:
    with tqdm(desc=group.name, unit="pixel-step", disable=quiet, leave=False, file=sys.stderr) as bar:
        yield bar.update
