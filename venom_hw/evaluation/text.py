"""A judgement as plain text, for a terminal."""

from __future__ import annotations

from .estimators import BOUND, FLOAT
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
    if report.bound is not None:
        inner = report.bound[kde.inner()].mean()
        parts.append(BOUND.ljust(width) + f"{report.bound.mean():.2f}".rjust(22) * 3 + f"{inner:.2f}".rjust(22))
        share = kde.mean(FLOAT, inner=True).value / inner
        parts.append(f"{FLOAT} reaches {100 * share:.1f} % of the bound's mean R over the inner lines")
    parts.append("(kde: locally adaptive kernel density; scott: fixed bandwidth; gaussian: E / (2.355 rms error);")
    parts.append(" inner: without the two outermost lines, where the end of the training energies flatters a network)")
    parts += ["", "differences of mean R (kde), paired:"]
    for a, b in report.pairs():
        relative = kde.relative_difference(a, b)
        parts.append(f"  {a} - {b}: {kde.difference(a, b)}  "
                     f"({100 * relative.value:+.2f} % [{100 * relative.low:+.2f}, {100 * relative.high:+.2f}])")
    if report.integers:
        i = report.integers
        parts.append(f"  golden against quantised: {i['differ']} of {i['windows']} energies differ; "
                     f"quantised follows float to {i['fidelity_per_cent_of_sigma']:.2f} % of sigma (rms)")
    parts += ["", _by_line(kde, report.bound)]
    if report.between is not None:
        parts += ["", "between the lines:", _by_line(report.between["kde"], report.between_bound)]
        shown = ", ".join(f"{name} {ratio:.2f}" for name, ratio in report.snapping().items())
        parts.append(f"R (of the width, of the rms error) at a line over that between the lines, the largest: {shown}")
    parts += [f"NOTE: {w}" for w in report.warnings()]
    return "\n".join(parts)


def _by_line(table, bound) -> str:
    """A row for each line, a column for each estimator: R and, in brackets, the bias of the median in meV."""
    names = list(table.value)
    width = max(20, *(len(n) + 2 for n in names))
    head = "R (bias in meV)".ljust(16) + "eV".rjust(8) + "".join(n.rjust(width) for n in names)
    rows = [head + (BOUND.rjust(width) if bound is not None else "")]
    for k, label in enumerate(table.labels):
        cells = (f"{table.value[n][k]:.2f} ({1e3 * table.bias[n][k]:+.1f})" for n in names)
        row = label.ljust(16) + f"{table.energies[k]:8.4f}" + "".join(c.rjust(width) for c in cells)
        rows.append(row + (f"{bound[k]:.2f}".rjust(width) if bound is not None else ""))
    return "\n".join(rows)
