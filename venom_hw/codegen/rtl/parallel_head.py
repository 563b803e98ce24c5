"""The head as one pipeline that takes a window every clock: any graph, the most multipliers."""

from __future__ import annotations

import jinja2

from venom_hw.codegen.names import Names
from venom_hw.codegen.rtl.engine_files import TEMPLATES
from venom_hw.codegen.rtl.head import HeadUnit
from venom_hw.codegen.rtl.pipeline import Pipeline
from venom_hw.datapath.graph import Graph

OUTPUTS = ("energy", "log_variance")


def parallel_head(
    graph: Graph, pipeline: Pipeline, *, channel_bits: int, banner: str, name: str = "head"
) -> HeadUnit:
    """Module `name` around the pipeline of a head graph (interval 1).

    Args:
        graph: its outputs are energy and log_variance, its inputs are the parts of `s_sums`.
    """
    names, low, inputs = Names(), 0, []
    for node in graph.inputs:
        port = pipeline.inputs[node.name]
        inputs.append(
            {"name": node.name, "signal": f"{names(node.name)}_sum", "port": port.name, "bits": port.bits,
             "low": low, "clock": port.clock, "note": port.note}
        )  # fmt: skip
        low += port.bits
    made = [pipeline.outputs[output] for output in OUTPUTS]
    latency = max(2, *(port.clock for port in made))
    outputs = [
        {"name": output, "port": port.name, "bits": port.bits, "signed": port.signed, "note": port.note,
         "delay": latency - port.clock}
        for output, port in zip(OUTPUTS, made, strict=True)
    ]  # fmt: skip
    bits = (latency + 2).bit_length()
    template = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), undefined=jinja2.StrictUndefined, keep_trailing_newline=True
    ).get_template("parallel_head.sv.j2")
    text = template.render(
        banner=banner, module=name, cb=channel_bits, sums_bits=low, latency=latency, depth=1 << bits, bits=bits,
        inputs=inputs, outputs=outputs, pipeline=pipeline.name,
    )  # fmt: skip
    return HeadUnit(
        {**pipeline.files, f"{name}.sv": text}, 1, latency + 1, {i["name"]: i["bits"] for i in inputs}, name,
        "one pipeline, a window a clock", dict(pipeline.stats),
    )  # fmt: skip
