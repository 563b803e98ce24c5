"""The data summary as a PDF of several pages, with its numbers as JSON beside it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from matplotlib.backends.backend_pdf import PdfPages

from venom_hw.atomic import atomic_file, write_atomically

from . import data_pages
from .folder_summary import FolderSummary, summarise_folder


def write_data_report(summary: FolderSummary, path) -> list[Path]:
    """Pages: numbers; raw traces; all lines together; each line's mean pulse, heights, loop and noise. The PDF and the
    JSON, each written atomically."""
    path = Path(path)
    metadata = {"Title": f"Data {summary.name}", "CreationDate": None}
    with atomic_file(path) as file, PdfPages(file, metadata=metadata) as pdf:
        for draw in (data_pages.summary_page, data_pages.traces_page, data_pages.comparison_page):
            pdf.savefig(draw(summary))
        for line in summary.lines:
            pdf.savefig(data_pages.line_page(summary, line))
    numbers = path.with_suffix(".json")
    return [path, write_atomically(numbers, json.dumps(summary.to_dict(), indent=1) + "\n")]


def make_report(folder, path, *, sample_rate_hz: float | None = None, peak_sigma: float = 2.0,
                progress: Callable[[int], None] | None = None) -> list[Path]:
    """Summarise a data folder and write PDF and JSON; the files. Raises DataError."""
    summary = summarise_folder(folder, sample_rate_hz=sample_rate_hz, peak_sigma=peak_sigma, progress=progress)
    return write_data_report(summary, path)
