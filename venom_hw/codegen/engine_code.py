"""The engine and head processes as pieces of text for `venom.cpp.j2`: memories, packing, pragmas."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from venom_hw.codegen.cpp_loops import INDENT, indented, nest
from venom_hw.codegen.cpp_types import Tensor, dims
from venom_hw.codegen.lowering import loop_index
from venom_hw.codegen.pragmas import pragma
from venom_hw.codegen.stage_code import GraphCode
from venom_hw.codegen.stimulus import channel_bits
from venom_hw.datapath.graph import Graph

LUTRAM_CHANNELS = 64
"""Channels up to which a state memory lies in LUTs."""


@dataclass(frozen=True)
class Memory:
    """The memory of one state: `tensor` of every channel, next value from `following`."""

    tensor: Tensor
    following: Tensor

    @property
    def name(self) -> str:
        return f"{self.tensor.ident}_memory"

    @property
    def declaration(self) -> str:
        return f"{self.tensor.typedef} {self.name}[CHANNELS]{dims(self.tensor.shape)}"


@dataclass(frozen=True)
class Pragmas:
    inline: str
    inline_off: str
    storage: tuple[str, ...]
    dependences: tuple[str, ...]
    engine_pipeline: str
    head_pipeline: str
    interface: tuple[str, ...]
    sums_stream: str


@dataclass(frozen=True)
class EngineCode:
    """What the template needs; text where it is C++."""

    memories: tuple[Memory, ...]
    step_bits: int
    pooled_bits: int
    head_inputs: tuple[str, ...]
    sample: Tensor
    sample_lines: str
    load: str
    step_call: str
    store: str
    pack: str
    unpack: str
    head_call: str
    energy_word: str
    state_lines: tuple[str, ...]
    p: Pragmas


def _partition(tensor: Tensor) -> list[str]:
    return [pragma("ARRAY_PARTITION", variable=tensor.ident, type="complete", dim=0)] if tensor.shape else []


def _at(index: Sequence[str]) -> str:
    return "".join(f"[{i}]" for i in index)


def _raw(tensor: Tensor, place: str) -> str:
    return f"raw_bits({place})" if tensor.uniform else place


def _text(lines: Sequence[str], depth: int = 1) -> str:
    return "\n".join(indented(lines, depth))


def engine_code(
    step: Graph,
    step_code: GraphCode,
    head_code: GraphCode,
    *,
    channels: int,
    revisit: int,
    fifo_depth: int,
    head_interval: int,
) -> EngineCode:
    """The pieces for one step and one head."""
    memories = tuple(Memory(step_code.tensors[s], step_code.roots[s]) for s, _ in step.states)
    sample = step_code.tensors[step.inputs[0].name]
    inputs = [head_code.tensors[n] for n in head_code.given]
    sources = [step_code.roots[n] for n in head_code.given]

    load: list[str] = []
    for m in memories:
        index = loop_index(m.tensor.shape)
        here = m.tensor.ident + _at(index)
        body = [
            f"{here} = {m.name}[at]{_at(index)};",
            "if (fresh) {",
            f"{INDENT}{here} = {m.tensor.typedef}(0);",
            "}",
        ]
        load += [f"{m.tensor.declare()};", *_partition(m.tensor)]
        load += nest(f"load_{m.tensor.ident}", m.tensor.shape, index, body, unroll=True)

    following = list({t.ident: t for t in step_code.roots.values()}.values())
    call = [line for t in following for line in (f"{t.declare()};", *_partition(t))]
    arguments = [sample, *(m.tensor for m in memories), *following]
    call += _call(step_code.whole.name, [t.ident for t in arguments])

    store: list[str] = []
    for m in memories:
        index = loop_index(m.tensor.shape)
        line = f"{m.name}[at]{_at(index)} = {m.following.ident}{_at(index)};"
        store += nest(f"store_{m.tensor.ident}", m.tensor.shape, index, [line], unroll=True)

    bits = channel_bits(channels)
    pack, unpack = ["pooled.range(CHANNEL_BITS - 1, 0) = channel;"], []
    width = bits
    for source, given in zip(sources, inputs, strict=True):
        pack += _packed(source, given, width)
        unpack += _unpacked(given, width)
        width += given.type.width * int(np.prod(given.shape, dtype=int))

    outs = list({t.ident: t for t in head_code.roots.values()}.values())
    head_call = [line for t in outs for line in (f"{t.declare()};", *_partition(t))]
    head_call += _call(head_code.whole.name, [t.ident for t in (*inputs, *outs)])
    word = []
    for at, name in enumerate(("energy", "log_variance")):
        out = head_code.roots[name]
        value = _raw(out, out.ident + _at(["0"] * len(out.shape)))
        word.append(f"word.range({16 * at + 15}, {16 * at}) = ap_int<16>({value});")

    return EngineCode(
        memories,
        step.max_steps.bit_length(),
        width,
        tuple(t.ident for t in inputs),
        sample,
        _text(_sample_lines(sample)),
        _text(load),
        _text(call),
        _text(store, 2),
        _text(pack, 2),
        _text(unpack),
        _text(head_call),
        _text(word),
        _state_lines(memories),
        _pragmas(memories, channels, revisit, fifo_depth, head_interval),
    )


def _call(name: str, arguments: Sequence[str]) -> list[str]:
    line = f"{name}({', '.join(arguments)});"
    return (
        [line]
        if len(line) <= 110
        else [f"{name}(", *(f"{INDENT}{a}," for a in arguments[:-1]), f"{INDENT}{arguments[-1]});"]
    )


def _sample_lines(sample: Tensor) -> list[str]:
    lines = _partition(sample)
    flat = [np.unravel_index(n, sample.shape) for n in range(2)]
    for n, where in enumerate(flat):
        word = f"{sample.raw}(word.range({16 * n + 15}, {16 * n}))"
        value = f"from_raw<{sample.typedef}>({word})" if sample.uniform else word
        lines.append(f"{sample.ident}{_at(map(str, where))} = {value};")
    return lines


def _flat(shape: Sequence[int], index: Sequence[str]) -> str:
    """Row-major position of an element."""
    terms, stride = [], 1
    for counter, size in reversed(list(zip(index, shape, strict=True))):
        if counter != "0":
            terms.append(counter if stride == 1 else f"{counter} * {stride}")
        stride *= size
    text = " + ".join(reversed(terms)) or "0"
    return f"({text})" if len(terms) > 1 else text


def _field(given: Tensor, start: int, index: Sequence[str]) -> tuple[str, str]:
    """(high, low) bit of an element in the packed word."""
    width, at = given.type.width, _flat(given.shape, index)
    if at == "0":
        return str(start + width - 1), str(start)
    return f"{at} * {width} + {start + width - 1}", f"{at} * {width} + {start}"


def _packed(source: Tensor, given: Tensor, start: int) -> list[str]:
    index = loop_index(given.shape)
    high, low = _field(given, start, index)
    value = _raw(source, source.ident + _at(index))
    line = f"pooled.range({high}, {low}) = {given.raw}({value});"
    return nest(f"pack_{given.ident}", given.shape, index, [line], unroll=True)


def _unpacked(given: Tensor, start: int) -> list[str]:
    index = loop_index(given.shape)
    high, low = _field(given, start, index)
    word = f"{given.raw}(pooled.range({high}, {low}))"
    value = f"from_raw<{given.typedef}>({word})" if given.uniform else word
    line = f"{given.ident}{_at(index)} = {value};"
    lines = [f"{given.declare()};", *_partition(given)]
    return lines + nest(f"unpack_{given.ident}", given.shape, index, [line], unroll=True)


def _state_lines(memories: Sequence[Memory]) -> tuple[str, ...]:
    """venom_state: the words of each state in row-major order."""
    lines, start = [], 0
    for m in memories:
        shape = m.tensor.shape
        size = int(np.prod(shape, dtype=int))
        where, stride = [], 1
        for axis in reversed(shape):
            where.append(f"w / {stride} % {axis}" if stride > 1 else f"w % {axis}")
            stride *= axis
        place = f"{m.name}[channel]{_at(reversed(where))}"
        position = "const int w = word;" if start == 0 else f"const int w = word - {start};"
        value = f"({_raw(m.tensor, place)}).to_int64()"
        body = [position, f"return {value};"] if shape else [f"return {value};"]
        lines += [f"if (word < {start + size}) {{", *indented(body), "}"]
        start += size
    return tuple(lines)


def _pragmas(
    memories: Sequence[Memory], channels: int, revisit: int, fifo_depth: int, head_interval: int
) -> Pragmas:
    small = channels <= LUTRAM_CHANNELS
    place = {"impl": "lutram"} if small else {"impl": "bram", "latency": 2}
    storage: list[str] = []
    for m in memories:
        for axis in range(len(m.tensor.shape)):
            storage.append(pragma("ARRAY_RESHAPE", variable=m.name, type="complete", dim=axis + 2))
        storage.append(pragma("BIND_STORAGE", variable=m.name, type="ram_s2p", **place))
    storage.append(pragma("BIND_STORAGE", variable="window_steps", type="ram_s2p", **place))
    storage += [pragma("RESET", variable=v) for v in ("window_open", "abandoned", "overlong", "dropped")]
    looped = [m.name for m in memories] + ["window_open", "window_steps"]
    return Pragmas(
        inline=pragma("INLINE"),
        inline_off=pragma("INLINE", "off"),
        storage=tuple(storage),
        dependences=tuple(
            pragma(
                "DEPENDENCE", variable=v, type="inter", direction="RAW", distance=revisit, dependent="true"
            )
            for v in looped
        ),
        engine_pipeline=pragma("PIPELINE", II=1, style="flp"),
        head_pipeline=pragma("PIPELINE", II=head_interval, style="flp"),
        interface=(
            pragma("INTERFACE", mode="ap_ctrl_none", port="return"),
            pragma("INTERFACE", mode="axis", port="s_axis", register_mode="both"),
            pragma("INTERFACE", mode="axis", port="m_axis", register_mode="both"),
            *(
                pragma("INTERFACE", mode="ap_none", port=f"{c}_count")
                for c in ("abandoned", "overlong", "dropped")
            ),
            pragma("DATAFLOW"),
        ),
        sums_stream=pragma("STREAM", variable="pooled_sums", depth=fifo_depth, type="fifo"),
    )
