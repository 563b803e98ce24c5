"""One row a model: what its recipe costs in resolving power and what it saves in area."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from venom_hw.atomic import write_atomically
from venom_hw.flow.model_files import ModelFiles
from venom_hw.interchange.importer import import_venom

from .area import estimate_area

METRIC = "gaussian"
"""The measure of R whose paired interval is narrow enough to tell recipes apart; the JSON has both."""


class TradeoffError(ValueError):
    """A model without a report, or a synthesis report of the wrong form; the message names the file."""


@dataclass(frozen=True)
class Row:
    """A model's numbers. Changes of mean R (held-out pulses, paired bootstrap, 95 %) and fidelity in per cent.

    Area: ``lut`` to ``bram36`` of the step and its states as estimated for ``channels`` contexts; ``synthesis``: engine
    of synth.json, if given.
    """

    name: str
    weight_bits: int
    state_bits: dict[str, int]
    change: dict[str, tuple[float, float, float]]
    fidelity: float
    lut: int
    lut_parts: dict[str, int]
    dsp: int
    dsp_packed: int
    bram36: int
    channels: int
    synthesis: dict[str, Any] | None = None


def make_row(model: ModelFiles, *, channels: int = 2048, synthesis: Path | None = None) -> Row:
    """Judge a quantised model by its report and its graph.

    Raises:
        TradeoffError: no report, or a synthesis report without an engine.
    """
    if model.report is None:
        raise TradeoffError(f"{model.step.parent}: report.json is missing; python -m venom_hw.quantize writes it")
    report = json.loads(model.report.read_text())
    area = estimate_area(import_venom(model.step, model.head).step)
    percent = {
        metric: tuple(round(100 * change[k], 2) for k in ("value", "low", "high"))
        for metric, change in report["change_of_resolving_power"].items()
    }
    return Row(
        model.name,
        int(report["recipe"]["weights"]["w_x"]["bits"]),
        area.state_bits,
        percent,
        round(report["fidelity"]["per_cent"], 2),
        area.luts,
        dict(area.lut),
        area.dsp,
        area.dsp_packed,
        area.bram36(channels),
        channels,
        _engine(synthesis) if synthesis is not None else None,
    )


def _engine(path: Path) -> dict[str, Any]:
    try:
        engine = json.loads(path.read_text())["engine"]
        return {k: engine[k] for k in ("lut", "ff", "dsp", "bram36", "uram", "lut_levels")}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TradeoffError(f"{path}: no synthesis report with an engine ({error!r}); make synth writes one") from error


def text(rows: Sequence[Row]) -> str:
    """The table for a terminal."""
    head = (
        f"{'model':16s} {'W':>2s} {'state bits':>10s} {'change of R % (95 %)':>24s} {'fidelity %':>10s} "
        f"{'LUT':>7s} {'DSP':>5s} {'packed':>6s} {'BRAM36':>6s}"
    )
    synthesised = any(row.synthesis for row in rows)
    lines = [head + (f" | {'LUT':>7s} {'FF':>7s} {'DSP':>5s} {'BRAM36':>6s} {'levels':>6s}" if synthesised else "")]
    for row in rows:
        value, low, high = row.change[METRIC]
        line = (
            f"{row.name:16s} {row.weight_bits:2d} {sum(row.state_bits.values()):10d} "
            f"{f'{value:+.2f} [{low:+.2f}, {high:+.2f}]':>24s} {row.fidelity:10.2f} "
            f"{row.lut:7d} {row.dsp:5d} {row.dsp_packed:6d} {row.bram36:6d}"
        )
        if row.synthesis:
            s = row.synthesis
            line += f" | {s['lut']:7d} {s['ff']:7d} {s['dsp']:5d} {s['bram36']:6g} {s['lut_levels']!s:>6s}"
        lines.append(line)
    lines.append(
        f"R: {METRIC} width. LUT to BRAM36: step and states of {rows[0].channels if rows else 0} channels, estimated "
        "(no delay lines, no head); W: bits of the projections' weights"
        + ("; right of |: engine, synthesised" if synthesised else "")
    )
    return "\n".join(lines)


def write_json(path: Path, rows: Sequence[Row]) -> Path:
    facts: Mapping[str, Any] = {"format": "venom-hw/tradeoff/1", "rows": [asdict(row) for row in rows]}
    return write_atomically(path, (json.dumps(facts, indent=1, sort_keys=True) + "\n").encode())


def plot(path: Path, rows: Sequence[Row]) -> Path:
    """Loss of resolving power over LUTs (PNG): synthesised where known, else estimated."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), dpi=100, layout="constrained")
    axes = figure.subplots()
    for row in rows:
        value, low, high = row.change[METRIC]
        luts = row.synthesis["lut"] if row.synthesis else row.lut
        axes.errorbar(luts / 1000, value, [[value - low], [high - value]], fmt="o", capsize=3)
        axes.annotate(row.name, (luts / 1000, value), textcoords="offset points", xytext=(6, 4), fontsize=8)
    axes.axhline(-1, color="grey", lw=0.8, ls="--")
    axes.set(xlabel="thousand LUT", ylabel="change of mean resolving power, % (95 %)")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return write_atomically(path, buffer.getvalue())
