"""The serial head in Verilator: bits, throughput, latency, stalls, reset, and what it refuses."""

import re
from dataclasses import replace

import numpy as np
import pytest

from tests.codegen.rtl.head_bench import HeadBench, Stopped, golden
from tests.codegen.rtl.head_models import head_of, small_head, sums, with_inputs
from venom_hw.codegen.errors import CodegenError
from venom_hw.codegen.rtl.head import render_head
from venom_hw.codegen.rtl.strategies import Strategies

STALLS = [(0, 0), (90, 0), (0, 90), (60, 60), (99, 20), (20, 99)]
LOADABLE = ("energy_gain", "energy_offset", "logvar_offset")

OTHER = Strategies(tables="bram", products="lut", latencies={"clamp": 2, "lookup_bram": 3})

HEADS = {  # graph, interval asked for and got, strategies
    "tiny": (lambda: head_of("tiny"), 64, 16, None),
    "tiny, two lanes": (lambda: head_of("tiny"), 9, 8, OTHER),
    "ptsi": (lambda: head_of("ptsi"), 64, 64, None),
    "ptsi, loadable": (lambda: with_inputs(head_of("ptsi"), *LOADABLE), 40, 32, OTHER),
    "inhf": (lambda: head_of("inhf"), 100, 96, None),
    "odd sizes": (lambda: small_head(1, (5, 7, 3)), 12, 10, None),
    "one matrix": (lambda: small_head(2, (3,)), 6, 6, None),
    "more rows than columns": (lambda: small_head(3, (2, 11)), 13, 12, None),
}


@pytest.fixture(scope="module")
def build(tmp_path_factory):
    return tmp_path_factory.mktemp("build")


SLOW = ("ptsi, loadable", "inhf")
CHOSEN = [pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name for name in HEADS]


@pytest.fixture(scope="module", params=CHOSEN, ids=str)
def bench(request, tmp_path_factory, build):
    make, interval, expected, strategies = HEADS[request.param]
    graph = make()
    unit = render_head(graph, interval=interval, channel_bits=11, strategies=strategies)
    assert unit.interval == expected
    return HeadBench(unit, graph, tmp_path_factory.mktemp("head"), build=build)


def windows(graph, count: int, seed: int = 1):
    return sums(graph, count, seed), np.random.default_rng(seed).integers(0, 2048, count)


def test_every_window_comes_out_exact_whatever_the_stalls(bench):
    for seed, (wait_in, wait_out) in enumerate(STALLS):
        values, channels = windows(bench.graph, 700, seed)
        run = bench.run(values, channels, wait_in=wait_in, wait_out=wait_out, seed=seed)
        expected = golden(bench.graph, values, channels)
        np.testing.assert_array_equal(run.results, expected, err_msg=f"{wait_in} {wait_out}")


def test_a_window_every_interval_and_latency_as_stated(bench):
    values, channels = windows(bench.graph, 60)
    run = bench.run(values, channels)
    assert set(np.diff(run.taken)) == {bench.unit.interval}
    assert set(np.diff(run.given)) == {bench.unit.interval}
    values, channels = windows(bench.graph, 300)
    run = bench.run(values, channels, wait_in=98)  # at every phase of the frame, alone
    alone = np.flatnonzero(np.diff(run.offered, prepend=-9999) > 2 * bench.unit.interval)
    latency = (run.given - run.offered)[alone]
    assert latency.max() <= bench.unit.latency
    assert latency.max() > bench.unit.latency - bench.unit.interval // 3 - 2, "stated far too long"


def test_a_slow_consumer_costs_no_result_and_no_more_than_its_own_time(bench):
    values, channels = windows(bench.graph, 100)
    run = bench.run(values, channels, wait_out=50)  # much faster than a window an interval
    assert np.diff(run.taken).max() == bench.unit.interval


def test_a_reset_forgets_the_windows_under_way_and_nothing_else(bench):
    values, channels = windows(bench.graph, 40)
    run = bench.run(values, channels, wait_in=30, reset_at=17)
    before, taken = run.lost
    assert taken == 18
    assert len(run.results) < 40, "no window was under way"
    expected = golden(bench.graph, values, channels)
    after = len(run.results) - (40 - taken)
    np.testing.assert_array_equal(run.results, np.concatenate([expected[:after], expected[taken:]]))
    assert before <= after <= before + 1


def test_no_waiver_and_the_table_of_files(bench):
    for name, text in bench.unit.files.items():
        assert "lint_off" not in text, name
        assert re.fullmatch(r"\w+\.(sv|mem)", name)
        assert max(map(len, text.splitlines())) < 400 or name.endswith(".mem"), name
    assert list(bench.unit.files)[-1] == f"{bench.unit.name}.sv"
    assert sum(bench.unit.inputs.values()) == sum(
        bench.graph.numel(n.name) * n.type.width for n in bench.graph.inputs
    )


@pytest.fixture(scope="module")
def tiny():
    graph = head_of("tiny")
    return graph, render_head(graph, interval=9)


def change_memory(text: str, line: int, bit: int) -> str:
    lines = text.splitlines()
    lines[line] = f"{int(lines[line], 16) ^ 1 << bit:x}"
    return "\n".join(lines) + "\n"


MUTATIONS = {
    "a weight": ("head_a_product_weights.mem", lambda t: change_memory(t, 1, 2)),
    "a write left out": ("head_a_product_schedule.mem", lambda t: change_memory(t, next(
        i for i, word in enumerate(t.split()) if int(word, 16) & 1), 0)),
    "a sum never cleared": ("head_mlp_out_product.sv", lambda t: t.replace("first[lane] ? ", "1'b0 ? ")),
    "one vector instead of two": ("head_mlp_out_product.sv", lambda t: t.replace("frame - next_write_age", "1'b0")),
    "results a clock early": ("head.sv", lambda t: re.sub(
        r"wire done = (.*)'d(\d+);", lambda m: f"wire done = {m[1]}'d{int(m[2]) - 1};", t)),
    "no look at the room": ("head.sv", lambda t: t.replace("s_valid && room", "s_valid")),
    "a row not held": ("head.sv", lambda t: re.sub(r"if \(phase == \S+\) (mlp_out_product_0 <=)", r"\1", t)),
}  # fmt: skip


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_mutations_are_seen(tiny, tmp_path, build, mutation):
    graph, unit = tiny
    file, change = MUTATIONS[mutation]
    changed = change(unit.files[file])
    assert changed != unit.files[file]
    bench = HeadBench(replace(unit, files={**unit.files, file: changed}), graph, tmp_path, build=build, lint=False)
    values, channels = windows(graph, 300)
    expected = golden(graph, values, channels)
    assert any(differs(bench, values, channels, wait, expected) for wait in (0, 99))


def differs(bench, values, channels, wait_out, expected) -> bool:
    try:
        return not np.array_equal(bench.run(values, channels, wait_out=wait_out).results, expected)
    except Stopped:
        return True


def test_an_interval_that_cannot_be_kept_is_refused():
    with pytest.raises(CodegenError, match="'a1_product'.*take at least 32 clocks.*interval of 31"):
        render_head(head_of("ptsi"), interval=31)
    with pytest.raises(CodegenError, match="reading a window takes 18 clocks"):
        render_head(head_of("ptsi"), interval=16)


def test_an_output_that_is_no_word_is_refused():
    graph = head_of("tiny")
    with pytest.raises(CodegenError, match="output 'a'.*not one of 16"):
        render_head(replace(graph, outputs=(*graph.outputs, ("a", "mlp_out_product"))))
