"""The fast golden model against the reference executor: every state word after every sample, every output."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.datapath.networks import small_recurrent
from tests.datapath.test_native import needs_compiler
from venom_hw.datapath import DatapathError, FixedType, GraphBuilder
from venom_hw.datapath.golden import Golden, run_by_step
from venom_hw.datapath.passes.hoist import hoist
from venom_hw.datapath.reference import initial_states, run_step

ENGINES = ["numpy", pytest.param("native", marks=needs_compiler)]


def windows(rng, step, count, length):
    node = step.inputs[0]
    return rng.integers(node.type.lo, node.type.hi + 1, (count, length, *node.shape))


@settings(max_examples=25)
@given(st.integers(0, 2**32), st.booleans(), st.integers(1, 24), st.integers(1, 9))
def test_golden_is_the_reference(seed, narrow_state, length, count):
    rng = np.random.default_rng(seed)
    step, head = small_recurrent(rng, narrow_state=narrow_state)
    samples = windows(rng, step, count, length)
    expected = run_by_step(step, samples)
    result = Golden(step, head, threads=1, engine="numpy").run(samples, trace=True)
    for name in (*dict(step.states), *dict(step.outputs)):
        assert np.array_equal(result.trace[name], np.stack(expected[name], axis=1)), name
    finals = {name: expected[name][-1] for name in dict(step.states)}
    outputs = run_step(head, {n.name: finals[n.name] for n in head.inputs}, {}).outputs
    for name in outputs:
        assert np.array_equal(result.outputs[name], outputs[name]), name


@settings(max_examples=15)
@given(st.integers(0, 2**32))
def test_windows_of_any_length_and_their_saturations(seed):
    rng = np.random.default_rng(seed)
    step, head = small_recurrent(rng, narrow_state=True)
    samples, lengths = windows(rng, step, 7, 24), rng.integers(1, 25, 7)
    result = Golden(step, head, threads=2, engine="numpy").run(samples, lengths)
    saturations = {}
    for i, length in enumerate(lengths):
        states = initial_states(step, 1)
        for t in range(length):
            one = run_step(step, {"sample": samples[i : i + 1, t]}, states)
            states = one.states
            for name, count in one.saturations.items():
                saturations[name] = saturations.get(name, 0) + count
        for name, value in states.items():
            assert np.array_equal(result.states[name][i], value[0]), (name, i, length)
    saturated = {k: v for k, v in saturations.items() if v}
    assert {k: v for k, v in result.saturations.items() if not k.startswith("head.")} == saturated
    assert saturated, "the state of this network is made narrow so that something saturates"


@pytest.mark.parametrize("engine", ENGINES)
def test_many_windows_cross_chunks_and_blocks(engine):
    rng = np.random.default_rng(3)
    step, head = small_recurrent(rng)
    samples = windows(rng, step, 1100, 24)
    result = Golden(step, head, engine=engine).run(samples)
    expected = run_by_step(step, samples)
    for name in dict(step.states):
        assert np.array_equal(result.states[name], expected[name][-1]), name


def test_the_hoist_leaves_only_the_recurrence_in_the_loop():
    step, _ = small_recurrent(np.random.default_rng(0))
    plan = hoist(step)
    assert plan.recurrent == ("h",)
    assert plan.delays["conv"].source == "r" and plan.delays["conv"].depth == 2
    assert set(plan.sums) == {"pool_num", "pool_den"}
    loop = {n.name for n in plan.loop}
    assert "h_out" in loop and not loop & {"r", "u", "xa", "gate", "weight", "feature"}
    everything = [n.name for n in (*plan.before, *plan.loop, *plan.after)]
    assert len(everything) == len(set(everything))


@pytest.mark.parametrize("engine", ENGINES)
def test_a_state_fed_by_the_recurrence_stays_in_the_loop(engine):
    """Two recurrences in a row: the second one's delay line holds values of the first."""
    b = GraphBuilder("two", max_steps=6)
    x = b.input("x", (2,), FixedType(True, 6, 0))
    h_type = FixedType(True, 8, 0)
    h = b.state("h", (2,), h_type)
    h_out = b.requantise(b.add(h, x), h_type, name="h_out")
    b.next_state(h, h_out)
    line = b.state("line", (2, 2), h_type)
    whole = b.concat([line, b.reshape(h_out, (1, 2))], 0)
    b.next_state(line, b.slice(whole, 0, 1, 3, name="line_out"))
    k = b.state("k", (2,), h_type)
    b.next_state(k, b.requantise(b.sub(b.reduce(whole, 0), k), h_type, name="k_out"))
    step = b.build({})
    assert hoist(step).recurrent == ("h", "line", "k")
    samples = windows(np.random.default_rng(0), step, 5, 6)
    expected = run_by_step(step, samples)
    trace = Golden(step, engine=engine).run(samples, trace=True).trace
    for name in ("h", "line", "k"):
        assert np.array_equal(trace[name], np.stack(expected[name], axis=1))


class TestErrors:
    step, head = small_recurrent(np.random.default_rng(0))

    def test_too_long(self):
        with pytest.raises(DatapathError, match="windows of 25 samples; the accumulators are proven for 1..24"):
            Golden(self.step).run(np.zeros((1, 25, 2), int))

    def test_bad_lengths(self):
        with pytest.raises(DatapathError, match="lengths must be 2 integers in 1..4"):
            Golden(self.step).run(np.zeros((2, 4, 2), int), np.array([0, 4]))

    def test_samples_out_of_range(self):
        with pytest.raises(DatapathError, match="leaves s8.0"):
            Golden(self.step).run(np.full((1, 4, 2), 300))
