"""Saturations that set or reset their register: every pair of limits, in simulation and in LUTs."""

import itertools

import numpy as np
import pytest

from sim.pipeline_sim import PipelineSim
from tests.codegen.rtl.hand_circuits import random_inputs
from venom_hw.codegen.rtl.circuit import evaluate
from venom_hw.codegen.rtl.elaborate import elaborate
from venom_hw.codegen.rtl.emit import render_circuit
from venom_hw.codegen.rtl.strategies import Strategies
from venom_hw.datapath.fixed import FixedType, Overflow, Rounding
from venom_hw.datapath.graph import GraphBuilder


def saturations() -> GraphBuilder:
    """Inputs of several widths and signs, each requantised to narrower types, signed or not, symmetric or not."""
    b = GraphBuilder("clamps")
    outputs = {}
    targets = [(False, 1), (False, 2), (True, 1), (True, 2), (True, 5), (False, 7)]
    for signed, width in [(False, 3), (False, 9), (True, 8), (True, 14)]:
        x = b.input(f"x_{'us'[signed]}{width}", (1,), FixedType(signed, width, 2))
        for (to_signed, to_width), overflow in itertools.product(targets, Overflow):
            for rounding, frac in [(Rounding.HALF_EVEN, 0), (Rounding.FLOOR, 2)]:
                type_ = FixedType(to_signed, to_width, frac)
                outputs[f"y_{len(outputs)}"] = b.requantise(x, type_, rounding, overflow)
    return b.build(outputs)


@pytest.mark.parametrize("clamps", ["reset", "mux"])
def test_every_pair_of_limits(tmp_path, clamps):
    strategies = Strategies(clamps=clamps)
    circuit = elaborate(saturations(), strategies)
    values = random_inputs(np.random.default_rng(0), circuit, 400)
    pipeline = render_circuit(circuit, name="clamps", strategies=strategies)
    found, expected = PipelineSim(pipeline, tmp_path).run(values), evaluate(circuit, values)
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)


def test_each_limit_is_a_cell_of_its_own():
    circuit = elaborate(saturations())
    for cell in circuit.cells:
        if cell.kind == "clamp":
            source = circuit.signals()[cell.inputs[0]]
            lowest, highest = source.representable
            assert (cell.attrs["low"] > lowest) != (cell.attrs["high"] < highest), cell.output.name
