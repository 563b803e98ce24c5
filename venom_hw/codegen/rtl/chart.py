"""The stage chart: which part of the network works at which clocks, where states are read and written, registers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from venom_hw.codegen.errors import CodegenError
from venom_hw.codegen.rtl.pipeline import Pipeline

BETWEEN = "between stages"
FORMATS = (".svg", ".png")


def draw_chart(pipeline: Pipeline, path: str | Path, *, states: Mapping[str, str] | None = None) -> Path:
    """Draw a pipeline's stages over the clocks, from a sample's entry to its last output.

    Args:
        path: of the picture, `.svg` or `.png`.
        states: output by input, the pairs of `graph.states`: drawn as the loop from read to write.

    Raises:
        CodegenError: another format.
    """
    path = Path(path)
    if path.suffix not in FORMATS:
        raise CodegenError(f"{path}: a chart is {' or '.join(FORMATS)}")
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    stages = sorted(
        (s for s in pipeline.stages if s["name"] != BETWEEN), key=lambda s: (s["first"], s["last"])
    )
    states = dict(states or {})
    rows = len(stages) + len(states)
    figure = Figure(figsize=(10, 1.9 + 0.3 * rows), layout="constrained")
    FigureCanvasAgg(figure)
    top, below = figure.subplots(2, 1, sharex=True, height_ratios=(max(rows, 2) * 0.3, 1.1))
    for row, stage in enumerate(stages):
        width = stage["last"] - stage["first"]
        top.barh(row, width, left=stage["first"], height=0.72, color="#4878a8")
        label = f"{stage['first']} to {stage['last']}, {stage['register_bits']:,} bits"
        beside = stage["last"] < 0.72 * max(1, pipeline.latency)
        top.annotate(
            label,
            (stage["last"] if beside else stage["first"], row),
            xytext=(4 if beside else -4, 0),
            textcoords="offset points",
            ha="left" if beside else "right",
            va="center",
            fontsize=7,
            color="#333333",
        )
    for row, (name, following) in enumerate(states.items(), len(stages)):
        read, write = pipeline.inputs[name].clock, pipeline.outputs[following].clock
        top.plot([read, write], [row, row], color="#c05020", marker="|", markersize=9, linewidth=2)
        beside = write < 0.72 * max(1, pipeline.latency)
        top.annotate(
            f"read at {read}, written at {write}",
            (write if beside else read, row),
            xytext=(6 if beside else -6, 0),
            textcoords="offset points",
            ha="left" if beside else "right",
            va="center",
            fontsize=7,
            color="#c05020",
        )
    names = [s["name"].replace("_", " ") for s in stages] + [f"state {name}" for name in states]
    top.set_yticks(range(len(names)), names, fontsize=8)
    top.set_ylim(rows - 0.4, -0.6)
    top.grid(axis="x", linewidth=0.3)
    top.set_axisbelow(True)
    top.set_title(
        f"{pipeline.name}: {pipeline.latency} clocks, a sample every "
        f"{'clock' if pipeline.interval == 1 else f'{pipeline.interval} clocks'}, "
        f"{pipeline.register_bits:,} register bits in fabric",
        fontsize=9,
    )
    clocks = np.arange(pipeline.latency + 2)
    inside, between = np.zeros(len(clocks)), np.zeros(len(clocks))
    for stage in pipeline.stages:
        for clock, bits in stage["profile"].items():
            (between if stage["name"] == BETWEEN else inside)[clock] += bits
    below.stackplot(
        clocks,
        inside,
        between,
        step="post",
        colors=("#4878a8", "#c8c8c8"),
        labels=("in stages", "waiting between stages"),
    )
    below.set_ylabel("register bits", fontsize=8)
    below.set_xlabel("clock", fontsize=8)
    below.legend(fontsize=7, loc="upper right", frameon=False)
    below.tick_params(labelsize=7)
    top.tick_params(axis="x", labelsize=7)
    if path.suffix == ".svg":  # the same pipeline, the same file: no date, identifiers from the content
        with rc_context({"svg.hashsalt": pipeline.name}):
            figure.savefig(path, metadata={"Date": None})
    else:
        figure.savefig(path, dpi=130)
    return path
