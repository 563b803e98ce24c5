"""The runs of a sweep, each a training with its report in a folder of its own, here or on a cluster; one table."""

from __future__ import annotations

import csv
import io
import json
import math
import sys
import tempfile
from pathlib import Path

from tqdm import tqdm

from venom_hw.atomic import write_atomically
from venom_hw.cluster import Session, collect_files, place_files, run_tasks
from venom_hw.model import MKIDEnergySSM
from venom_hw.train.run import train

from .errors import SweepError
from .grid import Point

REPORT = "report.json"


def sweep_task(point: Point, out: str, simulated: str, command: str) -> dict[str, bytes] | None:
    """One configuration on a worker. out: its folder, seen by driver and worker, or "": send the files."""
    if not out:
        with tempfile.TemporaryDirectory(prefix="venom-sweep-") as folder:
            run = Path(folder) / "run"
            sweep_task(point, str(run), str(Path(folder) / "simulated"), command)
            return collect_files(run)
    folder = Path(out)
    train(
        point.config, folder, Path(simulated), command, resume=(folder / "state.json").is_file(), quiet=True
    )
    return None


def run_sweep(
    points: list[Point],
    out: Path,
    simulated: Path,
    command: str,
    session: Session | None = None,
    *,
    shared: bool = True,
    retries: int = 1,
    cpus: float = 1,
    gpus: float = 0,
    quiet: bool = False,
) -> list[dict]:
    """Train every configuration whose report is not there; a row for each, best R first, also written as a table.

    An interrupted configuration goes on after its last epoch; a failed one has a row with the reason and is tried again
    by the next call. Raises SweepError for a folder of a configuration with other settings.
    """
    for point in points:
        path = out / point.name / "config.toml"
        if path.is_file() and path.read_text(encoding="utf-8") != point.config.to_toml():
            raise SweepError(f"{path}: other settings than this sweep's; expected the same, or another --out")
    todo = [p for p in points if not (out / p.name / REPORT).is_file()]
    place = session is None or session.local or shared
    tasks = [
        (p, str((out / p.name).resolve()) if place else "", str(simulated.resolve()), command) for p in todo
    ]
    errors = {}
    with tqdm(
        total=len(points),
        initial=len(points) - len(todo),
        desc="sweep",
        unit="run",
        disable=quiet,
        file=sys.stderr,
    ) as bar:
        for outcome in run_tasks(session, sweep_task, tasks, retries=retries, cpus=cpus, gpus=gpus):
            point = todo[outcome.index]
            if outcome.error:
                errors[point.name] = f"{outcome.error} (tried {outcome.attempts} times)"
            elif outcome.value is not None:
                place_files(out / point.name, outcome.value)
            bar.update()
    rows = sorted(
        (read_row(out, p, errors.get(p.name, "")) for p in points),
        key=lambda row: -(row["R"] if row["R"] is not None else -1.0),
    )
    write_table(out, rows)
    return rows


def read_row(out: Path, point: Point, reason: str = "") -> dict:
    """A row from the configuration's report.json."""
    row = {
        "name": point.name,
        "status": "failed",
        "R": None,
        "R_low": None,
        "R_high": None,
        "R_gaussian": None,
        "R_filter": None,
        "parameters": MKIDEnergySSM(**point.config.sizes).parameter_count(),
        "seconds": None,
        "snapping": None,
        "reason": reason,
    } | point.chosen
    path = out / point.name / REPORT
    if not path.is_file():
        return row
    report = json.loads(path.read_text(encoding="utf-8"))
    estimators = report["kde"]["estimators"]
    mean = estimators["VENOM"]["mean"]
    others = [v["mean"]["value"] for k, v in estimators.items() if k != "VENOM"]
    found = {
        "R": mean["value"],
        "R_low": mean["low"],
        "R_high": mean["high"],
        "R_gaussian": report["gaussian"]["estimators"]["VENOM"]["mean"]["value"],
        "R_filter": others[0] if others else None,
        "seconds": report.get("seconds"),
        "snapping": report.get("snapping"),
    }
    return (
        row
        | {"status": "ok"}
        | {k: v if v is not None and math.isfinite(v) else None for k, v in found.items()}
    )


def text_table(rows: list[dict]) -> str:
    """Markdown, which is also readable as text: best mean R first."""

    def number(value, digits=2):
        return "-" if value is None else f"{value:.{digits}f}"

    cells = [["configuration", "mean R [95 %]", "R by rms", "filter", "parameters", "seconds", "status"]]
    for r in rows:
        interval = (
            "-" if r["R"] is None else f"{number(r['R'])} [{number(r['R_low'])}, {number(r['R_high'])}]"
        )
        cells.append(
            [
                r["name"],
                interval,
                number(r["R_gaussian"]),
                number(r["R_filter"]),
                str(r["parameters"]),
                number(r["seconds"], 1),
                r["status"] + (f": {r['reason']}" if r["reason"] else ""),
            ]
        )
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ["| " + " | ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) + " |" for row in cells]
    lines.insert(1, "|" + "|".join("-" * (w + 2) for w in widths) + "|")
    return "\n".join(lines)


def write_table(out: Path, rows: list[dict]) -> None:
    """sweep.csv, sweep.json, sweep.md."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    write_atomically(out / "sweep.csv", text.getvalue())
    write_atomically(out / "sweep.json", json.dumps(rows, indent=1))
    write_atomically(out / "sweep.md", text_table(rows) + "\n")
