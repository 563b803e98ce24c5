"""cocotb bench of boards/common/venom_dma_adapter.v, run by tests/boards/test_overlay.py."""

import os
import random

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, ReadOnly, RisingEdge


async def start(dut):
    for name in ("s_axis_dma_tvalid", "s_axis_core_tvalid", "m_axis_dma_tready", "s_axis_dma_tdata"):
        getattr(dut, name).value = 0
    for name in ("s_axis_dma_tkeep", "s_axis_dma_tlast", "s_axis_core_tkeep", "s_axis_core_tstrb",
                 "s_axis_core_tlast", "s_axis_core_tdata", "s_axis_core_tuser"):  # fmt: skip
        getattr(dut, name).value = 0
    dut.m_axis_core_tready.value = 1
    dut.packet_words.value = 1
    dut.aresetn.value = 0
    Clock(dut.aclk, 2, unit="ns").start()
    for _ in range(3):
        await FallingEdge(dut.aclk)
    dut.aresetn.value = 1


@cocotb.test()
async def words_of_the_driver_reach_the_core(dut):
    """Every valid word comes out once, in order, with its side channels, and the revisit distance holds."""
    words = np.load(os.environ["ADAPTER_WORDS"])
    revisit = int(os.environ["ADAPTER_REVISIT"])
    gaps = random.Random(1)
    await start(dut)
    seen = []

    async def core():
        clock = 0
        while True:
            await RisingEdge(dut.aclk)
            await ReadOnly()
            clock += 1
            if dut.m_axis_core_tvalid.value == 1:
                beat = (dut.m_axis_core_tdata, dut.m_axis_core_tuser, dut.m_axis_core_tlast)
                seen.append((clock, tuple(int(signal.value) for signal in beat)))

    cocotb.start_soon(core())
    await FallingEdge(dut.aclk)
    for word in words.tolist():
        while gaps.random() < 0.2:
            dut.s_axis_dma_tvalid.value = 0
            await FallingEdge(dut.aclk)
        dut.s_axis_dma_tvalid.value = 1
        dut.s_axis_dma_tdata.value = word
        assert int(dut.s_axis_dma_tready.value) == 1
        await FallingEdge(dut.aclk)
    dut.s_axis_dma_tvalid.value = 0
    for _ in range(3):
        await FallingEdge(dut.aclk)

    user_bits = int(dut.USER_BITS_IN.value)
    expected = [
        (word & 0xFFFFFFFF, word >> 32 & (1 << user_bits) - 1, word >> 48 & 1) for word in words.tolist() if word >> 63
    ]
    assert [beat for _, beat in seen] == expected
    latest = {}
    for clock, (_, user, _) in seen:
        channel = user & (1 << user_bits - 1) - 1
        assert clock - latest.get(channel, -revisit) >= revisit, f"channel {channel} came back too soon"
        latest[channel] = clock


@cocotb.test()
async def results_are_never_held_up(dut):
    """TREADY stays 1; a result without room is dropped and counted; TLAST ends packets of the given length."""
    gaps = random.Random(2)
    await start(dut)
    dut.packet_words.value = 5
    sent, received = [], []

    async def memory():
        while True:
            await FallingEdge(dut.aclk)
            dut.m_axis_dma_tready.value = gaps.random() < 0.6
            await RisingEdge(dut.aclk)
            if dut.m_axis_dma_tvalid.value == 1 and dut.m_axis_dma_tready.value == 1:
                received.append((int(dut.m_axis_dma_tdata.value), int(dut.m_axis_dma_tlast.value)))

    cocotb.start_soon(memory())
    for index in range(400):
        await FallingEdge(dut.aclk)
        valid = gaps.random() < 0.5
        dut.s_axis_core_tvalid.value = valid
        data, user = gaps.getrandbits(32), index % 16
        dut.s_axis_core_tdata.value = data
        dut.s_axis_core_tuser.value = user
        assert int(dut.s_axis_core_tready.value) == 1
        if valid:
            sent.append(1 << 63 | user << 32 | data)
    await FallingEdge(dut.aclk)
    dut.s_axis_core_tvalid.value = 0
    for _ in range(30):
        await FallingEdge(dut.aclk)

    dropped, results = int(dut.dropped.value), int(dut.results.value)
    assert dropped > 10 and results == len(received) and results + dropped == len(sent)
    remaining = iter(sent)
    assert all(word in remaining for word, _ in received), "results out of order, or changed"
    assert [last for _, last in received] == [int(number % 5 == 4) for number in range(len(received))]
