"""The PDF report of a run, one subject a page, written after every `report_every` epochs and at the end."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from matplotlib.backends.backend_pdf import PdfPages
from matplotlib.figure import Figure

from venom_hw.atomic import atomic_file
from venom_hw.detector import PulseSet
from venom_hw.model import VenomCheckpoint

from . import report_pages as pages
from .data import TrainingData
from .evaluate import Evaluation
from .inspection import inspect_model


def chapters(
    result: Evaluation, checkpoint: VenomCheckpoint, data: TrainingData, history: list[dict]
) -> dict[str, Callable[[], list[Figure]]]:
    """Name -> what draws its pages: settings and table; loss; spectra by line; resolving power and bias; parity;
    residuals; attention over time; and with the run's setting `plot_features` every feature channel of the backbone.
    """
    held: PulseSet = data.lines.select(data.val_idx)
    mu, logvar = checkpoint.predict(held.counts, lengths=held.lengths)
    seen = inspect_model(checkpoint, held)
    book = {
        "summary": lambda: [pages.summary_page(result, checkpoint)],
        "loss": lambda: [pages.loss_page(history)],
        "spectra": lambda: [pages.spectra_page(result)],
        "resolving power": lambda: [pages.power_page(result)],
        "parity": lambda: [pages.parity_page(result)],
        "residuals": lambda: [pages.residual_page(held.energies, mu, logvar)],
        "attention": lambda: [pages.attention_page(seen)],
    }
    if checkpoint.training.get("settings", {}).get("plot_features"):
        book["features"] = lambda: pages.feature_pages(seen)
    return book


def write_report(
    path: Path, result: Evaluation, checkpoint: VenomCheckpoint, data: TrainingData, history: list[dict]
) -> None:
    """Write the PDF of all chapters, atomically."""
    metadata = {"Title": "VENOM training", "CreationDate": None}
    with atomic_file(path) as file, PdfPages(file, metadata=metadata) as pdf:
        for draw in chapters(result, checkpoint, data, history).values():
            for figure in draw():
                pdf.savefig(figure)
