"""The window dispatcher alone: its RTL against the Python model, clock by clock, and what is proven of it."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "codegen"))
from tiny_venom import tiny_venom

from sim.dispatcher import COUNTERS, EVENT, KINDS, build_dispatcher, dispatch, run_script, script_dtype
from sim.toolchain import verilator_environment
from venom_hw.boards import load_board
from venom_hw.codegen.errors import CodegenError
from venom_hw.codegen.rtl.dispatcher import (
    NAME,
    TRIGGERED,
    most_slots,
    render_dispatcher,
    render_triggered,
    write_triggered,
)
from venom_hw.codegen.rtl.project import render_rtl
from venom_hw.codegen.rtl.rates import dead_time
from venom_hw.codegen.vectors import energy_words
from venom_hw.datapath.golden import Golden

GEOMETRIES = {
    "one lane": dict(channels=6, lanes=1, pre=3, length=5, spacing=24, revisit=3, slots=4),
    "two lanes, interval 2": dict(channels=12, lanes=2, pre=1, length=4, spacing=24, revisit=3, interval=2),
    "four lanes, trigger delay": dict(
        channels=12, lanes=4, pre=2, trigger_delay=3, length=7, spacing=20, revisit=8
    ),
    "eight lanes": dict(channels=64, lanes=8, pre=4, length=9, spacing=64, revisit=20),
}
SEED = 7


def random_script(d, rng, *, clocks, rate, reset=3, busy=0.5, spacing=None):
    """Beats of random groups that obey the spacing, and triggers of which some come soon after another."""
    spacing = d.spacing if spacing is None else spacing
    script = np.zeros(reset + clocks, script_dtype(d.lanes))
    script["rst_n"][reset:] = 1
    script["ready"] = 1 if d.interval == 1 else np.arange(len(script)) % d.interval == 0
    script["samples"] = rng.integers(0, 1 << 32, script["samples"].shape)
    last = np.full(d.groups, -spacing)
    tempo = busy
    for clock in range(reset, len(script)):
        if clock % 97 == 0:  # bursts and lulls
            tempo = rng.choice([busy, 1.0, 0.1])
        free = np.flatnonzero(clock - last >= spacing)
        if len(free) and rng.random() < tempo:
            group = rng.choice(free) if rng.random() < 0.3 else free[np.argmin(last[free])]
            last[group] = clock
            script["valid"][clock], script["group"][clock] = 1, group
    script["trigger"] = rng.random(len(script)) < rate
    script["channel"] = rng.integers(0, d.channels, len(script))
    return script


def expected_of(d, script, taken):
    """The model on the beats of one stretch (a script that begins with its reset) and the triggers taken in it."""
    start = int(np.argmax(script["rst_n"]))
    at = np.flatnonzero(script["valid"][start:])
    rows = script[start:][at]
    beats = list(zip(at.tolist(), rows["group"].tolist(), rows["samples"].tolist(), strict=True))
    return dispatch(d, beats, list(zip(taken["clock"].tolist(), taken["data"].tolist(), strict=True)))


def check(d, script, events):
    """All that is to be seen of one stretch against the model."""
    kind = lambda name: events[events["kind"] == KINDS.index(name)]  # noqa: E731
    want, found = expected_of(d, script, kind("taken")), kind("result")
    bits = d.group_bits + d.lanes.bit_length() - 1
    channel = (found["user"] & ((1 << bits) - 1)).astype(int)
    whole = min(len(found), len(want.channel))  # the last ones may still be inside
    assert len(want.channel) - d.slots - 16 <= len(found) <= len(want.channel)
    np.testing.assert_array_equal(channel, want.channel[:whole])
    np.testing.assert_array_equal(found["data"], want.data[:whole])
    np.testing.assert_array_equal(found["user"] >> bits, want.start[:whole])
    np.testing.assert_array_equal(found["last"], want.last[:whole])
    counted = {name: int(kind(name)["data"][-1]) for name in COUNTERS}
    taken_late = set(kind("taken")["clock"][kind("taken")["clock"] > events["clock"].max() - 8])
    assert not taken_late, "the counters would be read before they have counted"
    for name in COUNTERS[:-1]:
        assert counted[name] == want.outcomes.count(name), name
    assert counted["overflow"] == 0
    order = np.lexsort((found["clock"], channel))
    apart = np.diff(found["clock"][order].astype(int))[np.diff(channel[order]) == 0]
    assert apart.min(initial=d.spacing) >= d.least_revisit >= d.revisit
    return want, apart


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Function name of a geometry -> dispatcher, its program and a folder."""
    made = {}

    def once(name):
        if name not in made:
            d = render_dispatcher(**GEOMETRIES[name])
            folder = tmp_path_factory.mktemp("dispatcher")
            made[name] = d, build_dispatcher(d, folder), folder
        return made[name]

    return once


