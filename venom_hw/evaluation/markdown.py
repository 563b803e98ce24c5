"""Judgements as Markdown tables, for a README: one judgement in full, or the means of several side by side."""

from __future__ import annotations

from collections.abc import Sequence

from .estimators import BOUND, STORED


def interval(value: dict, digits: int = 1, scale: float = 1.0, sign: bool = False) -> str:
    """`24.0 [23.1, 25.1]`."""
    form = f"{{:{'+' if sign else ''}.{digits}f}}"
    shown = {k: form.format(scale * value[k]) for k in ("value", "low", "high")}
    return f"{shown['value']} [{shown['low']}, {shown['high']}]"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join("| " + " | ".join(r) + " |" for r in [head, ["---"] * len(head), *rows])


def headline_markdown(reports: dict[str, dict]) -> str:
    """Mean R (adaptive kernel density) over all lines and over the inner ones: a row for each estimator, two columns
    for each judgement {title: report as read_report gives it}."""
    names, titles = [], []
    for title, report in reports.items():
        kde, window = report["tables"]["kde"], report["provenance"]["window"]
        names += [n for n in kde["estimators"] if n not in names]
        count = len(kde["labels"])
        titles += [f"`{title}`, {count} lines, windows of {window['length']} at {window['rate_hz'] / 1e3:g} kHz",
                   f"its {count - 2} inner lines"]
    rows = []
    for name in names:
        cells = [r["tables"]["kde"]["estimators"].get(name) for r in reports.values()]
        rows.append([name, *(interval(c[m]) if c else "" for c in cells for m in ("mean", "mean_inner"))])
    bounds = [r.get("bound") for r in reports.values()]
    if any(bounds):
        rows.append([BOUND, *(f"{b[m]:.1f}" if b else "" for b in bounds for m in ("mean", "mean_inner"))])
    return _table(["mean R = E / FWHM", *titles], rows)


def report_markdown(report: dict) -> str:
    """Everything of one judgement (as `EstimatorReport.to_dict` or `read_report` give it)."""
    kde, gauss, scott = (report["tables"][m] for m in ("kde", "gaussian", "scott"))
    level = f"{100 * kde['level']:.0f} %"
    source, held = report["provenance"], report["provenance"]["held_out"]
    parts = [
        "# Resolving power",
        f"Model `{source['model']}`, quantised `{source['quantised']}`, data `{source['data']}` "
        f"({_origin(source['data_source'])}). {sum(held.values())} held-out pulses; energies calibrated by a spline "
        f"through zero on training pulses; {level} bootstrap intervals, differences paired.",
    ]
    parts += [f"> {warning}" for warning in report["warnings"]]
    rows = [
        [name, interval(e["mean"]), interval(scott["estimators"][name]["mean"]),
         interval(gauss["estimators"][name]["mean"]), interval(e["mean_inner"]),
         f"{1e3 * max(e['bias_eV'].values(), key=abs):+.1f}"]
        for name, e in kde["estimators"].items()
    ]
    if "bound" in report:
        mean, inner = f"{report['bound']['mean']:.1f}", f"{report['bound']['mean_inner']:.1f}"
        rows.append([BOUND, mean, mean, "(clipped)" if "gaussian" in report["bound"] else mean, inner, ""])
    stored = report.get("stored_filter_R")
    if stored:
        rows.append([STORED, f"{sum(stored.values()) / len(stored):.1f}", "", "", "", ""])
    parts.append("Mean R over the lines: E / FWHM of the locally adaptive kernel density (the headline), of a kernel "
                 "of Scott's bandwidth, and E / (2.355 rms error). Inner lines: without the two outermost, where the "
                 "end of the training energies flatters a network." + _remarks(report))
    head = ["estimator", "R adaptive", "R Scott", "R Gaussian", "R adaptive, inner lines", "largest bias, meV"]
    parts.append(_table(head, rows))
    rows = [
        [f"{d['of']} - {d['from']}", interval(d["kde"]["absolute"], 2, sign=True),
         interval(d["kde"]["relative"], 1, 100, True), interval(d["gaussian"]["relative"], 2, 100, True)]
        for d in report["differences"]
    ]
    parts.append(_table(["difference of mean R", "adaptive", "adaptive, %", "Gaussian, %"], rows))
    if report["integers"]:
        i = report["integers"]
        parts.append(f"Golden integers against the quantised network: {i['differ']} of {i['windows']} energies differ. "
                     f"Quantised against float: rms {i['fidelity_per_cent_of_sigma']:.1f} % of sigma.")
    parts += ["## R by line", _by_line(kde, report.get("bound", {}).get("lines"), stored)]
    parts += ["## Bias of the median by line, meV", _bias(kde)]
    if "between" in report:
        off = report["between"]["tables"]["kde"]
        bounds = report["between"].get("bound")
        untrained = ", on none of which the float model was trained" if source.get("between_untrained") else ""
        parts += ["## Energies between the lines" + untrained,
                  _by_line(off, None if bounds is None else dict(zip(off["labels"], bounds, strict=True))),
                  "Bias of the median there, meV:", _bias(off)]
        shown = ", ".join(f"{name} {ratio:.2f}" for name, ratio in report["snapping"].items())
        parts.append("Largest ratio of R (of the width, of the rms error) at a line to that between the lines (1: no "
                     f"snapping): {shown}.")
    return "\n\n".join(parts) + "\n"


def _remarks(report: dict) -> str:
    """What else has to be known of the columns; reports of older versions say less."""
    out = ""
    wide = report.get("interval_widening", {}).get("kde")
    if wide:
        out += f" Intervals of R adaptive are widened by {wide:g}, as measured: its resamples keep their bandwidths."
    if "gaussian" in report.get("bound", {}):
        out += f" No bound holds for R Gaussian: {report['bound']['gaussian']}."
    if report.get("stored_filter_R"):
        out += f" {STORED[0].upper()}{STORED[1:]}: `opt_filt_R` of the folder's metadata.json."
    return out


def _origin(source: dict) -> str:
    if not source.get("simulated"):
        return "measured"
    return f"simulated, preset {source.get('preset')} version {source.get('version')}, seed {source.get('seed')}"


def _lines(table: dict) -> list[tuple[str, float]]:
    return list(zip(table["labels"], table["energies_eV"], strict=True))


def _by_line(table: dict, bound: dict | None, stored: dict | None = None) -> str:
    estimators = table["estimators"]
    head = ["line", "eV", *estimators, *([BOUND] if bound else []), *([STORED] if stored else [])]
    rows = [
        [label, f"{energy:.4f}", *(interval(e["lines"][label]) for e in estimators.values()),
         *([f"{bound[label]:.1f}"] if bound else []),
         *([f"{stored[label]:.1f}" if label in stored else ""] if stored else [])]
        for label, energy in _lines(table)
    ]
    means = [interval(e["mean"]) for e in estimators.values()]
    rows.append(["mean", "", *means, *([f"{sum(bound.values()) / len(bound):.1f}"] if bound else []),
                 *([f"{sum(stored.values()) / len(stored):.1f}"] if stored else [])])
    return _table(head, rows)


def _bias(table: dict) -> str:
    estimators = table["estimators"]
    rows = [
        [label, f"{energy:.4f}", *(interval(e["bias_interval_eV"][label], 1, 1e3, True) for e in estimators.values())]
        for label, energy in _lines(table)
    ]
    return _table(["line", "eV", *estimators], rows)
