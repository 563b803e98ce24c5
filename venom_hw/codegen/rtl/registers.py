"""Flip-flops of a schedule: by stage, by clock, and what hides in multipliers and memories."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from venom_hw.codegen.rtl.emit_routes import TOP, places, routes
from venom_hw.codegen.rtl.schedule import Schedule


@dataclass(frozen=True)
class Registers:
    """Bits of registers in fabric, and `stages` as `Pipeline` has them."""

    total: int
    stages: tuple[Mapping[str, object], ...]
    stats: Mapping[str, int]


def count_registers(plan: Schedule) -> Registers:
    """Pipeline registers and delays in fabric; the registers of multipliers and the words read from block RAM apart."""
    place = places(plan)
    bits: dict[str, int] = defaultdict(int)
    profile: dict[str, dict[int, int]] = defaultdict(lambda: defaultdict(int))
    first: dict[str, int] = {}
    last: dict[str, int] = {}
    cells: dict[str, int] = defaultdict(int)
    stats = {"dsp_register_bits": 0, "bram_register_bits": 0, "delay_bits": 0}
    signals = plan.circuit.signals()
    turns = {c.output.name: turn for fold in plan.folds for turn, slot in enumerate(fold.slots) for c in slot}
    for cell in plan.circuit.cells:
        if cell.kind in ("input", "const"):
            continue
        s, where = cell.output, place[cell.output.name]
        latency, ready = plan.latencies[s.name], plan.ready[s.name]
        stage = s.stage or where or plan.circuit.name
        cells[stage] += 1
        first[stage] = min(first.get(stage, ready), plan.start[s.name])
        last[stage] = max(last.get(stage, ready), ready)
        turn = turns.get(s.name)
        if turn is not None:  # the slot's own register, behind what is shared
            _add(bits, profile, stage, s.width, ready, ready)
        operands = sum(signals[i].width for i in cell.inputs) if cell.kind == "mul" and latency > 1 else 0
        if cell.kind == "mul" and cell.style == "dsp":
            stats["dsp_register_bits"] += 0 if turn else s.width * max(1, latency - 1) + operands
        elif cell.kind == "lookup" and cell.style == "bram":
            stats["bram_register_bits"] += 0 if turn else s.width * latency
        elif not turn:
            end = ready - (turn is not None)
            _add(bits, profile, stage, operands, end - latency + 1, end - latency + bool(operands))
            _add(bits, profile, stage, s.width, end - latency + 1 + bool(operands), end)
    single = len(cells) == 1
    for where, name, start, end in routes(plan, place).segments:
        stage = where if where != TOP else next(iter(cells)) if single else "between stages"
        count = -(-(end - start) // plan.interval)
        stats["delay_bits"] += signals[name].width * count
        _add(bits, profile, stage, signals[name].width, start + 1, start + count)
        first[stage], last[stage] = min(first.get(stage, start), start), max(last.get(stage, end), end)
    stages = tuple(
        {
            "name": stage,
            "first": first[stage],
            "last": last[stage],
            "cells": cells.get(stage, 0),
            "register_bits": bits[stage],
            "profile": dict(sorted(profile[stage].items())),
        }
        for stage in first
    )
    return Registers(sum(bits.values()), stages, stats)


def _add(bits, profile, stage: str, width: int, first: int, last: int) -> None:
    for clock in range(first, last + 1):
        bits[stage] += width
        profile[stage][clock] += width
