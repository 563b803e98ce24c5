"""The RTL engine around a pipeline written by hand: green on the whole bench, red on every fault planted in it."""

import re
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "codegen" / "rtl"))
from counting import MAX_STEPS, counting_engine, counting_network
from rtl_faults import Fault, faulty_device, plant

from sim.build import build, simulate
from sim.case import Case, Segment, expect, save_case
from sim.rtl_device import rtl_device
from sim.runner import golden_run, run_device
from venom_hw.boards import load_board
from venom_hw.codegen.rtl.project import write_rtl
from venom_hw.codegen.stimulus import Pulse, Stimulus, schedule

CHANNELS, FIFO = 5, 8

CLEARED = r"(?<=read_channel\(channel_at\[{}\]\),\n      \.clear\()start_at\[\d+\]"
FAULTS = [
    Fault("clear_sum", "venom.sv", CLEARED.format(6), "1'b0", "back_to_back", r"sample 0: state sum\[.*\] is"),
    Fault("clear_tap", "venom.sv", CLEARED.format(5), "1'b0", "back_to_back", r"sample 0: state sum\[.*\] is"),
    Fault("clear_count", "venom.sv", CLEARED.format(9), "1'b0", "back_to_back", r"sample 0: state count\[0\] is"),
    Fault("no_start", "venom.sv", r"(?<=start_at = \{start_before, )beat_start", "1'b0", "lengths", "sample 0: state"),
    Fault("unwritten", "venom.sv", r"(?<=\.write\()accepted_at\[11\]", "1'b0", "interleaved", r"state sum\[.*\] is"),
    Fault("written_elsewhere", "venom.sv", r"(?<=\.write_channel\()channel_at\[11\]", "channel_at[10]", "interleaved",
          r"state \w+\[.*\] is"),
    Fault("read_elsewhere", "venom.sv", r"(?<=\.read_channel\()channel_at\[6\]", "channel_at[7]", "interleaved",
          r"state sum\[.*\] is"),
    Fault("read_after_write", "venom.sv", r"(?<=\.read_channel\()channel_at\[5\]", "channel_at[7]", "interleaved",
          r"state \w+\[.*\] is"),
    Fault("sums_of_a_neighbour", "venom.sv", r"sum_next_sum(?=\}\))", "sum_next", "lengths", "energy is|variance is"),
    Fault("epoch_stays", "window_control.sv", r"(?<=epoch <= )epoch == '1 \? 24'd1 : epoch \+ 1'b1", "epoch", "reset",
          "beats were used|ignored_count"),
    Fault("never_overlong", "window_control.sv", r"(?<=full_4 <= )word_3\[.*MAX_STEPS(?=;)", "1'b0", "overlong",
          "overlong_count is 0"),
    Fault("abandoned_uncounted", "window_control.sv", r"(?<=abandoned <= )valid_4 && first_4 && open_4", "1'b0",
          "restart", "abandoned_count is 0"),
    Fault("ignored_used", "window_control.sv", r"(?<=used_4 = )first_4 \|\| \(open_4 && !full_4\)", "1'b1",
          "before_start", "beats were used"),
    Fault("stays_open", "window_control.sv", r"(?<=word_5 <= )used_4 && !last_4", "used_4", "before_start",
          "ignored_count is"),
    Fault("unwatched", "revisit_watch.sv", r"same != '0", "1'b0", "revisit", "revisit_error is 0, expected 1"),
    Fault("always_room", "venom.sv", r"(?<=grant = closing && )room", "1'b1", "overflow", "dropped_count is 0"),
    Fault("dropped_uncounted", "venom.sv", r"closing && !grant", "1'b0", "overflow", "dropped_count is 0"),
    Fault("word_lost", "result_register.sv", r"held \? held_word : s_word", "s_word", "gaps", "expected"),
    Fault("tlast", "venom.sv", r"(?<=assign m_axis_TLAST = )1'b1", "1'b0", "lengths", "TLAST is 0"),
]  # fmt: skip
HARMLESS = Fault("epoch_wraps", "window_control.sv", r"(?<=initial epoch = )24'd1", "24'hFFFFFE", "", "")
"""No fault: the count of resets begins two before its end."""


@pytest.fixture(scope="module")
def network():
    return counting_network()


@pytest.fixture(scope="module")
def device(network, tmp_path_factory):
    """The engine with all faults planted, none chosen."""
    out = tmp_path_factory.mktemp("engine")
    engine = counting_engine(network, channels=CHANNELS, fifo_depth=FIFO)
    about = {"name": "counting", "banner": "by hand", "head": "parallel"}
    project = write_rtl(network, load_board("rfsoc4x2"), engine, out, **about)
    plant(out, [*FAULTS, HARMLESS])
    return faulty_device(rtl_device(project, out / "trace", optimise="-O0"))


@pytest.fixture(scope="module")
def built(device, tmp_path_factory):
    return build(device, tmp_path_factory.mktemp("built"))


@pytest.fixture(scope="module")
def golden(network):
    return golden_run(network.step, network.head)


@pytest.fixture
def play(device, built, golden, tmp_path):
    """Function (segments, device=..., expected=None) -> report of the case."""

    def run(segments, on=device, expected=None):
        expected = expected or [expect(s.stimulus, MAX_STEPS, golden, device.tensors) for s in segments]
        path = tmp_path / "case.npz"
        save_case(Case("case", "", segments, 1, expected=expected), path)
        (report,) = simulate(on, built, [path], tmp_path / "run")
        return report

    return run


