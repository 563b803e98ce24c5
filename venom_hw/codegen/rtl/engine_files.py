"""The engine's own modules as text, and the sizes of its memories."""

from __future__ import annotations

import jinja2

from venom_hw.codegen.errors import CodegenError
from venom_hw.codegen.hls_project import ROOT
from venom_hw.codegen.rtl.calibration import MAGIC
from venom_hw.codegen.rtl.engine import ACCEPT_CLOCK, BEAT_CLOCK, EPOCH_BITS, Engine

TEMPLATES = ROOT / "templates" / "rtl"
DISTRIBUTED = 64
"""Words up to which a memory lies in LUTs."""
BLOCK_FIFO = 1024
"""Depth up to which the FIFO of finished windows lies in block RAM; deeper ones go into UltraRAM."""


def engine_files(engine: Engine, banner: str) -> dict[str, str]:
    """The engine's own modules by file name, the top module last."""
    env = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        autoescape=False,
    )
    given = _given(engine) | {"banner": banner}
    names = ["engine_delay", "trace_delay", "state_memory", "window_control", "revisit_watch", "window_fifo"]
    names += ["result_register"] + (["calibration_memory", "calibration"] if engine.calibration else []) + ["venom"]
    return {f"{name}.sv": env.get_template(f"{name}.sv.j2").render(**given) for name in names}


AXI_PORTS = (
    "AWADDR", "AWVALID", "AWREADY", "WDATA", "WSTRB", "WVALID", "WREADY", "BRESP", "BVALID", "BREADY",
    "ARADDR", "ARVALID", "ARREADY", "RDATA", "RRESP", "RVALID", "RREADY",
)  # fmt: skip


def _given(e: Engine) -> dict:
    """What the templates use."""
    sample = "sample_delayed" if e.sample_delay else "beat_sample"
    step_ports = [(e.sample.name, sample)]
    loaded = e.calibration.tensors if e.calibration else ()
    step_ports += [(e.step.inputs[t.name].name, t.signal) for t in loaded if t.name in e.step.inputs]
    step_ports += [(m.port.name, m.value) for m in e.memories] + [(m.following.name, m.next) for m in e.memories]
    step_ports += [(s.port.name, s.source) for s in e.sums if s.port is not None]
    used = {name for name, _ in step_ports}
    left = [p.name for p in e.step.outputs.values() if p.name not in used]
    if left:
        raise CodegenError(f"step: output {left[0]!r} is used by nobody; leave it out of the graph")
    last_accepted = e.trace_clock
    return {
        "top": "venom",
        "about": "One sample of any channel every clock, for ever."
        if e.interval == 1
        else f"One sample of any channel every {e.interval} clocks.",
        "map_lines": _map_lines(e),
        "channels": e.channels,
        "exact_channels": e.channels == 1 << e.channel_bits,
        "cb": e.channel_bits,
        "interval": e.interval,
        "phase_bits": max(1, (e.interval - 1).bit_length()),
        "fifo_depth": e.fifo_depth,
        "depth": e.fifo_depth,
        "address_bits": max(1, (e.fifo_depth - 1).bit_length()),
        "credit_bits": e.fifo_depth.bit_length(),
        "fifo_style": _style(e.fifo_depth, BLOCK_FIFO),
        "ram_style": _style(e.channels, e.channels),
        "accept_clock": ACCEPT_CLOCK,
        "epoch_bits": EPOCH_BITS,
        "step_bits": e.max_steps.bit_length(),
        "max_steps": e.max_steps,
        "revisit": e.revisit,
        "calibration": e.calibration,
        "register_values": [f"32'd{v}" for v in (MAGIC, e.channels, e.max_steps, e.revisit, e.fifo_depth)]
        + [f"{counter}_count" for counter in ("abandoned", "ignored", "overlong", "dropped")]
        + ["32'(revisit_error)"],
        "axi_ports": AXI_PORTS,
        "memories": e.memories,
        "sample_delay": e.sample_delay,
        "sums": e.sums,
        "sums_bits": sum(s.bits for s in e.sums),
        "sum_names": ", ".join(s.name for s in e.sums),
        "sum_signals": ", ".join(s.signal for s in reversed(e.sums)),
        "fifo_clock": e.fifo_clock,
        "step_clock": e.step_clock,
        "step_module": e.step.name,
        "step_ports": step_ports,
        "head_module": e.head.name,
        "head_about": e.head.about or f"a window every {e.head.interval} clocks",
        "last_channel": max(last_accepted, e.fifo_clock),
        "last_start": max(m.value_clock for m in e.memories) - 1,
        "last_accepted": last_accepted,
        "trace_clock": e.trace_clock,
        "trace_words": sum(m.words for m in e.memories),
    }


def _style(depth: int, block: int) -> str:
    return "distributed" if depth <= DISTRIBUTED else "block" if depth <= block else "ultra"


def _map_lines(e: Engine) -> list[str]:
    """What happens when, for the head of the top module."""
    rows = [(BEAT_CLOCK, "the beat in registers"), (ACCEPT_CLOCK, "it is decided whether its sample is used")]
    rows += [(e.step_clock, f"the step begins; its latency is {e.step.latency} clocks")]
    for m in e.memories:
        rows += [(m.read_clock, f"{m.name} is read"), (m.write_clock, f"{m.name} is written")]
    rows += [(e.fifo_clock, "a finished window goes to the head")]
    width = len(str(max(clock for clock, _ in rows)))
    return [f"{clock:>{width}}  {text}" for clock, text in sorted(rows, key=lambda row: row[0])]
