"""The scheduler on small circuits: exact clocks, least delays against a search of all schedules, state loops, folds."""

import itertools
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from hand_circuits import Sketch, every_cell

from venom_hw.codegen.errors import CodegenError
from venom_hw.codegen.rtl.circuit import Circuit
from venom_hw.codegen.rtl.registers import count_registers
from venom_hw.codegen.rtl.schedule import schedule
from venom_hw.codegen.rtl.strategies import Strategies

CLOCKS = Strategies().latency


def plain(*names):
    return [(name, 0, False) for name in names]


def test_operands_are_ready_when_read():
    plan = schedule(every_cell(np.random.default_rng(0)), CLOCKS)
    checked = 0
    for cell in plan.circuit.cells:
        for name in cell.inputs:
            if name in plan.ready:
                assert plan.ready[name] <= plan.start[cell.output.name], (name, cell.output.name)
                checked += 1
        if cell.kind not in ("input", "const"):
            assert plan.ready[cell.output.name] == plan.start[cell.output.name] + CLOCKS(cell)
    assert checked > 100
    for bus in plan.circuit.outputs:
        assert all(plan.ready.get(name, 0) <= plan.outputs[bus.name] for name in bus.elements)


def test_a_chain_takes_the_sum_of_its_latencies():
    b = Sketch()
    (x,) = b.input("x", 1, 8, True)
    y = b.add(plain(b.mul(x, x), x))  # 3 + 1
    b.rom("t", np.arange(1 << 17)[:, None] % 7)
    plan = schedule(b.build({"y": [b.lookup(y, "t")]}), CLOCKS)  # + 2
    assert plan.latency == 6
    assert plan.outputs == {"y": 6} and plan.inputs == {"x": 0}
    slow = Strategies(latencies={"add": 4, "lookup_bram": 1})
    assert schedule(plan.circuit, slow.latency).latency == 8


def test_a_state_is_read_just_in_time():
    b = Sketch()
    (x,) = b.input("x", 1, 8, True)
    (s,) = b.input("s", 1, 10, True)
    early = b.mul(b.mul(x, x), x)  # 6 clocks that have no need of the state
    y = b.clamp(b.add(plain(s, early)), -512, 511)
    circuit = b.build({"s_out": [y]})
    plan = schedule(circuit, CLOCKS, states={"s": "s_out"}, late=["s"])
    assert plan.inputs == {"x": 0, "s": 6} and plan.outputs == {"s_out": 8} and plan.loops == {"s": 2}
    assert schedule(circuit, CLOCKS).inputs["s"] == 0  # unless it is an input like others


def test_states_that_feed_each_other_share_their_distance():
    b = Sketch()
    (p,) = b.input("p", 1, 8, True)
    (q,) = b.input("q", 1, 8, True)
    p_out = b.clamp(b.add(plain(b.mul(q, q), p)), -128, 127)  # q to p_out: 5, p to p_out: 2
    q_out = b.clamp(p, -64, 63)  # p to q_out: 1
    circuit = b.build({"p_out": [p_out], "q_out": [q_out]})
    plan = schedule(circuit, CLOCKS, states={"p": "p_out", "q": "q_out"}, late=["p", "q"])
    # q is written 1 clock after p is read, and p at least 5 after q is read: 3 a turn for each.
    assert max(plan.loops.values()) == 3


def test_a_tensor_has_one_clock_unless_its_elements_depend_on_each_other():
    b = Sketch()
    x = b.input("x", 3, 8, True)
    early, late = b.add(plain(x[0], x[1])), b.mul(b.mul(x[0], x[1]), x[2])
    whole = {"tensor": "t", "whole": True}
    t = [b.clamp(early, -9, 9, index=0, **whole), b.clamp(late, -9, 9, index=1, **whole)]
    plan = schedule(b.build({"t": t}), CLOCKS)
    assert [plan.ready[name] for name in t] == [7, 7]
    chained = b.add(plain(t[1], t[0]), index=2, **whole)
    plan = schedule(b.build({"t": [*t, chained], "early": t[:1]}), CLOCKS)
    assert plan.ready[chained] == plan.ready[t[1]] + 1


