"""cocotb: calibration through AXI4-Lite, then the case on the bench. Reads VENOM_CALIBRATION beside the bench's own."""

import json
import os
from pathlib import Path

import cocotb
from cocotb.triggers import ClockCycles
from cocotbext.axi import AxiLiteBus, AxiLiteMaster, AxiResp

from sim.build import BENCH_VARIABLE
from sim.case import load_case
from sim.device import device_from_dict
from sim.tb import TB

BENCH = json.loads(os.environ[BENCH_VARIABLE])
ACCESSES = json.loads(os.environ["VENOM_CALIBRATION"])
"""before: (address, word, accepted) written first; partial: (address, half a word); reads: (address, word)."""


async def write(bus: AxiLiteMaster, accesses, problems: list[str]) -> None:
    for address, word, ok in accesses:
        answer = await bus.write(address, (word & 0xFFFFFFFF).to_bytes(4, "little"))
        if (answer.resp == AxiResp.OKAY) != ok:
            problems.append(f"write to {address:#x}: response {answer.resp!r}")


@cocotb.test()
async def calibrated(dut):
    device = device_from_dict(BENCH["device"])
    case = load_case(Path(BENCH["cases"][0]))
    tb = TB(dut, device)
    bus = AxiLiteMaster(AxiLiteBus.from_prefix(dut, "s_axi"), dut.ap_clk, dut.ap_rst_n, reset_active_level=False)
    problems: list[str] = []
    await tb.reset()
    await ClockCycles(dut.ap_clk, 4)
    await write(bus, ACCESSES["before"], problems)
    for address, strobed in ACCESSES["partial"]:
        answer = await bus.write(address, strobed.to_bytes(2, "little"))
        if answer.resp != AxiResp.SLVERR:
            problems.append(f"write of two bytes to {address:#x}: response {answer.resp!r}, expected SLVERR")
    score = await tb.run(case)
    for address, word in ACCESSES["reads"]:
        found = int.from_bytes((await bus.read(address, 4)).data, "little")
        if found != word:
            problems.append(f"read of {address:#x}: {found:#x}, expected {word:#x}")
    report = {
        "name": case.name, "about": case.about, "windows": 0, "beats": 0, "used_beats": score.used_beats,
        "results": score.results, "state_words": score.state_words, "cycles": 0, "seconds": 0.0,
        "mismatches": score.mismatches + len(problems), "differences": problems + score.differences,
    }  # fmt: skip
    (Path(BENCH["reports"]) / f"{Path(BENCH['cases'][0]).stem}.json").write_text(json.dumps(report))
