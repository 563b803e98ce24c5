"""Rendered pipelines under Verilator -Wall: bit for bit what the circuit, or the graph's reference, gives."""

import re
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1]))  # tiny_venom

from bundle import bundle, prefixed
from hand_circuits import every_cell, random_inputs
from tiny_venom import tiny_venom

from sim.fuzz.random_graph import random_step
from sim.pipeline_sim import PipelineSim
from venom_hw.codegen.errors import CodegenError
from venom_hw.codegen.rtl.circuit import evaluate
from venom_hw.codegen.rtl.emit import render_circuit, render_pipeline
from venom_hw.codegen.rtl.strategies import Strategies
from venom_hw.datapath.reference import run_step
from venom_hw.synthesis.yosys import run_yosys


def differences(got, want) -> dict[str, int]:
    """Wrong integers by output."""
    return {
        name: int((got[name] != want[name]).sum())
        for name in want
        if not np.array_equal(got[name], want[name])
    }


def steps(rng, graph, samples: int) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Inputs and states of a graph, and its outputs and next states, over windows: no state that cannot occur."""
    batch = -(-samples // graph.max_steps)
    states = {node.name: np.zeros((batch, *node.shape), np.int64) for node in graph.state_nodes}
    given, wanted = [], []
    for _ in range(graph.max_steps):
        inputs = {}
        for node in graph.inputs:
            inputs[node.name] = rng.integers(node.type.lo, node.type.hi + 1, (batch, *node.shape))
            inputs[node.name][rng.random(batch) < 0.5] //= 1 << node.type.width // 2
        result = run_step(graph, inputs, states)
        following = {name: result.states[state] for state, name in graph.states}
        given.append({**inputs, **states})
        wanted.append({**result.outputs, **following})
        states = result.states
    join = lambda rows: {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}  # noqa: E731
    return join(given), join(wanted)


@pytest.mark.parametrize(("seed", "interval"), [(1, 1), (3, 4)])
def test_every_cell(tmp_path, seed, interval):
    rng = np.random.default_rng(seed)
    circuit = every_cell(rng)
    values = random_inputs(rng, circuit, 300)
    sim = PipelineSim(render_circuit(circuit, name="every_cell", interval=interval), tmp_path)
    assert not differences(sim.run(values), evaluate(circuit, values))


def graphs():
    """(name, graph): the tiny step and random ones."""
    yield "tiny", tiny_venom().step
    for seed in range(5):
        yield f"random{seed}", random_step(np.random.default_rng(seed), 40, 5)[0]


@pytest.mark.parametrize(
    ("interval", "strategies"),
    [
        (1, Strategies()),
        (4, Strategies(tables="lut", products="lut", latencies={"mul_lut": 1, "lookup_lut": 3})),
    ],
)
def test_graphs(tmp_path, interval, strategies):
    rng = np.random.default_rng(8)
    pipelines, values, wanted = [], {}, {}
    for name, graph in graphs():
        pipelines.append(render_pipeline(graph, name=name, interval=interval, strategies=strategies))
        given, expected = steps(rng, graph, 150)
        values |= prefixed(name, {key: value[:150] for key, value in given.items()})
        wanted |= prefixed(name, {key: value[:150] for key, value in expected.items()})
    assert not differences(PipelineSim(bundle(pipelines), tmp_path).run(values), wanted)


def mutant(pipeline, name: str, pattern: str, change, *, kind: str = ".sv"):
    """The pipeline under another name with the first match of a pattern changed (all, in the first table)."""
    texts, changed = {}, False
    for file, text in pipeline.files.items():
        if file.startswith("venom_"):
            texts[file] = text
            continue
        if file.endswith(kind) and not changed:
            new = re.sub(pattern, change, text, count=kind == ".sv", flags=re.MULTILINE)
            changed, text = new != text, new
        texts[file.replace(pipeline.name, name)] = text.replace(pipeline.name, name)
    assert changed, f"{name}: nothing matches {pattern}"
    return replace(pipeline, name=name, files=texts)


MUTATIONS = {
    "delay": (r"\.DEPTH\(\d+\)", lambda m: f".DEPTH({int(m[0][7:-1]) + 1})", ".sv"),
    "register": (r"(_c\d+) <= (.*);", r"\1 <= ~(\2);", ".sv"),
    "table": (r"^[0-9a-f]+$", lambda m: f"{int(m[0], 16) ^ 1:0{len(m[0])}x}", ".mem"),
    "tie": (r"\] & \(\(?\|(\w+\[\d+:0\])\)?\)\}", r"] & (&\1)}", ".sv"),
    "multiplier": (r"\.LATENCY\(3\)", ".LATENCY(4)", ".sv"),
    "sum": (r"<= (\d+'\(\w+\)) \+ ", r"<= \1 - ", ".sv"),
    "limit": (r"if \(~", "if (", ".sv"),
}


def test_every_mutation_is_found(tmp_path):
    """The check of the checks: each single change of the text makes outputs differ from the reference."""
    graph = tiny_venom().step
    rng = np.random.default_rng(4)
    sound = render_pipeline(graph, name="sound")
    mutants = [
        mutant(sound, f"bad_{what}", pattern, new, kind=kind)
        for what, (pattern, new, kind) in MUTATIONS.items()
    ]
    given, wanted = steps(rng, graph, 400)
    values = {}
    for pipeline in (sound, *mutants):
        values |= prefixed(pipeline.name, given)
    got = PipelineSim(bundle([sound, *mutants]), tmp_path).run(values)
    assert not differences(got, prefixed("sound", wanted))
    silent = [m.name for m in mutants if not differences(got, prefixed(m.name, wanted))]
    assert not silent


def test_rendering_is_reproducible_and_named_after_the_tensors():
    graph = tiny_venom().step
    one, two = (render_pipeline(graph, name="tiny") for _ in range(2))
    assert one.files == two.files
    text = one.files["tiny_ssm.sv"]
    assert (
        "module tiny_ssm (" in text
        and re.search(r"h_out_3_1\b", text)
        and "s12.[10..12]" in one.files["tiny.sv"]
    )
    assert (
        max(len(line) for name, t in one.files.items() if name.endswith(".sv") for line in t.splitlines())
        < 200
    )
    assert set(one.inputs) == {"sample", "h", "conv", "pool_num", "pool_den"}
    assert {following for _, following in graph.states} <= set(one.outputs)


def test_multipliers_are_shared():
    graph = tiny_venom().step
    counts = [render_pipeline(graph, name="tiny", interval=ii).stats["multipliers_dsp"] for ii in (1, 2, 4)]
    assert counts[1] <= counts[0] * 0.6 and counts[2] <= counts[0] * 0.4


def test_an_interval_that_is_not_offered():
    with pytest.raises(CodegenError, match="interval 3, expected one of 1, 2, 4, 8"):
        render_pipeline(tiny_venom().step, name="tiny", interval=3)


def test_yosys_reads_it(tmp_path):
    pytest.importorskip("pyosys", reason="pyosys is not installed")
    pipeline = render_pipeline(tiny_venom().step, name="tiny", interval=2)
    for name, text in pipeline.files.items():
        (tmp_path / name).write_text(text)
    sources = " ".join(name for name in pipeline.files if name.endswith(".sv"))
    commands = [f"read_verilog -sv {sources}", "hierarchy -check -top tiny", "proc", "check -assert", "stat"]
    said = run_yosys(commands, tmp_path, "read")
    assert "tiny_ssm" in said and "Found and reported 0 problems" in said
