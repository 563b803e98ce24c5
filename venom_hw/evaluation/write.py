"""A judgement as files: report.txt, report.json, report.md, report.png."""

from __future__ import annotations

import json
from pathlib import Path

from venom_hw.atomic import write_atomically

from .markdown import report_markdown
from .plot import plot_report
from .report import EstimatorReport
from .text import text_report


def write_report(
    folder: str | Path, report: EstimatorReport, command: str = "", versions: dict | None = None
) -> list[Path]:
    """Write the four files atomically; returns their paths."""
    folder = Path(folder)
    stored = report.to_dict() | {"command": command, "versions": versions or {}}
    text = text_report(report)
    markdown = report_markdown(stored) + (f"\nMade by `{command}`.\n" if command else "")
    return [
        write_atomically(folder / "report.txt", (f"{command}\n\n" if command else "") + text + "\n"),
        write_atomically(folder / "report.json", json.dumps(stored, indent=1) + "\n"),
        write_atomically(folder / "report.md", markdown),
        plot_report(folder / "report.png", report, _title(report)),
    ]


def _title(report: EstimatorReport) -> str:
    source = report.provenance
    quantised = f", quantised {source['quantised']}" if source["quantised"] else ""
    return f"{source['model']}{quantised}, judged on {source['data']}"
