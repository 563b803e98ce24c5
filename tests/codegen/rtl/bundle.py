"""Several pipelines in one top module, so that one build serves many."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from venom_hw.codegen.rtl.pipeline import Pipeline


def bundle(pipelines: Sequence[Pipeline]) -> Pipeline:
    """Pipelines of different names and one interval side by side; a port is called "pipeline.port"."""
    interval = pipelines[0].interval
    lines, instances = ["input wire clk"], []
    if interval > 1:
        lines.append(f"input wire [{(interval - 1).bit_length() - 1}:0] phase")
    inputs, outputs, files = {}, {}, {}
    for p in pipelines:
        pins = [".clk(clk)"] + [".phase(phase)"] * (interval > 1)
        for direction, ports, kept in (
            ("input wire", p.inputs, inputs),
            ("output logic", p.outputs, outputs),
        ):
            for name, port in ports.items():
                kept[f"{p.name}.{name}"] = replace(port, name=f"{p.name}_{port.name}")
                lines.append(f"{direction} [{port.bits - 1}:0] {p.name}_{port.name}")
                pins.append(f".{port.name}({p.name}_{port.name})")
        instances.append(f"  {p.name} {p.name}_instance ({', '.join(pins)});")
        files |= p.files
    head = "module bundle (\n  " + ",\n  ".join(lines) + "\n);\n"
    files["bundle.sv"] = head + "\n".join(instances) + "\nendmodule\n"
    return Pipeline("bundle", interval, max(p.latency for p in pipelines), inputs, outputs, files, 0)


def prefixed(name: str, values: dict) -> dict:
    """Inputs or outputs of one pipeline under the bundle's names."""
    return {f"{name}.{key}": value for key, value in values.items()}
