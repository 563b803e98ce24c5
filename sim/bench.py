"""The cocotb tests, run inside the simulator: one for each case file. Started by `sim.build.simulate`."""

import json
import os
import time
from pathlib import Path

import cocotb
from cocotb.utils import get_sim_time

from sim.build import BENCH_VARIABLE, CLOCK_NS
from sim.case import load_case
from sim.device import device_from_dict
from sim.tb import TB

_BENCH = json.loads(os.environ[BENCH_VARIABLE])
DEVICE = device_from_dict(_BENCH["device"])


@cocotb.test()
@cocotb.parametrize(case_file=_BENCH["cases"])
async def scenario(dut, case_file: str) -> None:
    """Play the case; write its report; fail with the first differences."""
    case = load_case(Path(case_file))
    tb = TB(dut, DEVICE)
    began, clock = time.perf_counter(), get_sim_time("ns")
    score = await tb.run(case)
    report = {
        "name": case.name,
        "about": case.about,
        "windows": sum(len(e.energy) for e in case.expected),
        "beats": sum(len(s.stimulus) for s in case.segments),
        "used_beats": score.used_beats,
        "results": score.results,
        "state_words": score.state_words,
        "mismatches": score.mismatches,
        "differences": score.differences,
        "cycles": round((get_sim_time("ns") - clock) / CLOCK_NS),
        "seconds": round(time.perf_counter() - began, 3),
    }
    (Path(_BENCH["reports"]) / f"{Path(case_file).stem}.json").write_text(json.dumps(report, indent=1))
    assert score.mismatches == 0, "; ".join(score.differences)
