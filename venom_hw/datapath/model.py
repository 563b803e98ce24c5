"""A network as its two graphs, and its versioned JSON form: constants beside it in an npz named by its hash."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from venom_hw.atomic import write_atomically
from venom_hw.datapath.bounds import OPERATIONS
from venom_hw.datapath.fixed import FixedType
from venom_hw.datapath.graph import Graph, Node, constant_key
from venom_hw.datapath.ops import DatapathError

FORMAT = "venom-hw/datapath"
VERSION = 1


@dataclass(frozen=True)
class Datapath:
    """The step graph (one sample of one channel) and the head graph (one window), with facts about the model.

    `meta` describes; it is no part of the arithmetic and not of the hash.
    """

    step: Graph
    head: Graph
    meta: Mapping[str, object] = field(default_factory=dict)

    @property
    def hash(self) -> str:
        """SHA-256 of both graphs, constants included: the same hash is the same arithmetic."""
        text = json.dumps([graph_to_dict(self.step), graph_to_dict(self.head)], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def constants(self) -> dict[str, np.ndarray]:
        return {**self.step.constants, **self.head.constants}

    @property
    def state_words(self) -> int:
        """Words of one channel's state."""
        return sum(self.step.numel(node.name) for node in self.step.state_nodes)


def graph_to_dict(graph: Graph) -> dict:
    """JSON form of a graph; constants appear by key."""
    return {
        "name": graph.name,
        "max_steps": graph.max_steps,
        "nodes": [
            {
                "name": n.name,
                "op": n.op,
                "inputs": list(n.inputs),
                "attrs": dict(n.attrs),
                "shape": list(n.shape),
                "type": n.type.to_dict(),
                "stage": n.stage,
            }
            for n in graph.nodes
        ],
        "outputs": [list(pair) for pair in graph.outputs],
        "states": [list(pair) for pair in graph.states],
    }


def graph_from_dict(data: Mapping, constants: Mapping[str, np.ndarray], *, where: str = "graph") -> Graph:
    """The graph of a JSON form, verified.

    Raises:
        DatapathError: a field is missing, an operation unknown, a constant absent, or the graph not sound.
    """
    try:
        nodes = tuple(
            Node(
                str(n["name"]),
                str(n["op"]),
                tuple(n["inputs"]),
                dict(n["attrs"]),
                tuple(int(s) for s in n["shape"]),
                FixedType.from_dict(n["type"]),
                str(n.get("stage", "")),
            )
            for n in data["nodes"]
        )
        pairs = [tuple((str(a), str(b)) for a, b in data[key]) for key in ("outputs", "states")]
        name, max_steps = str(data["name"]), int(data["max_steps"])
    except (KeyError, TypeError, ValueError) as error:
        raise DatapathError(f"{where}: field {error} is missing or malformed") from error
    used = {}
    for node in nodes:
        if node.op not in OPERATIONS:
            raise DatapathError(f"{where}: node {node.name!r}: unknown operation {node.op!r}")
        for attr in ("key", "weights", "entries"):
            if attr in node.attrs:
                if node.attrs[attr] not in constants:
                    raise DatapathError(f"{where}: node {node.name!r}: constant {node.attrs[attr]!r} is absent")
                used[node.attrs[attr]] = constants[node.attrs[attr]]
    graph = Graph(name, nodes, *pairs, max_steps, used)
    missing = [node for _, node in (*graph.outputs, *graph.states) if node not in graph.by_name]
    if missing:
        raise DatapathError(f"{where}: output or next state {missing[0]!r} does not exist")
    graph.facts  # noqa: B018 - raises when the graph is not sound
    return graph


def save_datapath(datapath: Datapath, folder: str | Path) -> Path:
    """Writes `datapath.json` and `constants-<hash>.npz` atomically; returns the JSON file's path."""
    folder = Path(folder)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **dict(sorted(datapath.constants.items())))
    constants_hash = hashlib.sha256("".join(sorted(datapath.constants)).encode()).hexdigest()[:16]
    constants = f"constants-{constants_hash}.npz"
    document = {
        "format": FORMAT,
        "version": VERSION,
        "hash": datapath.hash,
        "constants": constants,
        "meta": dict(datapath.meta),
        "step": graph_to_dict(datapath.step),
        "head": graph_to_dict(datapath.head),
    }
    write_atomically(folder / constants, buffer.getvalue())
    target = folder / "datapath.json"
    return write_atomically(target, json.dumps(document, indent=1))


def load_datapath(path: str | Path) -> Datapath:
    """Reads what `save_datapath` wrote and verifies every type, constant and the hash.

    Raises:
        DatapathError: not such a file, another version, or changed since it was written.
    """
    path = Path(path)
    path = path / "datapath.json" if path.is_dir() else path
    try:
        document = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise DatapathError(f"{path}: not a readable datapath file ({error})") from error
    if document.get("format") != FORMAT or document.get("version") != VERSION:
        raise DatapathError(
            f"{path}: format {document.get('format')!r} version {document.get('version')!r}; "
            f"expected {FORMAT!r} version {VERSION}"
        )
    try:
        with np.load(path.parent / document["constants"], allow_pickle=False) as archive:
            constants = {key: archive[key] for key in archive.files}
    except (OSError, ValueError, KeyError) as error:
        raise DatapathError(f"{path}: constants not readable ({error})") from error
    for key, array in constants.items():
        if constant_key(array) != key:
            raise DatapathError(f"{path.parent / document['constants']}: constant {key} does not match its hash")
    graphs = [graph_from_dict(document[k], constants, where=f"{path}: {k}") for k in ("step", "head")]
    datapath = Datapath(*graphs, document.get("meta", {}))
    if datapath.hash != document.get("hash"):
        raise DatapathError(f"{path}: the graphs do not match the stored hash {document.get('hash')!r}")
    return datapath
