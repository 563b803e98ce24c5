"""Quick plots of a data folder, a PNG each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from venom_hw.atomic import atomic_file

from . import data_pages
from .errors import DataError
from .folder_summary import FolderSummary

PLOTS: dict[str, Callable] = {
    "traces": data_pages.traces_page, "pulses": data_pages.comparison_page, "heights": data_pages.heights_page,
    "loop": data_pages.loop_page, "noise": data_pages.noise_page,
}


def explore(summary: FolderSummary, out, plots: Sequence[str] = tuple(PLOTS), line: str | None = None) -> list[Path]:
    """Write the plots named (traces, pulses, heights, loop, noise) into the folder `out`; with `line` ("808nm") also
    that line's own page, and traces of it alone. Raises DataError for an unknown plot or line."""
    labels = [x.label for x in summary.lines]
    if unknown := [p for p in plots if p not in PLOTS]:
        raise DataError("plots", None, unknown[0], f"among {', '.join(PLOTS)}")
    if line is not None and line not in labels:
        raise DataError(summary.name, "line", line, f"one of {', '.join(labels)}")
    figures = {name: PLOTS[name](summary, line) if name == "traces" else PLOTS[name](summary) for name in plots}
    if line is not None:
        figures[line] = data_pages.line_page(summary, summary.lines[labels.index(line)])
    written = []
    for name, figure in figures.items():
        written.append(Path(out) / f"{name}.png")
        with atomic_file(written[-1]) as file:
            figure.savefig(file, format="png", dpi=110)
    return written
