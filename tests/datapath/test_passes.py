"""Each pass leaves every integer as it was."""

import numpy as np

from tests.datapath.networks import small_recurrent
from venom_hw.datapath.golden import run_by_step
from venom_hw.datapath.passes.factor_decay import factor_decay


def test_factor_decay_keeps_every_state_and_output():
    rng = np.random.default_rng(5)
    step, _ = small_recurrent(rng)
    factored = factor_decay(step)
    assert [n.op for n in factored.nodes].count("sub") == [n.op for n in step.nodes].count("sub") - 1
    samples = rng.integers(-128, 128, (20, 24, 2))
    before, after = run_by_step(step, samples), run_by_step(factored, samples)
    assert before.keys() == after.keys()
    for name in before:
        assert np.array_equal(before[name], after[name]), name


def test_factor_decay_leaves_other_differences_alone():
    from venom_hw.datapath import FixedType, GraphBuilder

    b = GraphBuilder("plain")
    x = b.input("x", (3,), FixedType(True, 6, 2))
    y = b.sub(x, b.mul(x, x))
    graph = b.build({"y": y})
    assert factor_decay(graph) is graph
