"""A network of three states whose pipeline is written by hand: the engine is tested without scheduler and renderer.

sum_out = floor(sum / 2 + sample - tap / 4), tap_out = sample, count_out = count + 1. The clocks are chosen
to matter: the tap's next value is there long before the tap is read, the count comes last, the sample is used twice.
"""

from __future__ import annotations

import numpy as np

from venom_hw.codegen.rtl.engine import Engine, plan_engine
from venom_hw.codegen.rtl.head import HeadUnit
from venom_hw.codegen.rtl.parallel_head import parallel_head
from venom_hw.codegen.rtl.pipeline import Pipeline, PipelinePort
from venom_hw.codegen.stimulus import channel_bits
from venom_hw.datapath import FixedType, GraphBuilder, Rounding
from venom_hw.datapath.model import Datapath

MAX_STEPS = 9
S16, S18 = FixedType(True, 16, 0), FixedType(True, 18, 0)


def counting_network() -> Datapath:
    b = GraphBuilder("step", max_steps=MAX_STEPS)
    sample = b.input("sample", (2,), S16)
    total, tap = b.state("sum", (2,), S18), b.state("tap", (1, 2), S16)
    b.next_state(total, "sum_out")
    half = b.mul(total, b.constant(np.array([1]), FixedType(False, 1, 1)))
    crossed = b.add(half, sample)
    taps = b.concat([tap, b.reshape(sample, (1, 2))], 0)
    before = b.reshape(b.slice(taps, 0, 0, 1), (2,))
    quarter = b.constant(np.array([1]), FixedType(False, 1, 2))
    b.requantise(b.sub(crossed, b.mul(before, quarter)), S18, Rounding.FLOOR, name="sum_out")
    b.next_state(tap, b.slice(taps, 0, 1, 2, name="tap_out"))
    some = b.table(sample, np.ones(1 << 16, np.int64), FixedType(False, 1, 0))
    b.accumulator("count", b.slice(some, 0, 0, 1), out="count_out")
    step = b.build({})
    b = GraphBuilder("head")
    total, count = b.input("sum", (2,), S18), b.input("count", (1,), step["count"].type)
    energy = b.requantise(b.add(b.slice(total, 0, 0, 1), count), FixedType(False, 16, 0), name="energy")
    spread = b.requantise(b.slice(total, 0, 1, 2), FixedType(True, 16, 0), name="log_variance")
    return Datapath(step, b.build({"energy": energy, "log_variance": spread}), {"model": "counting"})


STEP = """\
`default_nettype none
module step (
    input wire clk,
    input wire [31:0] sample,  // clock 0
    input wire [35:0] sum,     // clock 7
    input wire [31:0] tap,     // clock 6
    input wire [{c}:0] count,  // clock 10
    output logic [35:0] sum_out,    // clock 10
    output wire [31:0] tap_out,     // clock 1
    output logic [{c}:0] count_out  // clock 11
);
  logic [6:0][31:0] samples;
  logic [31:0] tap_7;
  logic signed [20:0] crossed_0, crossed_1;
  logic signed [17:0] rounded_0, rounded_1;
  assign tap_out = samples[0];
  always_ff @(posedge clk) begin
    samples <= {{samples[5:0], sample}};
    tap_7 <= tap;
    // clock 8: quarters
    crossed_0 <= 21'(signed'(sum[17:0])) * 2 + 21'(signed'(samples[6][15:0])) * 4 - 21'(signed'(tap_7[15:0]));
    crossed_1 <= 21'(signed'(sum[35:18])) * 2 + 21'(signed'(samples[6][31:16])) * 4 - 21'(signed'(tap_7[31:16]));
    rounded_0 <= 18'(crossed_0 >>> 2);
    rounded_1 <= 18'(crossed_1 >>> 2);
    sum_out <= {{rounded_1, rounded_0}};
    count_out <= count + 1'b1;
  end
endmodule
`default_nettype wire
"""

HEAD = """\
`default_nettype none
module head_pipeline (
    input wire clk,
    input wire [35:0] sum,    // clock 0
    input wire [{c}:0] count,  // clock 1
    output logic [15:0] energy,       // clock 2
    output logic [15:0] log_variance  // clock 1
);
  logic signed [17:0] sum_1;
  wire signed [18:0] total = 19'(sum_1) + 19'(signed'({{1'b0, count}}));
  wire signed [17:0] spread = sum[35:18];
  always_ff @(posedge clk) begin
    sum_1 <= sum[17:0];
    energy <= total < 0 ? 16'd0 : total > 19'sd65535 ? 16'hFFFF : total[15:0];
    log_variance <= spread < -18'sd32768 ? 16'h8000 : spread > 18'sd32767 ? 16'h7FFF : spread[15:0];
  end
endmodule
`default_nettype wire
"""


def port(name: str, shape: tuple[int, ...], type_: FixedType, clock: int) -> PipelinePort:
    return PipelinePort(name, shape, type_.width, type_.signed, clock, str(type_))


def counting_pipelines(datapath: Datapath) -> tuple[Pipeline, Pipeline]:
    count = datapath.step["count"].type
    top = {"c": count.width - 1}
    inputs = [port("sample", (2,), S16, 0), port("sum", (2,), S18, 7), port("tap", (1, 2), S16, 6),
              port("count", (1,), count, 10)]  # fmt: skip
    outputs = [port("sum_out", (2,), S18, 10), port("tap_out", (1, 2), S16, 1), port("count_out", (1,), count, 11)]
    step = Pipeline("step", 1, 11, {p.name: p for p in inputs}, {p.name: p for p in outputs},
                    {"step.sv": STEP.format(**top)}, 0)  # fmt: skip
    inputs = [port("sum", (2,), S18, 0), port("count", (1,), count, 1)]
    outputs = [port("energy", (1,), FixedType(False, 16, 0), 2), port("log_variance", (1,), S16, 1)]
    head = Pipeline("head_pipeline", 1, 2, {p.name: p for p in inputs}, {p.name: p for p in outputs},
                    {"head_pipeline.sv": HEAD.format(**top)}, 0)  # fmt: skip
    return step, head


def counting_engine(datapath: Datapath, *, channels: int, **given) -> Engine:
    step, head = counting_pipelines(datapath)
    module: HeadUnit = parallel_head(datapath.head, head, channel_bits=channel_bits(channels), banner="by hand")
    return plan_engine(datapath.step, step, module, channels=channels, **given)