def test_engine_is_green_on_every_scenario(network, golden, device, built, tmp_path):
    result = run_device(device, golden, tmp_path, windows=32, built=built, progress=False)
    assert result.passed, result.table()
    assert result.results > 200
    assert result.state_words == network.state_words * sum(s.used_beats for s in result.scenarios)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda f: f.name)
def test_fault_is_found(network, golden, device, built, fault, tmp_path):
    faulty = replace(device, fault=fault.name)
    result = run_device(faulty, golden, tmp_path, scenarios=[fault.scenario], built=built, progress=False)
    assert not result.passed, "the fault survived"
    assert any(re.search(fault.message, d) for d in result.scenarios[0].differences), result.table()


def rail(length: int, level: int) -> np.ndarray:
    return np.full((length, 2), level, np.int64)


@pytest.mark.parametrize("fault", ["", "clear_sum", "clear_tap", "clear_count"])
def test_no_state_of_a_window_reaches_the_next(play, device, fault):
    """A window on the rails, ended in each of the ways there are, then a window of zeros at once, on every channel."""
    quiet = [Pulse(c, rail(3, 0)) for c in range(CHANNELS)]
    loud = {
        "closed": [Pulse(c, rail(MAX_STEPS, 32767)) for c in range(CHANNELS)],
        "abandoned": [Pulse(c, rail(4, -32768), last=False) for c in range(CHANNELS)],
        "overlong": [Pulse(c, rail(MAX_STEPS + 1, 32767), last=False) for c in range(CHANNELS)],
    }
    at = {"channels": CHANNELS, "revisit": device.revisit}
    segments = [Segment(schedule(first + quiet, **at)) for first in loud.values()]
    segments += [
        Segment(schedule(loud["abandoned"], **at), cut=True),  # ended by a reset
        Segment(schedule(quiet, **at)),
    ]
    report = play(segments, replace(device, fault=fault))
    assert (report["mismatches"] > 0) == bool(fault), report["differences"]
    if fault:
        assert any(re.search(r"segment \d: channel \d, window \d+, sample 0: state", d) for d in report["differences"])


def pair(device, distance: int) -> Stimulus:
    """Two beats of channel 0, `distance` clocks apart."""
    return Stimulus(
        CHANNELS, min(distance, device.revisit), channel=np.zeros(2, np.int64), start=np.array([True, False]),
        last=np.array([False, True]), samples=np.array([[100, -7], [30, 5]], np.int16),
        idle=np.array([0, distance - 1]),
    )  # fmt: skip


def test_every_distance_below_the_declared_one_raises_the_flag(play, device):
    """And none from the declared one on; a reset takes the flag down."""
    near = [Segment(pair(device, k), compare=False, revisit_error=True) for k in range(1, device.revisit)]
    far = [Segment(pair(device, device.revisit + k)) for k in range(3)]
    report = play([*near, *far])
    assert report["mismatches"] == 0, report["differences"]


def test_declared_distance_is_the_least_that_works(play, device):
    """A clock sooner and the state is not there: a green bench would mean a D that is larger than it need be."""
    report = play([Segment(pair(device, device.revisit - 1), revisit_error=True)])
    assert report["mismatches"] > 0 and any("state sum" in d for d in report["differences"])


@pytest.mark.parametrize("fault", ["", "epoch_wraps"])
def test_every_reset_closes_all_windows(play, device, fault):
    """Windows left open; after each of many resets samples are ignored until a start. Also where the count wraps."""
    at = {"channels": CHANNELS, "revisit": device.revisit}
    opened = [Pulse(c, rail(2, 99 * c), last=False) for c in range(CHANNELS)]
    ignored = [Pulse(c, rail(1, 5), start=False, last=False) for c in range(CHANNELS)]
    segments = [Segment(schedule([*ignored, *opened], **at)) for _ in range(6)]
    report = play(segments, replace(device, fault=fault))
    assert report["mismatches"] == 0, report["differences"]
    assert report["used_beats"] == 6 * 2 * CHANNELS


def test_beats_of_channels_that_do_not_exist_are_ignored(play, device, golden):
    """TUSER has room for 8 channels, there are 5: beats of the others change nothing but the count."""
    known = schedule([Pulse(c, rail(6, 7 * c + 1)) for c in range(CHANNELS)], channels=CHANNELS, revisit=device.revisit)
    order = np.repeat(np.arange(len(known)), 2)  # after every beat one more of a channel that is none
    foreign = np.arange(len(order)) % 2 == 1
    mixed = Stimulus(
        CHANNELS, device.revisit, np.where(foreign, 5 + order % 3, known.channel[order]), known.start[order] | foreign,
        known.last[order] | foreign, known.samples[order], np.where(foreign, 0, known.idle[order]),
    )  # fmt: skip
    expected = expect(known, MAX_STEPS, golden, device.tensors)
    expected.counters["ignored_count"] += int(foreign.sum())
    # two beats of a foreign channel may come close: what is watched is every beat
    report = play([Segment(mixed, revisit_error=False)], expected=[expected])
    assert report["results"] == CHANNELS
    assert [d for d in report["differences"] if "revisit_error" not in d] == []
