"""The terminal's view of a `synth.json`, and its picture."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from venom_hw.atomic import write_atomically
from venom_hw.synthesis.counts import SHORT

COLUMNS = ("LUT", "of it SRL", "FF", "DSP", "BRAM36", "URAM", "levels")
KEYS = ("lut", "lut_srl", "ff", "dsp", "bram36", "uram", "lut_levels")
PARTS = {
    "engine": "engine, without head",
    "head": "head",
    "dispatcher": "dispatcher of triggered windows",
    "step": "step alone (in the engine)",
    "alkaid_step": "the same step by alkaid (registers scheduled, levels of its deepest stage)",
}


def summary(report: Mapping, *, largest: int = 12) -> str:
    """Parts, largest modules, budgets, depth and aims as text."""
    blocks = [
        text_table(
            (f"{report['model']}, {report['channels']:,} channels", *COLUMNS),
            [(title, *cells(report[part])) for part, title in PARTS.items() if part in report],
        ),
        text_table(
            (f"largest of {len(report['modules'])} modules, each alone", *COLUMNS),
            [(module_name(m), *cells(m)) for m in report["modules"][:largest]],
        ),
        text_table(
            ("engines with heads", "LUT", "LUT RAM", "FF", "DSP", "BRAM36", "URAM"),
            [row for b in report["budgets"] for row in budget_rows(b)],
        ),
    ]
    if packed := report.get("packed_xc7"):
        rows = [(PARTS[part], *(packed[part][k] for k in KEYS[:5])) for part in packed]
        blocks.append(text_table(("7-series, DSP registers packed", *COLUMNS[:5]), rows))
    return "\n\n".join([*blocks, "\n".join(remarks(report))])


def remarks(report: Mapping) -> list[str]:
    """Deepest path, what stands before and behind hard blocks, aims."""
    deepest = max(report["modules"], key=lambda m: m["lut_levels"])
    crossings = {k: max(m["crossings"].get(k, 0) for m in report["modules"]) for k in deepest["crossings"]}
    engine = report["engine"]
    aims = {key: aim["aim"] for key, aim in report["aims"].items() if not aim["reached"]}
    missed = [f"{key} {report['engine'][key]:,} (aim {aim:,})" for key, aim in aims.items()]
    said = [
        f"deepest path: {deepest['lut_levels']} levels, {deepest['carry_levels']} of them carry, "
        f"in {deepest['module']}, from {deepest['from']} to {deepest['to']}",
        "levels next to hard blocks: " + ", ".join(f"{k.replace('_', ' ')} {v}" for k, v in crossings.items()),
        "shift registers of fewer than {} clocks are {:,} of the engine's LUT; as flip-flops (synth_design "
        "-shreg_min_size {}): {:,} LUT, {:,} FF".format(
            SHORT, engine["lut_srl_short"], SHORT, engine["lut"] - engine["lut_srl_short"],
            engine["ff"] + engine["ff_of_srl_short"],
        ),
        "aims of one engine: " + (", ".join(missed) + " missed" if missed else "all reached"),
    ]
    if "alkaid_step" in report:
        clocks = report["step"]["clocks"], report["alkaid_step"]["clocks"]
        said.append(
            f"clocks of the step: {clocks[0]} here, {clocks[1]} by alkaid "
            f"(equal to the golden step on {report['alkaid_step']['vectors_equal_to_golden']:,} vectors)"
        )
    return said


def cells(counted: Mapping) -> list[object]:
    return [counted[key] for key in KEYS]


def module_name(module: Mapping) -> str:
    return module["module"] + (f" x {module['instances']}" if module["instances"] != 1 else "")


def budget_rows(budget: Mapping) -> list[tuple]:
    """The sum, and its parts of the board and of what Gen3 leaves free."""
    keys = ("lut", "lutram", "ff", "dsp", "bram36", "uram")
    title = f"{budget['engines']} x {budget['channels']:,} contexts"
    rows = [(title, *(budget[k] for k in keys))]
    for of, name, verdict in (("of_board", "board", "fits_board"), ("of_free", "free beside Gen3", "fits_beside_gen3")):
        says = "fits" if budget[verdict] else "does not fit"
        rows.append((f"  of {name}: {says}", *(f"{100 * budget[of][k]:.0f} %" for k in keys)))
    return rows


def text_table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Rows under a header, the first column to the left, numbers to the right."""
    text = [[f"{c:,}" if isinstance(c, int | float) else str(c) for c in row] for row in (header, *rows)]
    widths = [max(len(row[k]) for row in text) for k in range(len(header))]
    line = lambda row: "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip()  # noqa: E731
    return "\n".join([line(text[0]), "-" * (sum(widths) + 2 * len(widths) - 2), *map(line, text[1:])])


def plot(report: Mapping, path: Path) -> None:
    """A PNG of LUT, FF, DSP and BRAM36 by module, atomically."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib.figure import Figure

    rows = [m for m in report["modules"] if any(m[k] for k in ("lut", "ff", "dsp", "bram36"))][:24]
    figure = Figure(figsize=(13, 2 + 0.26 * len(rows)), layout="constrained")
    engine = report["engine"]
    figure.suptitle(
        f"{report['model']} on {report['board']}: one engine of {report['channels']:,} channels by module\n"
        f"engine {engine['lut']:,} LUT, {engine['dsp']:,} DSP, {engine['bram36']:,} BRAM36; "
        f"head {report['head']['lut']:,} LUT, {report['head']['dsp']:,} DSP, {report['head']['bram36']:,} BRAM36"
    )
    names = [module_name(m) for m in rows][::-1]
    panels = figure.subplots(1, 4, sharey=True)
    for axes, key, title in zip(panels, ("lut", "ff", "dsp", "bram36"), ("LUT", "FF", "DSP", "BRAM36"), strict=True):
        values = [m[key] * m["instances"] for m in rows][::-1]
        if key == "lut":
            delays = [m["lut_srl"] * m["instances"] for m in rows][::-1]
            axes.barh(names, values, color="#3b75af", label="logic")
            axes.barh(names, delays, color="#a9c6e3", label="shift registers")
            axes.legend(loc="lower right", frameon=False)
        else:
            axes.barh(names, values, color="#3b75af")
        axes.set_title(f"{title}: {sum(m[key] * m['instances'] for m in report['modules']):,}")
        axes.spines[["top", "right"]].set_visible(False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    write_atomically(path, buffer.getvalue())
