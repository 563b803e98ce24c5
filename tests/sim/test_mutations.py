"""Mutants of generated C++: the bench is green on the project as generated, and red on each single fault in it.

Each mutant changes one place of the generated text, as a wrong template, a wrong constant or a wrong compiler would;
only the file that it is in is compiled again.
"""

import re
import shutil

import numpy as np
import pytest
from small_network import small_datapath

from sim.hls_bench import compile_project, dpi_device, run_bench
from venom_hw.boards import load_board
from venom_hw.codegen.hls_project import load_project, render_project
from venom_hw.codegen.stimulus import schedule
from venom_hw.datapath.reference import initial_states, run_step

SHELL = {"fifo_depth": 8, "latency": 10}  # as the toy network's: one verilated shell serves both


@pytest.fixture(scope="module")
def network():
    return small_datapath()


@pytest.fixture(scope="module")
def project(network, tmp_path_factory):
    return render_project(
        network, load_board("rfsoc4x2"), tmp_path_factory.mktemp("project"), channels=4, revisit=3, name="small"
    )


@pytest.fixture(scope="module")
def bench(network, project, built, builds, tmp_path_factory):
    """Function (mutate or None) -> BenchResult; mutate(src folder) changes the sources."""

    def run(mutate=None):
        out = tmp_path_factory.mktemp("mutant")
        mutant = project
        if mutate:
            shutil.copytree(project.folder, out / "project")
            mutant = load_project(out / "project")
            mutate(out / "project" / "src")
        objects = builds / "objects"
        library = compile_project(mutant, out / "probe.so", objects=objects, optimise="-O0")
        shell = built(dpi_device(mutant, library, out / "trace", **SHELL))
        return run_bench(
            mutant, network, out, **SHELL, built=shell, objects=objects, optimise="-O0", progress=False
        )

    return run


def test_generated_project_is_green(bench, project, network):
    result = bench()
    assert result.passed, result.table()
    assert result.results > 100
    assert result.state_words == network.state_words * sum(s.used_beats for s in result.scenarios)


def replace(file, pattern, by, count=1):
    """Mutate: the first match of the pattern in a source file."""

    def mutate(source):
        text = (source / file).read_text()
        assert re.search(pattern, text), f"{file} has no {pattern}: the mutant needs another place"
        (source / file).write_text(re.sub(pattern, by, text, count=count))

    return mutate


def flip_table_entry(table, code):
    """Mutate: the lowest bit of the table's entry for a code."""

    def mutate(source):
        file = source / "step_tables.h"
        text = file.read_text()
        body = re.search(rf"\b{table}\[\d+\]\s*=\s*\{{([^}}]*)\}}", text)
        numbers = list(re.finditer(r"-?\d+", body.group(1)))
        entry = numbers[code]
        begin = body.start(1) + entry.start()
        flipped = str(int(entry.group()) ^ 1)
        file.write_text(text[:begin] + flipped + text[begin + len(entry.group()) :])

    return mutate


@pytest.fixture(scope="module")
def rare_code(network):
    """A code of `u` that typical pulses reach, but seldom."""
    rng = np.random.default_rng(3)
    decay = np.exp(-np.arange(14) / 5)[:, None]
    samples = np.rint(decay * rng.uniform(-20000, 20000, (64, 1, 2))).astype(int)
    states, seen = initial_states(network.step, 64), []
    for t in range(14):
        result = run_step(network.step, {"sample": samples[:, t]}, states)
        states = result.states
        seen.append(result.tensors["u"].ravel())
    codes, counts = np.unique(np.concatenate(seen), return_counts=True)
    return int(codes[np.argsort(counts)[len(counts) // 2]])


def test_flipped_table_entry_is_found(bench, rare_code):
    result = bench(flip_table_entry("xa_table", rare_code + 128))
    assert not result.passed
    assert any("state " in d for s in result.scenarios for d in s.differences), result.table()


SKIP = r"if (!(i == 1 && j == 0)) \g<0>"
MUTANTS = {
    # name: (mutation, what a message must say)
    "rounding: half to even became half up": (
        replace("types.h", r"(?<=, )AP_RND_CONV(?=, AP_SAT> gate_t;)", "AP_RND"), r"state h\[.*\] is",
    ),
    "rounding: half to even became floor in the state's update": (
        replace("step.cpp", r"round_half_even(<\d+>\(\w+, h_out_drop)", r"round_floor\1"), r"state h\[.*\] is",
    ),
    "rounding: floor became half to even": (
        replace("step.cpp", r"round_floor(<\d+>\(\w+, feature_drop)", r"round_half_even\1"), r"state pool_num\[.*\] is",
    ),
    "overflow: the upper bound is one lower": (
        replace("step.cpp", r"127(?=>\(round_half_even<\d+>\(\w+, residual_drop)", "126"), r"state conv\[.*\] is",
    ),
    "state: one word of h is not written": (
        replace("venom.cpp", r"h_memory\[at\]\[i\]\[j\] = [^;]*;", SKIP), r"state h\[1, 0\] is",
    ),
    "state: pool_den is not written": (
        replace("venom.cpp", r"pool_den_memory\[at\]\[0\] = [^;]*;", ""), r"state pool_den\[0\] is",
    ),
    "clear: h keeps the last window's words": (
        replace("venom.cpp", r"(?<=h\[i\]\[j\] = )h_t\(0\)", "h[i][j]"), r"sample 0: state h\[.*\] is",
    ),
    "clear: conv keeps the last window's taps": (
        replace("venom.cpp", r"(?<=conv\[i\]\[j\] = )conv_t\(0\)", "conv[i][j]"), r"sample 0: state \w+\[.*\] is",
    ),
    "clear: pool_den keeps the last window's sum": (
        replace("venom.cpp", r"(?<=pool_den\[0\] = )pool_den_t\(0\)", "pool_den[0]"),
        r"sample 0: state pool_den\[0\] is",
    ),
    "delay: the taps shift by two": (
        replace("step.cpp", r"(?<=\[i \+ )1(?=\]\[j\];)", "(i == 0 ? 2 : 1)"), r"state conv\[0, \d\] is",
    ),
    "protocol: a window does not close at its last sample": (
        replace("venom.cpp", r"accepted && !last", "accepted"), r"ignored_count is \d+, expected",
    ),
    "head: one weight differs": (
        replace("head_weights.h", r"(?<=\{\n  )(\{?)(-?\d+)", lambda m: m[1] + str(int(m[2]) + 1)),
        r"result \d+.*: energy is",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MUTANTS)
def test_mutant_is_found(bench, name):
    mutate, message = MUTANTS[name]
    result = bench(mutate)
    assert not result.passed, "the mutant survived"
    differences = [d for s in result.scenarios for d in s.differences]
    assert any(re.search(message, d) for d in differences), result.table()


def test_schedules_obey_the_revisit_distance(project):
    """The stimuli never break what they must not: `schedule` checks, and this checks `schedule`."""
    from sim.scenarios import SCENARIOS, Plan

    plan = Plan(project.channels, project.revisit, project.max_steps, capacity=8)
    for name, scenario in SCENARIOS.items():
        for segment in scenario(plan).segments:
            if segment.compare:
                segment.stimulus.check()
            else:
                assert name == "revisit"
    assert schedule([], channels=4, revisit=3) is not None
