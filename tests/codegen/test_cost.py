"""Counts of operations of small graphs whose costs are known."""

import numpy as np
from tiny_venom import tiny_venom

from venom_hw.codegen.cost import estimate, graph_cost
from venom_hw.datapath.fixed import FixedType
from venom_hw.datapath.graph import GraphBuilder

S8 = FixedType(True, 8, 4)


def test_counts():
    b = GraphBuilder("g")
    x = b.input("x", (4,), S8)
    b.stage = "a"
    y = b.requantise(b.constmatmul(x, np.array([[1, 2, 3, 0], [0, 0, -4, 5]]), S8), S8)
    b.stage = "b"
    z = b.mul(y, y)
    t = b.table(y, np.zeros((256, 2), int), FixedType(False, 3, 0))
    total = b.reduce(b.add(z, t), 0)
    cost = graph_cost(b.build({"total": total}))
    assert (
        cost["a"]["multipliers_constant"] == 2
        and cost["a"]["adders"] == 2 + 1
        and cost["a"]["roundings"] == 2
    )
    assert cost["b"]["multipliers_variable"] == 2 and cost["b"]["adders"] == 2 + 1
    assert cost["b"]["tables"] == 2 and cost["b"]["table_bits"] == 2 * 256 * 3
    assert cost["total"]["adders"] == 6


def test_estimate_of_the_tiny_network():
    datapath = tiny_venom()
    cost = estimate(datapath, channels=10, fifo_depth=4, head_interval=8)
    bits = 8 * 12 + 8 * 8 + 4 * datapath.step["pool_num"].type.width + datapath.step["pool_den"].type.width
    assert cost["state_words"] == 21
    assert cost["state_bits_per_channel"] == bits + 1 + 4 and cost["state_bits"] == 10 * (bits + 5)
    assert cost["step"]["ssm"]["multipliers_variable"] == 4 + 8 + 8  # delta*xa, g*h, dx*B
    assert cost["multipliers"]["variable"] == cost["step"]["total"]["multipliers_variable"] + 1
