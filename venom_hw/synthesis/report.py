"""What synthesis found as one document (`synth.json`) and as tables for the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import version

from venom_hw.boards import Board, Resources
from venom_hw.synthesis.area import Area
from venom_hw.synthesis.counts import Counts
from venom_hw.synthesis.depth import Timing
from venom_hw.synthesis.design import STEP, Measured, part
from venom_hw.synthesis.yosys import yosys_version

FORMAT = "venom-hw/synth/1"
AIMS = {"lut": 30_000, "dsp": 450, "bram36": 200, "lut_levels": 5}
"""Per engine with a context for every pixel of the readout."""
HELD = ("lut", "ff", "dsp", "bram36", "uram")


def document(found: Measured, board: Board, *, model: str, datapath_hash: str) -> dict:
    """Everything as JSON. `engine` is without the head, `step` is the part of it that alkaid's step stands beside."""
    engine, head = part(found.largest, "engine"), part(found.largest, "head")
    report = {
        "format": FORMAT,
        "model": model,
        "datapath": datapath_hash,
        "board": board.name,
        "tools": {"yosys": yosys_version(), "alkaid": version("alkaid")},
        "command": "synth_xilinx -family xcup, by module",
        "channels": next(iter(found.areas)),
        "engine": measured(*engine),
        "head": measured(*head),
        "step": measured(*part(found.largest, STEP)) | pipeline(found),
        "aims": {key: {"aim": aim, "reached": value_of(engine, key) <= aim} for key, aim in AIMS.items()},
        "modules": modules(found.largest),
        "budgets": [budget(found, channels, board) for channels in found.areas],
    }
    if found.alkaid_area is not None:
        area = found.alkaid_area
        report["alkaid_step"] = measured(area.total(), area.levels()) | {
            "ff": found.alkaid.register_bits,
            "registers": "as alkaid schedules its pipeline; stages synthesised without them, lut_levels of the deepest",
            "clocks": found.alkaid.clocks,
            "vectors_equal_to_golden": found.alkaid.checked,
        }
    if found.dispatcher_area is not None:
        area, made = found.dispatcher_area, found.dispatcher
        report["dispatcher"] = measured(area.total(), area.levels()) | {
            "channels": made.channels, "lanes": made.lanes, "slots": made.slots, "ring_samples": made.ring
        }  # fmt: skip
    if found.packed is not None:
        report["packed_xc7"] = {
            name: part(found.packed, name)[0].summary() for name in ("engine", "head", "step")
        }
    return report


def pipeline(found: Measured) -> dict:
    manifest = next(iter(found.projects.values())).manifest
    return {"clocks": manifest["clocks"]["step_latency"]}


def value_of(counted: tuple[Counts, int], key: str) -> int | float:
    return counted[1] if key == "lut_levels" else counted[0].summary()[key]


def measured(counts: Counts, levels: int) -> dict:
    return counts.summary() | {"lut_levels": levels}


def modules(area: Area) -> list[dict]:
    """Each unit alone, the largest first; its `lut_levels` are of the paths that end in it."""
    instances = area.design.instances()
    rows = []
    for name, counts in area.counts.items():
        timing = area.timings.get(name, Timing())
        rows.append(
            {"module": name, "instances": instances[name]}
            | measured(counts, timing.own.levels)
            | {"carry_levels": timing.own.carry, "from": timing.own.begin, "to": timing.own.end}
            | {"crossings": dict(timing.crossings)}
        )
    return sorted(rows, key=lambda row: (-row["lut"] * row["instances"], row["module"]))


def budget(found: Measured, channels: int, board: Board) -> dict:
    """Engines with their heads for all pixels of the readout, in parts of the board and of what Gen3 leaves free."""
    engines = -(-board.pixels // channels)
    counts = (found.areas[channels].total() * engines).summary()
    counts["lutram"] = counts.pop("lut_srl") + counts.pop("lut_ram")
    del counts["lut_srl_short"], counts["ff_of_srl_short"]
    of = lambda have: {k: shares(counts, have)[k] for k in asdict(have)}  # noqa: E731
    return {
        "engines": engines,
        "channels": channels,
        **counts,
        "of_board": of(board.total),
        "of_free": of(board.free),
        "fits_board": fits(counts, board.total),
        "fits_beside_gen3": fits(counts, board.free),
    }


def shares(counts: Mapping[str, float], have: Resources) -> dict[str, float]:
    """Parts of what there is, by resource."""
    return {key: round(counts[key] / value, 4) if value else 0.0 for key, value in asdict(have).items()}


def fits(counts: Mapping[str, float], have: Resources) -> bool:
    return all(counts[key] <= value for key, value in asdict(have).items())
