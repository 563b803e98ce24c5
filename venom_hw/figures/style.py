"""How the figures look, and how they are written: one or two columns of a paper, small type, no pyplot state."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from venom_hw.atomic import atomic_file

COLUMN, PAGE = 3.4, 7.0  # widths in inches of one and of two columns
STYLE = {
    "font.size": 8, "axes.labelsize": 8, "axes.titlesize": 8, "xtick.labelsize": 7, "ytick.labelsize": 7,
    "legend.fontsize": 6.5, "legend.frameon": False, "lines.linewidth": 1.0, "lines.markersize": 3,
    "axes.linewidth": 0.6, "xtick.direction": "in", "ytick.direction": "in", "xtick.top": True, "ytick.right": True,
    "savefig.dpi": 200, "pdf.fonttype": 42,
}  # fmt: skip
FORMATS = ("png", "pdf", "svg")


@contextmanager
def styled_figure(width: float = COLUMN, height: float = 2.6) -> Iterator:
    """A matplotlib Figure (Agg) of that size in inches; texts and lines made inside the block have the style."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasAgg(figure)
        yield figure


def save_figure(figure, path: Path) -> Path:
    """Write atomically in the format of the suffix; the path."""
    path = Path(path)
    metadata = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}.get(path.suffix[1:])
    with atomic_file(path) as file:
        figure.savefig(file, format=path.suffix[1:], metadata=metadata)
    return path


def colours(count: int) -> list:
    """`count` colours from short wavelengths to long ones, violet to red."""
    from matplotlib import colormaps

    return [colormaps["turbo"](x) for x in np.linspace(0.05, 0.95, count)]


def shown_estimators(report) -> list[str]:
    """Estimators of an EstimatorReport that a figure draws: all but the golden integers where they are those of the
    quantised network, which they would hide."""
    from venom_hw.evaluation.estimators import GOLDEN

    same = report.integers is not None and report.integers["differ"] == 0
    return [name for name in report.names if not (same and name == GOLDEN)]


def estimator_colours(names) -> dict[str, str]:
    """The same colour for an estimator as in the reports of python -m venom_hw.evaluation."""
    from venom_hw.evaluation.plot import STYLE as REPORT_STYLE

    return {name: REPORT_STYLE.get(name, ("0.5", "."))[0] for name in names}