@pytest.mark.parametrize("name", GEOMETRIES)
def test_rtl_is_the_model(built, name):
    d, program, folder = built(name)
    rng = np.random.default_rng(SEED)
    seen = set()
    for rate, busy in ((0.02, 0.9), (0.2, 0.5), (0.004, 1.0)):
        script = random_script(d, rng, clocks=6000, rate=rate, busy=busy)
        script["trigger"][-40:] = 0
        want, _ = check(d, script, run_script(program, script, folder))
        seen |= set(want.outcomes)
        assert want.windows and min(first for _, first in want.windows) >= 0
    assert {"opened", "retrigger", "early"} <= seen
    assert ("refused" in seen) == (d.slots < d.channels)


def test_windows_start_before_their_trigger(built):
    """A trigger alone: its window is the `pre` samples before the one that triggered, that one, and those after it."""
    d, program, folder = built("four lanes, trigger delay")
    script = np.zeros(3 + 40 * d.spacing, script_dtype(d.lanes))
    script["rst_n"][3:], script["ready"] = 1, 1
    for frame in range(1, 40):
        for group in range(d.groups):
            row = script[3 + frame * d.spacing + group :][:1]
            row["valid"], row["group"] = 1, group
            row["samples"] = 1000 * frame + d.lanes * group + np.arange(d.lanes)
    peak, channel = 15, 6
    clock = 3 + (peak + d.trigger_delay) * d.spacing + d.groups + 2  # that much later than the frame of the peak
    script["trigger"][clock], script["channel"][clock] = 1, channel
    events = run_script(program, script, folder)
    found = events[events["kind"] == KINDS.index("result")]
    np.testing.assert_array_equal(
        found["data"], [1000 * (peak - d.pre + k) + channel for k in range(d.length)]
    )
    np.testing.assert_array_equal(np.flatnonzero(found["last"]), [d.length - 1])


def test_reset_forgets_windows_and_slots(built):
    d, program, folder = built("two lanes, interval 2")
    rng = np.random.default_rng(SEED)
    for reset in (1, 4):
        parts = [random_script(d, rng, clocks=700, rate=0.2, reset=reset) for _ in range(3)]
        for part in parts:
            part["trigger"][-40:] = 0
        events = run_script(program, np.concatenate(parts), folder)
        for stretch, part in enumerate(parts):
            check(d, part, events[events["stretch"] == stretch])


def test_worst_burst_comes_as_soon_as_proven(built):
    """All slots open, their beats at once, and in the next frame the one that waited longest comes first."""
    d, program, folder = built("eight lanes")
    rng = np.random.default_rng(SEED)
    script = np.zeros(3 + 40 * d.spacing, script_dtype(d.lanes))
    script["rst_n"][3:], script["ready"] = 1, 1
    script["samples"] = rng.integers(0, 1 << 32, script["samples"].shape)
    last = (d.slots - 1) // d.lanes
    turn = d.ring + 6  # frames before it: filling the ring, opening the windows
    for frame in range(1, 30):
        for group in range(d.groups):
            late = 20 if frame > turn and group != last else 0
            at = 3 + frame * d.spacing + group + late
            script["valid"][at], script["group"][at] = 1, group
    first = 3 + turn * d.spacing - 4 * d.slots
    script["trigger"][first : first + 4 * d.slots : 4] = 1
    script["channel"][first : first + 4 * d.slots : 4] = np.arange(d.slots)
    want, apart = check(d, script, run_script(program, script, folder))
    assert want.outcomes.count("opened") == d.slots
    assert d.least_revisit <= apart.min() <= d.least_revisit + 2 * d.lanes


def most_waiting(beats, interval, lanes):
    """Beats that wait at most, one a clock with so many samples each, while a sample goes every `interval` clocks."""
    queue, most = [], 0
    for clock, samples in enumerate(beats):
        if samples:
            queue.append(samples)
        if clock % interval == interval - 1 and queue:
            queue[0] -= 1
            queue = queue[1:] if queue[0] == 0 else queue
        most = max(most, len(queue))
    return most


