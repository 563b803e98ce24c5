"""A judgement as plain text, for a terminal."""

from __future__ import annotations

from venom_hw.detector.resolving_power_metrics import METRICS

from .estimators import BOUND, FLOAT, STORED
from .report import EstimatorReport


def text_report(report: EstimatorReport) -> str:
    """Mean R by each metric, differences, R and bias by line, what lies between the lines."""
    kde = report.tables["kde"]
    width = max(len(BOUND), *map(len, report.names)) + 2
    held = report.provenance["held_out"]
    parts = [
        f"{sum(held.values())} held-out pulses of {len(held)} lines; energy calibrated on training pulses; "
        f"{100 * kde.level:.0f} % bootstrap intervals",
        "mean R over the lines".ljust(width) + "".join(m.rjust(22) for m in report.tables)
        + "kde, inner lines".rjust(22) + "largest bias".rjust(15),
    ]
    for name in report.names:
        bias = max(kde.bias[name], key=abs)
        parts.append(name.ljust(width) + "".join(str(t.mean(name)).rjust(22) for t in report.tables.values())
                     + str(kde.mean(name, inner=True)).rjust(22) + f"{1e3 * bias:+.1f} meV".rjust(15))
    if report.stored_R:
        parts.append(STORED.ljust(width) + f"{stored_mean(report.stored_R):.2f}".rjust(22))
    if report.bound is not None:
        inner = report.bound[kde.inner()].mean()
        shown = (f"{report.bound.mean():.2f}" if report.bound_holds(m) else "(clipped)" for m in report.tables)
        parts.append(BOUND.ljust(width) + "".join(s.rjust(22) for s in shown) + f"{inner:.2f}".rjust(22))
        share = kde.mean(FLOAT, inner=True).value / inner
        parts.append(f"{FLOAT} reaches {100 * share:.1f} % of the bound's mean R over the inner lines")
    parts.append("(kde: locally adaptive kernel density; scott: fixed bandwidth; gaussian: E / (2.355 rms error);")
    parts.append(" inner: without the two outermost lines, where the end of the training energies flatters a network;")
    parts.append(f" intervals of kde, paired ones too, are widened by {METRICS['kde'].widening:g}, as measured: its "
                 "resamples keep their bandwidths)")
    if report.bound is not None and not report.bound_holds("gaussian"):
        parts.append(f"(no bound for gaussian: {report.clip_said()})")
    if report.stored_R:
        parts.append(f"({STORED}: opt_filt_R of the folder's metadata.json, of {len(report.stored_R)} lines)")
    parts += ["", "differences of mean R (kde), paired:"]
    for a, b in report.pairs():
        relative = kde.relative_difference(a, b)
        parts.append(f"  {a} - {b}: {kde.difference(a, b)}  "
                     f"({100 * relative.value:+.2f} % [{100 * relative.low:+.2f}, {100 * relative.high:+.2f}])")
    if report.integers:
        i = report.integers
        parts.append(f"  golden against quantised: {i['differ']} of {i['windows']} energies differ; "
                     f"quantised follows float to {i['fidelity_per_cent_of_sigma']:.2f} % of sigma (rms)")
    parts += ["", _by_line(kde, report.bound, report.stored_R)]
    if report.between is not None:
        parts += ["", "between the lines:", _by_line(report.between["kde"], report.between_bound)]
        shown = ", ".join(f"{name} {ratio:.2f}" for name, ratio in report.snapping().items())
        parts.append(f"R (of the width, of the rms error) at a line over that between the lines, the largest: {shown}")
    parts += [f"NOTE: {w}" for w in report.warnings()]
    return "\n".join(parts)


def stored_mean(stored: dict[str, float]) -> float:
    """Mean of the stored R over the lines that have one."""
    return sum(stored.values()) / len(stored)


def _by_line(table, bound, stored=None) -> str:
    """A row for each line, a column for each estimator: R and, in brackets, the bias of the median in meV."""
    names = list(table.value)
    width = max(20, *(len(n) + 2 for n in names))
    head = "R (bias in meV)".ljust(16) + "eV".rjust(8) + "".join(n.rjust(width) for n in names)
    rows = [head + (BOUND.rjust(width) if bound is not None else "") + (STORED.rjust(width) if stored else "")]
    for k, label in enumerate(table.labels):
        cells = (f"{table.value[n][k]:.2f} ({1e3 * table.bias[n][k]:+.1f})" for n in names)
        row = label.ljust(16) + f"{table.energies[k]:8.4f}" + "".join(c.rjust(width) for c in cells)
        row += f"{bound[k]:.2f}".rjust(width) if bound is not None else ""
        rows.append(row + (f"{stored[label]:.2f}" if label in stored else "-").rjust(width) if stored else row)
    return "\n".join(rows)