def delay_bits(plan) -> int:
    return count_registers(plan).stats["delay_bits"]


@pytest.mark.parametrize("seed", range(6))
def test_delays_are_the_fewest_of_all_schedules(seed):
    rng = np.random.default_rng(seed)
    b = Sketch()
    pool = b.input("x", 2, 6, True)
    for _ in range(6):
        one, two = (pool[int(k)] for k in rng.integers(max(0, len(pool) - 4), len(pool), 2))
        pool.append(
            b.mul(one, two, "lut") if rng.random() < 0.3 else b.add([(one, 0, False), (two, 1, True)])
        )
    circuit = b.build({"y": [pool[-1], pool[-2]], "z": [pool[-3]]})
    plan = schedule(circuit, CLOCKS)
    cells = [c for c in plan.circuit.cells if c.kind != "input"]
    least, tried = np.inf, 0
    for starts in itertools.product(range(plan.latency), repeat=len(cells)):
        start = dict(zip((c.output.name for c in cells), starts, strict=True))
        ready = {n: 0 for bus in circuit.inputs for n in bus.elements}
        ready |= {c.output.name: start[c.output.name] + CLOCKS(c) for c in cells}
        if any(ready[i] > start[c.output.name] for c in cells for i in c.inputs):
            continue
        ends = {bus.name: max(ready[e] for e in bus.elements) for bus in circuit.outputs}
        if max(ends.values()) > plan.latency:
            continue
        tried += 1
        least = min(least, delay_bits(replace(plan, start=start, ready=ready, outputs=ends)))
    assert tried > 0 and delay_bits(plan) == least


def test_a_circuit_without_cells():
    b = Sketch()
    x = b.input("x", 2, 8, True)
    plan = schedule(b.build({"y": [x[1], b.const(3)]}), CLOCKS)
    assert plan.latency == 0 and plan.outputs == {"y": 0}
    assert schedule(b.build({"y": [b.const(3)]}), CLOCKS).latency == 0


def test_dead_cells_are_left_out():
    b = Sketch()
    x = b.input("x", 2, 8, True)
    b.mul(x[0], x[1])
    plan = schedule(b.build({"y": [b.add(plain(*x))]}), CLOCKS)
    assert [c.kind for c in plan.circuit.cells] == ["input", "input", "add"] and plan.latency == 1


def test_a_cell_before_its_operand_is_refused():
    b = Sketch()
    x = b.input("x", 2, 8, True)
    y = b.add(plain(b.add(plain(*x), name="sum"), x[0]), name="y")
    good = b.build({"y": [y]})
    bad = Circuit(good.name, tuple(reversed(good.cells)), good.inputs, good.outputs, good.roms)
    with pytest.raises(CodegenError, match="which no cell"):
        schedule(replace(bad, cells=tuple(c for c in bad.cells if c.output.name != "sum")), CLOCKS)


@pytest.mark.parametrize("interval", [2, 4, 8])
def test_products_and_tables_are_shared_over_the_interval(interval):
    b = Sketch()
    x = b.input("x", 9, 6, True)
    products = [b.mul(x[k], x[(k + 1) % 9], tensor="p", index=k, whole=True) for k in range(9)]
    b.rom("t", np.arange(64)[:, None] - 30)
    read = [b.lookup(v, "t", tensor="q", index=k, whole=True) for k, v in enumerate(x)]
    circuit = b.build({"p": products, "q": read})
    assert not schedule(circuit, CLOCKS).folds
    folds = schedule(circuit, CLOCKS, interval=interval).folds
    of = lambda kind: [len(f.slots) for f in folds if f.slots[0][0].kind == kind]  # noqa: E731
    assert len(of("mul")) == -(-9 // interval) and sum(of("mul")) == 9
    assert len(of("lookup")) == -(-9 // interval) and max(of("lookup")) == interval
