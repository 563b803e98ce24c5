"""AXI4-Stream at the level of beats, on the sources, sinks and monitors of cocotbext-axi.

Windows of different channels interleave beat by beat and TLAST belongs to one channel's window, so a beat is the unit
here, not an AXI frame (`AxiStreamFrame` ends at every TLAST and cannot leave a window open). `define_stream` of
cocotbext-axi makes source, sink and monitor of such a stream; they take the same pause generators.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

import cocotb
from cocotb.triggers import FallingEdge, RisingEdge
from cocotbext.axi.stream import define_stream

SIGNALS = ["tdata", "tvalid", "tready", "tlast", "tuser", "tkeep", "tstrb"]

BeatBus, Beat, _Source, BeatSink, BeatMonitor = define_stream("Beat", signals=SIGNALS)


class BeatSource(_Source):
    """A source whose beats may ask for idle clocks before them (attribute `idle`); `pause` adds further ones."""

    async def _run(self) -> None:
        edge = RisingEdge(self.clock)
        bus, idle, asked = self.bus, 0, False
        fields = ("tdata", "tuser", "tlast", "tkeep", "tstrb")
        handles = [getattr(bus, name) for name in fields]
        while True:
            await edge
            if self.active_beat and not self.ready.value:
                continue  # the beat waits for its handshake
            beat = None
            if not self.queue.empty():
                if not asked:
                    idle, asked = self.queue._queue[0].idle, True
                if idle > 0:
                    idle -= 1
                elif not self.pause:
                    beat, asked = self.queue.get_nowait(), False
            if beat is not None:
                for handle, name in zip(handles, fields, strict=True):
                    handle.value = getattr(beat, name)
                if not self.active_beat:
                    self.valid.value = 1
                self.active = self.active_beat = True
                continue
            if self.active_beat:
                self.valid.value = 0
            self.active_beat = False
            self.active = not self.queue.empty()
            if not self.active:
                self.idle_event.set()
                self.active_event.clear()
                await self.active_event.wait()

    def _handle_reset(self, state) -> None:
        self.active_beat = False
        super()._handle_reset(state)


def gap_generator(probability: float, seed: int) -> Iterator[bool]:
    """For `set_pause_generator`: True with the given probability, in bursts of random length as real traffic has."""
    rng = random.Random(seed)
    while True:
        paused = rng.random() < probability
        for _ in range(rng.choice((1, 1, 2, 5))):
            yield paused


class AxisRules:
    """Watches the handshakes; `broken` lists what AXI4-Stream or the contracts do not allow.

    Input TREADY stays high while the device is out of reset (or comes every `interval` clocks). On the output, TVALID
    and the payload stay until TREADY.
    """

    PAYLOAD = ("tdata", "tuser", "tlast", "tkeep", "tstrb")

    def __init__(self, clock, reset_n, source_bus, sink_bus, interval: int = 1):
        self.clock, self.reset_n, self.input, self.output = clock, reset_n, source_bus, sink_bus
        self.broken: list[str] = []
        self.interval = interval
        cocotb.start_soon(self._input_ready() if interval == 1 else self._input_interval())
        cocotb.start_soon(self._output_stable())

    async def _input_ready(self) -> None:
        falls = FallingEdge(self.input.tready)
        while True:
            await falls
            if self.reset_n.value:
                self.broken.append("the input's TREADY fell outside reset: the device must never stall")

    async def _input_interval(self) -> None:
        """A device that takes a beat every few clocks is ready in exactly one clock of as many."""
        edge, waited = RisingEdge(self.clock), None
        while True:
            await edge
            if not self.reset_n.value:
                waited = None
            elif self.input.tready.value:
                if waited not in (None, self.interval - 1):
                    self.broken.append(f"the input's TREADY came after {waited + 1} clocks, expected {self.interval}")
                waited = 0
            elif waited is not None:
                waited += 1

    async def _output_stable(self) -> None:
        """Looks only at clocks in which a result waits."""
        edge, rises = RisingEdge(self.clock), RisingEdge(self.output.tvalid)
        offered = None
        while True:
            await edge
            if not self.reset_n.value or not self.output.tvalid.value:
                if offered is not None and self.reset_n.value:
                    self.broken.append("the output's TVALID fell before TREADY")
                offered = None
                await rises
                continue
            if self.output.tready.value:
                offered = None
                continue
            payload = [int(getattr(self.output, name).value) for name in self.PAYLOAD]
            if offered is not None and payload != offered:
                self.broken.append(f"the output changed from {offered} to {payload} while it waited for TREADY")
            offered = payload
