"""One fuzz case: a datapath, the windows it is given and how it is rendered; as JSON it is all that a replay needs.

The windows are kept as pulses, not as beats: the revisit distance that a design declares follows from its pipeline, so
the interleaving is made when the design is known (`FuzzCase.stimulus`), the same for the same distance.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from sim.fuzz.errors import FuzzError
from venom_hw.atomic import write_atomically
from venom_hw.codegen.stimulus import Pulse, Stimulus, schedule
from venom_hw.datapath.model import Datapath, graph_from_dict, graph_to_dict

FORMAT = "venom-hw/fuzz-case/1"
IDLE_FRACTION = 0.1


@dataclass(frozen=True)
class FuzzCase:
    """A datapath and its windows.

    Attributes:
        name: "graph-17", "venom-18": generator and seed.
        pulses: windows in order, by channel; samples int (n, 2).
        channels: N of the engine.
        order: seed of the interleaving.
        options: how it is rendered, by option (`sim.fuzz.options`).
        about: what was found with it, for the reader, and which rendering to replay.
    """

    name: str
    datapath: Datapath
    pulses: tuple[Pulse, ...]
    channels: int
    order: int = 0
    options: Mapping[str, object] = field(default_factory=dict)
    about: Mapping[str, object] = field(default_factory=dict)

    def stimulus(self, revisit: int) -> Stimulus:
        """The windows interleaved at the revisit distance of a design."""
        return schedule(
            self.pulses, channels=self.channels, revisit=revisit, seed=self.order, idle_fraction=IDLE_FRACTION
        )

    @property
    def samples(self) -> int:
        """Samples in all windows."""
        return sum(len(pulse.samples) for pulse in self.pulses)

    def with_datapath(self, step, head) -> FuzzCase:
        return replace(self, datapath=Datapath(step, head, self.datapath.meta))


def save_case(case: FuzzCase, path: str | Path, *, about: Mapping[str, object] | None = None) -> Path:
    """Write a case, constants in line, one node, constant and pulse a line.

    Args:
        about: instead of the case's own.
    """
    step, head = graph_to_dict(case.datapath.step), graph_to_dict(case.datapath.head)
    document = {
        "format": FORMAT,
        "name": case.name,
        "about": dict(case.about if about is None else about),
        "options": dict(case.options),
        "channels": case.channels,
        "order": case.order,
        "meta": dict(case.datapath.meta),
        "pulses": [
            {"channel": p.channel, "start": p.start, "last": p.last, "samples": np.asarray(p.samples).tolist()}
            for p in case.pulses
        ],
        "step": step,
        "head": head,
        "constants": {key: value.tolist() for key, value in case.datapath.constants.items()},
    }
    return write_atomically(path, _by_line(document) + "\n")


def _by_line(value, depth: int = 0, deepest: int = 3) -> str:
    """JSON in which everything below the third level stands in one line."""
    if depth >= deepest or not isinstance(value, (dict, list)) or not value:
        return json.dumps(value)
    pad = " " * (depth + 1)
    if isinstance(value, dict):
        parts = [f"{pad}{json.dumps(k)}: {_by_line(v, depth + 1, deepest)}" for k, v in value.items()]
        return "{\n" + ",\n".join(parts) + "\n" + " " * depth + "}"
    parts = [pad + _by_line(v, depth + 1, deepest) for v in value]
    return "[\n" + ",\n".join(parts) + "\n" + " " * depth + "]"


def load_case(path: str | Path) -> FuzzCase:
    """Read what `save_case` wrote.

    Raises:
        FuzzError: no such file, another format, or a field is missing.
        DatapathError: a graph in it is not sound.
    """
    try:
        data = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise FuzzError(f"{path}: no readable fuzz case: {error}") from None
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        found = data.get("format") if isinstance(data, dict) else type(data).__name__
        raise FuzzError(f"{path}: format {found!r}, expected {FORMAT!r}")
    try:
        constants = {key: np.array(value, np.int64) for key, value in data["constants"].items()}
        step, head = (graph_from_dict(data[g], constants, where=f"{path}: {g}") for g in ("step", "head"))
        pulses = tuple(
            Pulse(int(p["channel"]), np.array(p["samples"], np.int64), bool(p["start"]), bool(p["last"]))
            for p in data["pulses"]
        )
        return FuzzCase(
            str(data["name"]),
            Datapath(step, head, data["meta"]),
            pulses,
            int(data["channels"]),
            int(data["order"]),
            data["options"],
            data["about"],
        )
    except KeyError as error:
        raise FuzzError(f"{path}: field {error} is missing") from None
