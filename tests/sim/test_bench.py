"""The bench on a toy network that needs no code generator: as C++ behind the DPI shell, and as RTL.

A correct device passes every scenario; each planted fault turns the right scenario red, with a message that names it.
"""

import re
from pathlib import Path

import numpy as np
import pytest
from toy_device import FACTS, ToyRtl, toy_golden

from sim.build import compile_library
from sim.device import DpiShell, device_from_dict
from sim.errors import BenchError
from sim.runner import run_device
from sim.scenarios import SCENARIOS

TOY = Path(__file__).parent / "toy.cpp"


@pytest.fixture(scope="module")
def bench(built, tmp_path_factory):
    """Function (device fields) -> BenchResult of the toy network."""

    def run(kind, *, scenarios=None, defines=(), **fields):
        out = tmp_path_factory.mktemp("bench")
        if kind is DpiShell:
            flags = ["-O1", *(f"-D{name}" for name in defines)]
            fields["library"] = str(compile_library([TOY], [], out / "toy.so", flags=flags))
        device = kind(**FACTS, trace=str(out / "trace.bin"), **fields)
        return run_device(device, toy_golden, out, built=built(device), scenarios=scenarios, progress=False)

    return run


@pytest.mark.parametrize("kind", [DpiShell, ToyRtl])
def test_correct_device_passes_every_scenario(bench, kind):
    result = bench(kind)
    assert result.passed, result.table()
    assert [s.name for s in result.scenarios] == [n for n in SCENARIOS if n != "pulses"]
    for scenario in result.scenarios:
        assert scenario.state_words == 4 * scenario.used_beats > 0, scenario
    by_name = {s.name: s for s in result.scenarios}
    assert by_name["interleaved"].results == by_name["interleaved"].windows > 0
    assert by_name["overlong"].beats > by_name["overlong"].used_beats
    assert by_name["overflow"].results < by_name["overflow"].windows


FAULTS_IN_CPP = [  # define, scenario, what the message says
    ("WRONG_NO_CLEAR", "back_to_back", r"channel \d, window \d+, sample 0: state h\[0\] is -?\d+, expected -?\d+"),
    ("WRONG_LOST_WRITE", "interleaved", r"channel \d, window \d+, sample 3: state tap\[0\] is -?\d+, expected"),
    ("WRONG_NO_LIMIT", "overlong", r"overlong_count is 0, expected 4"),
    ("WRONG_RESULT", "lengths", r"result \d+, channel \d, window \d+: energy is \d+, expected \d+"),
    ("WRONG_RESET", "reset", r"ignored_count is 0, expected \d+"),
]


@pytest.mark.parametrize(("define", "scenario", "message"), FAULTS_IN_CPP)
def test_wrong_cpp_is_found(bench, define, scenario, message):
    result = bench(DpiShell, defines=[define], scenarios=[scenario])
    assert not result.passed and result.mismatches > 0
    assert any(re.search(message, d) for d in result.scenarios[0].differences), result.table()


FAULTS_IN_RTL = [  # plusarg, scenario, what the message says
    ("stall", "interleaved", "input's TREADY fell"),
    ("retract", "gaps", "TVALID fell before TREADY"),
    ("unstable", "gaps", "changed from .* while it waited"),
    ("tlast", "lengths", "TLAST is 0, expected 1"),
    ("abandoned", "restart", r"abandoned_count is 0, expected \d+"),
    ("overlong", "overlong", r"overlong_count is 0, expected 4"),
    ("dropped", "overflow", r"dropped_count is 0, expected 5"),
    ("revisit", "revisit", "revisit_error is 0, expected 1"),
    ("reset", "reset", r"ignored_count is \d+, expected \d+"),
    ("stale", "reset", r"segment 3: \d+ results, expected \d+"),
]


@pytest.mark.parametrize(("fault", "scenario", "message"), FAULTS_IN_RTL)
def test_wrong_rtl_is_found(bench, fault, scenario, message):
    result = bench(ToyRtl, fault=fault, scenarios=[scenario])
    assert not result.passed
    assert any(re.search(message, d) for d in result.scenarios[0].differences), result.table()


def test_given_pulses_are_driven(bench, tmp_path, built):
    pulses = np.arange(3 * 12 * 2).reshape(3, 12, 2)
    library = compile_library([TOY], [], tmp_path / "toy.so")
    device = DpiShell(**FACTS, trace=str(tmp_path / "trace.bin"), library=str(library))
    result = run_device(
        device, toy_golden, tmp_path, built=built(device), pulses=pulses, scenarios=["pulses"], progress=False
    )
    assert result.passed and result.windows == 3 and result.scenarios[0].used_beats == 36
    assert (tmp_path / "results.json").exists()


def test_unknown_scenario_is_named(tmp_path):
    device = DpiShell(**FACTS)
    with pytest.raises(BenchError, match="'nonsense' does not exist; scenarios: interleaved, "):
        run_device(device, toy_golden, tmp_path, scenarios=["nonsense"], progress=False)


def test_pulses_of_a_wrong_shape_are_refused(tmp_path):
    with pytest.raises(BenchError, match=r"shape \(5, 4, 2\); expected \(n >= 1, 12, 2\)"):
        run_device(DpiShell(**FACTS), toy_golden, tmp_path, pulses=np.zeros((5, 4, 2), int), progress=False)


def test_device_survives_json():
    device = DpiShell(**FACTS, library="x.so")
    assert device_from_dict(device.to_dict()).words == device.words == 4


def test_missing_library_is_reported(bench, built, tmp_path):
    device = DpiShell(**FACTS, trace=str(tmp_path / "t.bin"), library=str(tmp_path / "absent.so"))
    with pytest.raises(BenchError, match="absent.so: cannot open shared object file"):
        run_device(device, toy_golden, tmp_path, built=built(device), scenarios=["lengths"], progress=False)

