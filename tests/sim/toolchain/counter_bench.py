"""cocotb bench of tests/sim/toolchain/counter.sv, run inside the simulator by tests/sim/test_toolchain.py."""

import os

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, FallingEdge


@cocotb.test()
async def counts_and_cubes(dut):
    """The count follows enable, and the value that C++ returns is the cube of the count."""
    offset = int(os.environ.get("TOOLCHAIN_WRONG_BY", "0"))  # the mutation of the test
    dut.enable.value = 0
    dut.rst_n.value = 0
    Clock(dut.clk, 2, unit="ns").start()
    await ClockCycles(dut.clk, 3)
    await FallingEdge(dut.clk)
    dut.rst_n.value = 1
    expected = 0
    for cycle in range(40):
        enable = cycle % 3 != 0
        dut.enable.value = enable
        await FallingEdge(dut.clk)
        expected += enable
        assert int(dut.count.value) == expected
        assert int(dut.cube.value) == expected**3 + offset