@pytest.mark.parametrize("lanes", [1, 2, 8])
@pytest.mark.parametrize("interval", [1, 2, 8])
def test_fifo_holds_any_burst(lanes, interval):
    rng = np.random.default_rng(SEED)
    for _ in range(60):
        groups, slots = int(rng.integers(2, 40)), int(rng.integers(1, 60))
        spacing = slots * interval + int(rng.integers(5, 30)) + groups
        d = render_dispatcher(
            channels=groups * lanes, lanes=lanes, length=9, spacing=spacing, revisit=1, interval=interval,
            slots=min(slots, groups * lanes),
        )  # fmt: skip
        orders = []
        for whole in range(min(groups, d.slots // lanes) + 1):  # the worst: whole beats, then single samples
            orders.append([lanes] * whole + [1] * min(groups - whole, d.slots - lanes * whole))
        for _ in range(5):
            left, order = d.slots, []
            while left and len(order) < groups:
                order.append(int(rng.integers(0, min(lanes, left) + 1)))
                left -= order[-1]
            orders.append(order)
        seen = max(most_waiting(order, interval, lanes) for order in orders)
        assert seen <= d.fifo_bound <= seen + 4


def test_a_broken_spacing_is_flagged(built):
    d, program, folder = built("eight lanes")
    script = random_script(d, np.random.default_rng(1), clocks=6000, rate=0.2, busy=1.0, spacing=8)
    events = run_script(program, script, folder)
    assert events["data"][events["kind"] == KINDS.index("overflow")][-1] == 1
    assert events.dtype == EVENT


@pytest.mark.parametrize("apart", [1, 2, 3, 4])
def test_a_sample_lost_in_the_ring_is_flagged(built, apart):
    """Two beats of one group, no window open: the second reads the control word before the first has written it."""
    d, program, folder = built("eight lanes")
    script = np.zeros(3 + 8 * d.spacing, script_dtype(d.lanes))
    script["rst_n"][3:], script["ready"] = 1, 1
    at = np.arange(3 + 4 * d.spacing, len(script) - d.spacing, d.spacing)
    script["valid"][at], script["group"][at] = 1, 2
    script["valid"][at[0] + 1 : at[0] + 4], script["group"][at[0] + 1 : at[0] + 4] = 1, (5, 6, 7)  # others may
    script["valid"][at[2] + apart], script["group"][at[2] + apart] = 1, 2
    events = run_script(program, script, folder)
    assert events["data"][events["kind"] == KINDS.index("overflow")].tolist() == [int(apart < 4)]


@pytest.mark.parametrize("rate", [0.3, 1.5])
def test_dead_time_of_the_rtl_is_the_closed_form(built, rate):
    """Poisson triggers on all channels, `rate` photons of a channel in a window's time: lost ones as rates.py says.

    At 1.5 there is one every 6 clocks; the dispatcher takes one every 4.
    """
    d, program, folder = built("eight lanes")
    rng = np.random.default_rng(SEED)
    clocks = 400_000
    script = np.zeros(3 + clocks, script_dtype(d.lanes))
    script["rst_n"][3:], script["ready"] = 1, 1
    at = np.arange(clocks) % d.spacing
    script["valid"][3:], script["group"][3:] = at % 8 == 0, at // 8
    window = (d.length + 0.5) * d.spacing  # to its first sample half a period, and the sample after its last frees it
    script["trigger"] = rng.random(len(script)) < 1 - np.exp(-rate * d.channels / window)
    script["trigger"][: 20 * d.spacing] = 0  # none too early
    script["channel"] = rng.integers(0, d.channels, len(script))
    events = run_script(program, script, folder)
    counted = {name: int(events["data"][events["kind"] == KINDS.index(name)][-1]) for name in COUNTERS}
    total = counted["opened"] + counted["retrigger"] + counted["refused"]
    assert counted["early"] == counted["overflow"] == 0 and total > 5000
    want = dead_time(d.channels, rate / window, window, slots=d.slots)
    found = [counted[name] / total for name in ("opened", "retrigger", "refused")]
    np.testing.assert_allclose(found, [want.recorded, want.own_window, want.refused], atol=0.02)
    assert (counted["refused"] > 100) == (rate > 1)


MUTATIONS = [  # an expression, and what it becomes
    ("COUNT_BITS'(LENGTH - 1)", "COUNT_BITS'(LENGTH)"),
    ("PLACE_BITS'(RING - 1)", "PLACE_BITS'(RING - 2)"),
    ("SLOT_BITS'(SLOTS)", "SLOT_BITS'(SLOTS - 1)"),
    ("trigger_at[3] && early_3;", "1'b0"),
    ("!early_3 && open_3;", "1'b0"),
    ("count_3[lane] == '0;", "1'b0"),
    ("SLOT_BITS'(ended_5)", "'0"),
    ("take_hand ? waiting_more : left_more;", "1'b0"),
    ("cleared ? {warm_4, finished_4} : '0;", "'1"),
]


@pytest.fixture(scope="module")
def mutants(tmp_path_factory):
    """All mutations in one program: plusarg +mutant=<k> chooses one, 0 is the right dispatcher."""
    d = render_dispatcher(**GEOMETRIES["two lanes, interval 2"], slots=5)
    text = d.files[f"{NAME}.sv"]
    for k, (right, wrong) in enumerate(MUTATIONS, 1):
        assert right in text, right
        end = ";" if right.endswith(";") else ""
        text = text.replace(right, f"(mutant == {k} ? {wrong} : {right.removesuffix(';')}){end}")
    chosen = "int mutant;\n  initial if (!$value$plusargs(\"mutant=%d\", mutant)) mutant = 0;\n"
    text = text.replace("  // ---- after reset", f"  {chosen}  // ---- after reset", 1)
    folder = tmp_path_factory.mktemp("mutants")
    return d, build_dispatcher(replace(d, files={f"{NAME}.sv": text}), folder)


@pytest.mark.parametrize("mutant", range(len(MUTATIONS) + 1))
def test_mutations_are_seen(mutants, tmp_path, mutant):
    d, program = mutants
    script = random_script(d, np.random.default_rng(SEED), clocks=3000, rate=0.1)
    script = np.concatenate([script, random_script(d, np.random.default_rng(SEED), clocks=3000, rate=0.1)])
    script["trigger"][2963:3003] = script["trigger"][-40:] = 0
    events = run_script(program, script, tmp_path, plusargs=[f"+mutant={mutant}"])
    stretches = [(script[3003 * k :][:3003], events[events["stretch"] == k]) for k in (0, 1)]
    if mutant == 0:
        for part, seen in stretches:
            check(d, part, seen)
    else:
        with pytest.raises(AssertionError):
            for part, seen in stretches:
                check(d, part, seen)


@pytest.mark.parametrize("name", [*GEOMETRIES, "gen3"])
def test_lint_is_clean(tmp_path, name):
    given = GEOMETRIES.get(name, dict(channels=2048, length=126, spacing=1024, revisit=150))
    d = render_dispatcher(**given)
    (tmp_path / f"{NAME}.sv").write_text(d.files[f"{NAME}.sv"])
    command = ["verilator", "--lint-only", "-Wall", str(tmp_path / f"{NAME}.sv")]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **verilator_environment()})
    assert done.returncode == 0 and not done.stderr, done.stderr


