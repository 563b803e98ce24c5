"""The estimated area of small graphs whose area is known by hand."""

import numpy as np
import pytest

from venom_hw.datapath.fixed import FixedType, Rounding
from venom_hw.datapath.graph import GraphBuilder
from venom_hw.tradeoff.area import estimate_area


def build(make, *, width=8, shape=(4,), max_steps=1):
    """Area of a graph with one input ``x`` (s8.0 by default); ``make(builder, x)`` gives its output."""
    b = GraphBuilder("g", max_steps=max_steps)
    x = b.input("x", shape, FixedType(True, width, 0))
    return estimate_area(b.build({"y": make(b, x)}))


def weights(b, x, matrix):
    return b.constmatmul(x, np.array(matrix, np.int64), FixedType(True, 8, 0))


def test_powers_of_two_are_wires_and_other_weights_adders():
    assert build(lambda b, x: weights(b, x, [[4, 0, 0, 0], [0, 0, -2, 0]])).luts in (0, 9)  # a negation at most
    three = build(lambda b, x: weights(b, x, [[3, 0, 0, 0]])).lut["matrices"]
    seven = build(lambda b, x: weights(b, x, [[3, 0, 0, 0], [0, 5, 3, 0]])).lut["matrices"]
    assert 8 <= three <= 11 < seven


def test_an_adder_counts_the_bits_that_overlap():
    def add(frac):
        return lambda b, x: b.add(x, b.input("z", (4,), FixedType(True, 8, frac)))

    assert build(add(0)).lut["adders"] == 4 * 9
    # z = 8 bits below 2^3: three of its bits pass through beside the adder
    assert build(add(3)).lut["adders"] == 4 * 9
    assert build(add(-4)).lut["adders"] == 4 * 9  # x's low four bits pass through, the sum has 13


def test_a_reduction_is_a_tree():
    total = build(lambda b, x: b.reduce(x, 0)).lut["adders"]
    assert total == 9 + 9 + 10


def test_saturation_costs_where_the_bounds_leave_it_something_to_do():
    free = build(lambda b, x: b.requantise(x, FixedType(True, 8, 0)))
    assert free.luts == 0
    narrow = build(lambda b, x: b.requantise(x, FixedType(True, 6, 0)))
    assert narrow.lut["saturation"] == 4 * 2 and narrow.lut["rounding"] == 0


def test_floor_is_free_and_half_even_is_not():
    def rounded(rounding, bias):
        def make(b, x):
            y = b.mul(x, b.input("z", (4,), FixedType(True, 6, 0)))
            y = b.add(y, b.constant(np.array([1, 2, 3, 5]), FixedType(True, 8, 0))) if bias else y
            return b.requantise(y, FixedType(True, 8, -6), rounding=rounding)

        return build(make).lut["rounding"]

    assert rounded(Rounding.FLOOR, False) == rounded(Rounding.FLOOR, True) == 0
    assert rounded(Rounding.HALF_EVEN, True) == 4 * 2  # the half hides in the bias; ties remain
    assert rounded(Rounding.HALF_EVEN, False) == 4 * (2 + 9)


@pytest.mark.parametrize(("common", "varied", "dsp"), [(11, 8, 32), (12, 8, 64), (9, 9, 32), (18, 5, 64)])
def test_two_products_share_a_multiplier_when_they_fit(common, varied, dsp):
    def outer(b, x):
        c = b.input("c", (16, 1), FixedType(True, common, 0))
        v = b.input("v", (1, 4), FixedType(True, varied, 0))
        return b.mul(c, v)

    area = build(outer)
    assert (area.dsp, area.dsp_packed) == (64, dsp)


def test_tables_of_one_address_lie_side_by_side_and_look_ups_of_one_table_share_ports():
    rng = np.random.default_rng(0)

    def wide(bits, columns):
        def make(b, x):
            code = b.reshape(x, (4, 1))
            entries = rng.integers(0, 1 << bits, (256, 4, columns))
            entries[0], entries[1] = 0, (1 << bits) - 1
            return b.table(code, entries, FixedType(False, bits, 8))

        return build(make).table_bram18

    assert wide(8, 4) == 4 * 1 and wide(9, 4) == 4 * 1 and wide(10, 4) == 4 * 2  # 36 bits a half block, 256 deep
    shared = build(lambda b, x: b.table(x, np.arange(256) % 200, FixedType(False, 8, 8)))
    assert shared.table_bram18 == 2


def test_constant_upper_bits_of_a_table_are_not_stored():
    """1 - g of a decay of at least one unit: the stored bits are those that vary."""

    def make(smallest):
        def table(b, x):
            g = np.maximum(np.arange(256) % 16, smallest).reshape(256, 1, 1) * np.ones((1, 1, 9), np.int64)
            entries = (1 << 12) - np.broadcast_to(g, (256, 1, 9)).astype(np.int64)
            return b.table(b.reshape(x, (1, 1)), entries, FixedType(False, 13, 12))

        return build(table, shape=(1,)).table_bram18

    assert make(1) == 1 and make(0) == 4  # nine columns of 4 bits, or of 13


def test_states_are_counted_in_half_blocks_of_18_bits():
    b = GraphBuilder("g", max_steps=4)
    x = b.input("x", (4,), FixedType(True, 8, 0))
    h = b.state("h", (4,), FixedType(True, 10, 0))
    b.next_state(h, b.requantise(b.add(h, x), FixedType(True, 10, 0)))
    area = estimate_area(b.build({"y": h}))
    assert area.state_bits == {"h": 40}
    assert area.bram36(2048) == 3 and area.bram36(1024) == 2  # 3 memories of 18 bits, 1024 deep, twice or once
