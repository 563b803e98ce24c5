"""Tables to paste."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; all columns but the first are aligned to the right."""
    lines = ["| " + " | ".join(header) + " |", "|" + "|".join(["---", *["---:"] * (len(header) - 1)]) + "|"]
    return "\n".join([*lines, *("| " + " | ".join(map(str, row)) + " |" for row in rows)]) + "\n"


def percent(value: float | None, interval: Sequence[float] | None = None) -> str:
    """0.8241 -> "82.4 %"; with an interval "82.4 % (80.1 to 84.6)"; None -> "-"."""
    if value is None:
        return "-"
    around = "" if not interval else f" ({100 * interval[0]:.1f} to {100 * interval[1]:.1f})"
    return f"{100 * value:.1f} %{around}"


def number(value: float | None, digits: int = 3, interval: Sequence[float] | None = None) -> str:
    """A number of so many decimals; with its interval in brackets; None -> "-"."""
    if value is None:
        return "-"
    around = "" if not interval else f" ({interval[0]:.{digits}f} to {interval[1]:.{digits}f})"
    return f"{value:.{digits}f}{around}"


def scores(metrics: dict | None) -> list[str]:
    """Accuracy, balanced accuracy and AUC of `classification_metrics`, with their intervals where there are some."""
    if metrics is None:
        return ["-", "-", "-"]
    intervals = metrics.get("intervals", {})
    return [
        percent(metrics["accuracy"], intervals.get("accuracy")),
        percent(metrics["balanced_accuracy"], intervals.get("balanced_accuracy")),
        number(metrics["roc_auc"], 3, intervals.get("roc_auc")),
    ]


def missing_classes(metrics: dict | None) -> str:
    """A sentence on the classes that a judgement could not count; empty where there is none."""
    if metrics is None:
        return ""
    parts = []
    if metrics["missing_in_test"]:
        parts.append(f"not in the test: {', '.join(metrics['missing_in_test'])}")
    if metrics["missing_in_training"]:
        parts.append(f"not in training: {', '.join(metrics['missing_in_training'])}")
    return f"Classes {'; '.join(parts)}. Balanced accuracy and AUC run over those present." if parts else ""