def test_slots_follow_from_the_revisit_distance():
    assert most_slots(2048, 1024, 150) == 875 and most_slots(2048, 1024, 150, interval=4) == 218
    assert most_slots(64, 1024, 150) == 64
    d = render_dispatcher(channels=2048, length=126, spacing=1024, revisit=150)
    assert d.slots == 875 and d.least_revisit == 150 and d.fifo_bound == 224
    with pytest.raises(CodegenError, match=r"876 windows at once.*after 149 clocks.*expected 1 to 875 slots"):
        render_dispatcher(channels=2048, length=126, spacing=1024, revisit=150, slots=876)
    with pytest.raises(CodegenError, match="leave no time for the revisit distance 300"):
        render_dispatcher(channels=2048, length=126, spacing=256, revisit=300)
    with pytest.raises(CodegenError, match="3 lanes; expected one of 1, 2, 4, 8"):
        render_dispatcher(channels=2048, lanes=3, length=126, spacing=1024, revisit=150)
    with pytest.raises(CodegenError, match="beats of one of 256 groups 255 clocks apart; expected at least 256"):
        render_dispatcher(channels=2048, length=126, spacing=255, revisit=150)


def test_triggered_engine_gives_the_golden_results(tmp_path):
    """Dispatcher and engine together: the results are those of the golden model on the windows that the model cuts."""
    tiny = tiny_venom(max_steps=9)
    project = render_rtl(
        tiny, load_board("rfsoc4x2"), tmp_path / "engine", channels=24, head_interval=8, fifo_depth=64
    )
    d = render_triggered(project.manifest, lanes=4, pre=3, spacing=48, slots=14)
    assert d.length == 9 and d.revisit == project.revisit and d.least_revisit >= project.revisit
    program = build_dispatcher(d, tmp_path, top=TRIGGERED, sources=project.sources)
    for table in project.memory_files:
        (tmp_path / table.name).write_bytes(table.read_bytes())
    script = random_script(d, np.random.default_rng(SEED), clocks=12_000, rate=0.1)
    script["trigger"][-40:], script["valid"][-2000:] = 0, 0  # the last results come out
    events = run_script(program, script, tmp_path)
    taken, found = (events[events["kind"] == KINDS.index(name)] for name in ("taken", "result"))
    want = expected_of(d, script, taken)
    assert {"opened", "retrigger", "refused", "early"} == set(want.outcomes)

    data = want.data.astype(np.int64)
    values = ((np.stack([data, data >> 16], -1) & 0xFFFF) ^ 0x8000) - 0x8000
    windows, owners, running = [], [], {}
    for beat, (channel, start, last) in enumerate(zip(want.channel, want.start, want.last, strict=True)):
        running[channel] = [beat] if start else [*running[channel], beat]
        if last:
            windows.append(values[running[channel]])
            owners.append(channel)
    assert len(windows) > 150
    golden = Golden(tiny.step, tiny.head).run(np.stack(windows))
    words = energy_words(golden.outputs["energy"], golden.outputs["log_variance"])
    np.testing.assert_array_equal(found["data"], words)
    np.testing.assert_array_equal(found["user"], owners)
    lint = ["verilator", "--lint-only", "-Wall", "-DSYNTHESIS", "--top-module", TRIGGERED, *map(str, project.sources)]
    lint += [str(tmp_path / "rtl" / name) for name in d.files]
    done = subprocess.run(lint, capture_output=True, text=True, env={**os.environ, **verilator_environment()})
    assert done.returncode == 0 and not done.stderr, done.stderr


