"""The bench of one device under test: source, sink, monitor, rules and scoreboard around its AXI4-Stream ports."""

from __future__ import annotations

import random

from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, FallingEdge, RisingEdge

from sim.build import CLOCK_NS
from sim.case import Case, Expected, Segment
from sim.device import Device
from sim.scoreboard import Result, Score, Scoreboard
from sim.streams import AxisRules, Beat, BeatBus, BeatMonitor, BeatSink, BeatSource, gap_generator

RESET_CLOCKS = 4
SETTLE_CLOCKS = 8
"""Clocks after the last expected result, in which a surplus one would show."""


class TB:
    """Plays cases on a device and scores them.

    Args:
        dut: the cocotb handle of the device's top.
        device: what the bench has to know of it (ports and names are the same for all, `sim/README.md`).
    """

    def __init__(self, dut, device: Device):
        self.dut, self.device = dut, device
        self.clock, self.reset_n = dut.ap_clk, dut.ap_rst_n
        source_bus, sink_bus = BeatBus.from_prefix(dut, "s_axis"), BeatBus.from_prefix(dut, "m_axis")
        reset = {"reset": self.reset_n, "reset_active_level": False}
        self.reset_n.value = 0
        self.source = BeatSource(source_bus, self.clock, **reset)
        self.sink = BeatSink(sink_bus, self.clock, **reset)
        self.monitor = BeatMonitor(sink_bus, self.clock, **reset)
        self.rules = AxisRules(self.clock, self.reset_n, source_bus, sink_bus, device.interval)
        self.trace = device.state_trace(dut)
        self.scoreboard = Scoreboard(device.tensors)
        self.counters: dict[str, int] | None = {}  # what the counters must show, since the last reset
        self.flags: dict[str, int] = {}
        Clock(self.clock, CLOCK_NS, unit="ns").start()

    async def reset(self) -> None:
        """A synchronous reset; drops what waits in source and sink."""
        await FallingEdge(self.clock)
        self.reset_n.value = 0
        self.source.clear()
        await ClockCycles(self.clock, RESET_CLOCKS)
        await FallingEdge(self.clock)
        self.reset_n.value = 1
        self.counters = {}
        await RisingEdge(self.clock)

    async def run(self, case: Case) -> Score:
        """Play all segments of a case."""
        score = Score()
        rng = random.Random(case.seed)
        if case.input_gap:
            self.source.set_pause_generator(gap_generator(case.input_gap, rng.randrange(2**31)))
        if case.output_gap:
            self.sink.set_pause_generator(gap_generator(case.output_gap, rng.randrange(2**31)))
        for k, (segment, expected) in enumerate(zip(case.segments, case.expected, strict=True)):
            if segment.reset:
                await self.reset()
            one = Score(prefix=f"segment {k}: " if len(case.segments) > 1 else "")
            await self.play(segment, expected, one, rng)
            score.add(one)
        for message in self.rules.broken:
            score.fail(message)
        return score

    async def play(self, segment: Segment, expected: Expected, score: Score, rng: random.Random) -> None:
        """Play one segment and compare."""
        latency, results = self.device.latency, len(expected.energy) - segment.dropped
        self._discard()
        self._expect_counters(segment, expected)
        if segment.closed_sink:
            self.sink.pause = True
            await ClockCycles(self.clock, SETTLE_CLOCKS)
        self._send(segment, rng)
        await self.source.wait()
        if segment.closed_sink:
            await ClockCycles(self.clock, latency + SETTLE_CLOCKS)
            self._check_counters(score)
        if not (segment.closed_sink and segment.cut):
            self.sink.pause = False
        if not segment.cut:
            await self._drain(results)
        await FallingEdge(self.clock)
        self._check_counters(score)
        if segment.cut:
            self.reset_n.value = 0
            await ClockCycles(self.clock, 2)
            self.sink.pause = False
        received = self._received()
        records = self.trace.take() if self.trace is not None else None
        if segment.compare:
            if records is not None:  # first: a wrong state comes before the wrong result that it makes
                self.scoreboard.states(score, expected, records, cut=latency if segment.cut else 0)
            missing = 0 if not segment.cut else results if segment.closed_sink else latency
            self.scoreboard.results(score, expected, received, lost=segment.dropped, cut=missing)

    def _send(self, segment: Segment, rng: random.Random) -> None:
        """Queue the beats; TKEEP and TSTRB, which the device ignores, are noise."""
        stimulus = segment.stimulus
        columns = (stimulus.tdata, stimulus.tuser, stimulus.last, stimulus.idle)
        for tdata, tuser, last, idle in zip(*(c.tolist() for c in columns), strict=True):
            noise = rng.getrandbits(8)
            beat = Beat(tdata=tdata, tuser=tuser, tlast=int(last), tkeep=noise & 15, tstrb=noise >> 4)
            beat.idle = idle
            self.source.send_nowait(beat)

    async def _drain(self, results: int) -> None:
        """Until the results due have come, or the device has had time enough; then a little longer."""
        slack = self.device.latency + SETTLE_CLOCKS
        patience = slack + 20 * results
        while self.monitor.count() < results and patience > 0:
            await ClockCycles(self.clock, SETTLE_CLOCKS)
            patience -= SETTLE_CLOCKS
        await ClockCycles(self.clock, slack)

    def _discard(self) -> None:
        self.monitor.clear()
        self.sink.clear()
        if self.trace is not None:
            self.trace.take()

    def _received(self) -> list[Result]:
        beats = []
        while not self.monitor.empty():
            beat = self.monitor.recv_nowait()
            beats.append(Result(*(int(getattr(beat, n)) for n in ("tdata", "tuser", "tlast", "tkeep", "tstrb"))))
        return beats

    def _expect_counters(self, segment: Segment, expected: Expected) -> None:
        """What the counters must show after a segment; unknown, until a reset, once the protocol was broken."""
        if segment.compare and self.counters is not None:
            for name, count in {**expected.counters, "dropped_count": segment.dropped}.items():
                self.counters[name] = self.counters.get(name, 0) + count
        else:
            self.counters = None
        self.flags = {"revisit_error": int(segment.revisit_error)}

    def _check_counters(self, score: Score) -> None:
        found = {name: int(getattr(self.dut, name).value) for name in self.device.counters}
        self.scoreboard.counters(score, found, {**(self.counters or {}), **self.flags})