def test_written_beside_the_engine(tmp_path):
    manifest = dict(
        model="ptsi", top="venom", channels=2048, max_steps=126, revisit=9, interval=1, clock_mhz=512.0,
        calibration=None,
        counters=["abandoned_count", "ignored_count", "overlong_count", "dropped_count", "revisit_error"],
    )  # fmt: skip
    window = {"rate_hz": 500e3, "n_pre": 20}
    d = write_triggered(tmp_path, manifest, window)
    assert (d.spacing, d.lanes, d.slots, d.length) == (1024, 8, 1016, 126)
    assert (d.pre, d.trigger_delay, d.ring) == (20, 1, 22)  # the model's, not a default
    written = {path.name: path.read_text() for path in (tmp_path / "triggered").iterdir()}
    readme = written.pop("README.md")
    assert written == d.files and set(written) == {f"{NAME}.sv", f"{TRIGGERED}.sv"}
    words = "Top module `venom_triggered`", "20 samples before the peak", "--trigger-delay"
    assert all(word in readme for word in words)
    assert "the last 22 samples" in written[f"{NAME}.sv"]
    late = write_triggered(tmp_path, manifest, window, trigger_delay=4)
    assert late.ring == 25 and "4 samples" in (tmp_path / "triggered" / "README.md").read_text()
    assert write_triggered(tmp_path, manifest | {"channels": 12}, window).lanes == 4
    assert write_triggered(tmp_path, manifest, {"rate_hz": 500e3}).pre == 10


@pytest.mark.parametrize(("channels", "rate_hz"), [(1, 500e3), (2048, 4e6), (2048, None)])
def test_no_older_dispatcher_is_left_where_there_is_none(tmp_path, channels, rate_hz):
    manifest = dict(channels=channels, max_steps=126, revisit=9, interval=1, clock_mhz=512.0)
    old = tmp_path / "triggered" / f"{TRIGGERED}.sv"
    old.parent.mkdir()
    old.write_text("module venom_triggered; endmodule\n")
    window = {"n_pre": 10} if rate_hz is None else {"n_pre": 10, "rate_hz": rate_hz}
    assert write_triggered(tmp_path, manifest, window) is None
    assert not old.parent.exists()
