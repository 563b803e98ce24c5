"""The replay driver: generated RTL against vector files, and that it sees whatever is wrong with either."""

import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "codegen"))
from tiny_venom import tiny_venom

from sim.errors import BenchError
from sim.replay import address_channels, build_replay, long_run, replay, run_replay
from venom_hw.boards import load_board
from venom_hw.codegen.rtl.project import render_rtl
from venom_hw.codegen.stimulus import ABANDONED, IGNORED, OVERLONG, Pulse, schedule
from venom_hw.codegen.vectors import Expected, write_vectors
from venom_hw.datapath.golden import Golden
from venom_hw.flow.model_files import find_model
from venom_hw.flow.stimuli import check_windows
from venom_hw.interchange.importer import import_venom

CHANNELS, LENGTH = 24, 9


@pytest.fixture(scope="module")
def tiny():
    return tiny_venom(max_steps=LENGTH)


@pytest.fixture(scope="module")
def project(tiny, tmp_path_factory):
    folder = tmp_path_factory.mktemp("rtl")
    return render_rtl(tiny, load_board("rfsoc4x2"), folder, channels=CHANNELS, head_interval=8, fifo_depth=256)


@pytest.fixture(scope="module")
def program(project, tmp_path_factory):
    return build_replay(project, tmp_path_factory.mktemp("build"), optimise="-O0")


@pytest.fixture(scope="module")
def windows():
    rng = np.random.default_rng(4)
    lengths = np.where(rng.random(60) < 0.8, LENGTH, rng.integers(1, LENGTH + 1, 60))
    return rng.integers(-32768, 32768, (60, LENGTH, 2)), lengths


@pytest.fixture(scope="module")
def mixed(project, windows):
    """Whole windows, abandoned ones, beats of no window, and windows that are too long."""
    rng = np.random.default_rng(3)
    pulses = []
    for k in range(150):
        samples = windows[0][k % 60][: windows[1][k % 60]]
        kind = rng.choice(["whole", "abandoned", "outside", "too long"], p=[0.7, 0.1, 0.1, 0.1])
        if kind == "too long":
            samples = rng.integers(-32768, 32768, (LENGTH + 2, 2))
        channel = int(rng.integers(CHANNELS - 1))
        pulses.append(Pulse(channel, samples, start=kind != "outside", last=kind != "abandoned"))
        if kind == "abandoned":
            pulses.append(Pulse(channel, samples))
    return schedule(pulses, channels=CHANNELS, revisit=project.revisit, seed=2, idle_fraction=0.1)


def vectors(path, tiny, stimulus):
    result = Golden(tiny.step, tiny.head).run(*stimulus.windows(LENGTH), trace=True)
    return write_vectors(path, stimulus, Expected.of(tiny, result), max_steps=LENGTH)


def test_every_integer_agrees(tiny, project, program, windows, mixed, tmp_path):
    runs = mixed.runs(LENGTH)
    assert all(runs.count(flag) for flag in (ABANDONED, IGNORED, OVERLONG))
    stimuli = [*long_run(project, *windows, 6000, chunk=2000), mixed]
    assert len(stimuli) == 4 and len(set(stimuli[0].channel.tolist())) == CHANNELS
    result = replay(project, tiny, tmp_path, stimuli, program=program)
    assert result.mismatches == 0 and result.first is None, str(result)
    used = sum(int((s.runs(LENGTH).run >= 0).sum()) for s in stimuli)
    assert result.beats == sum(map(len, stimuli)) >= 6000
    assert result.windows == sum(int((s.runs(LENGTH).closing >= 0).sum()) for s in stimuli)
    assert result.compared == used * (21 + 2) + 5 * result.windows + 7  # states and their channel; results; counters
    assert result.rate > 0 and not list(tmp_path.glob("*.bin"))


def changed(path, offset, tmp_path):
    data = bytearray(path.read_bytes())
    data[offset] ^= 1
    other = tmp_path / "changed.bin"
    other.write_bytes(data)
    return other


def test_one_wrong_bit_in_the_vectors_is_named(tiny, project, program, mixed, tmp_path):
    path = vectors(tmp_path / "v.bin", tiny, mixed)
    size, used = path.stat().st_size, int((mixed.runs(LENGTH).run >= 0).sum())
    result = run_replay(project, program, [path])
    assert result.mismatches == 0, str(result)
    wrong = run_replay(project, program, [changed(path, size - 1, tmp_path)])  # the last state word
    assert wrong.mismatches == 1 and wrong.first["tensor"] == "pool_den" and wrong.first["index"] == [0]
    assert wrong.first["expected"] != wrong.first["found"]
    tensors = size - len(_records(path)) * used
    energy = tensors - 4  # TDATA of the last result: its low byte
    wrong = run_replay(project, program, [changed(path, energy, tmp_path)])
    assert wrong.mismatches == 1 and wrong.first["tensor"] == "energy"
    assert wrong.first["expected"] ^ wrong.first["found"] == 1
    for offset, counter in ((36, "abandoned_count"), (40, "overlong_count")):  # in the header
        wrong = run_replay(project, program, [changed(path, offset, tmp_path)])
        assert wrong.mismatches == 1 and wrong.first["tensor"] == counter


def _records(path):
    """Bytes of one record of state words."""
    data, at, size = path.read_bytes(), 44, 0
    for _ in range(int.from_bytes(data[32:36], "little")):
        words, width, rank = (int.from_bytes(data[at + 64 + 4 * k :][:4], "little") for k in range(3))
        at, size = at + 64 + 12 + 4 * rank, size + words * width
    return bytes(size)


def test_a_state_that_runs_on_is_seen(tiny, project, mixed, tmp_path):
    """The clear of one state memory taken away in a copy of the RTL."""
    for source in (*project.sources, *project.memory_files):
        (tmp_path / source.name).write_bytes(source.read_bytes())
    top = tmp_path / "venom.sv"
    before, memory, after = top.read_text().partition("pool_den_memory (")
    assert memory and ".clear(" in after
    head, _, tail = after.partition(".clear(")
    after = f"{head}.clear(1'b0 && {tail}"
    top.write_text(before + memory + after)
    faulty = replace(project, folder=tmp_path)
    program = build_replay(faulty, tmp_path / "built", optimise="-O0")
    result = run_replay(faulty, program, [vectors(tmp_path / "v.bin", tiny, mixed)])
    assert result.mismatches > 10 and result.first["tensor"] == "pool_den" and result.first["sample"] == 0


def test_without_states_results_and_counters_are_compared(tiny, project, windows, tmp_path):
    program = build_replay(project, tmp_path / "built", states=False, optimise="-O0")
    result = replay(project, tiny, tmp_path, long_run(project, *windows, 3000), states=False, program=program)
    assert result.mismatches == 0 and result.compared == 5 * result.windows + 6, str(result)
    stamp = (tmp_path / "built" / "Vtop").stat().st_mtime_ns
    build_replay(project, tmp_path / "built", states=False, optimise="-O0")
    assert (tmp_path / "built" / "Vtop").stat().st_mtime_ns == stamp, "compiled again although nothing has changed"


def test_files_that_do_not_fit_are_refused(tiny, project, program, tmp_path):
    other = tmp_path / "other.bin"
    other.write_bytes(b"no vectors at all, but long enough to be read as a header")
    with pytest.raises(BenchError, match="other.bin: not a vector file of version 1"):
        run_replay(project, program, [other])
    with pytest.raises(BenchError, match="absent.bin: cannot be opened"):
        run_replay(project, program, [tmp_path / "absent.bin"])
    pulse = Pulse(0, np.ones((3, 2), int))
    few = vectors(tmp_path / "few.bin", tiny, schedule([pulse], channels=5, revisit=project.revisit))
    with pytest.raises(BenchError, match="made for other channels, revisit distance or window length"):
        run_replay(project, program, [few])
    opened = schedule([Pulse(0, np.ones((3, 2), int), last=False)], channels=CHANNELS, revisit=project.revisit)
    opened = vectors(tmp_path / "open.bin", tiny, opened)
    assert run_replay(project, program, [opened]).mismatches == 0
    with pytest.raises(BenchError, match="a window is open at the end of the file before"):
        run_replay(project, program, [opened, opened])
    short = tmp_path / "short.bin"
    short.write_bytes(opened.read_bytes()[:-1])
    with pytest.raises(BenchError, match="short.bin: ends early"):
        run_replay(project, program, [short])


def test_a_run_on_few_channels_comes_back_to_each(project, windows):
    few = address_channels(CHANNELS)
    assert few == [0, 1, 2, 4, 8, 16, 23] and address_channels(1) == [0]
    (stimulus,) = long_run(project, *windows, 500, channels=few)
    assert windows_by_channel([stimulus]).keys() == set(few)
    assert min(windows_by_channel([stimulus]).values()) >= 5


def test_a_memory_that_drops_an_address_bit_is_seen(tiny, project, windows, tmp_path):
    for source in (*project.sources, *project.memory_files):
        (tmp_path / source.name).write_bytes(source.read_bytes())
    path = tmp_path / "state_memory.sv"
    text = path.read_text()
    assert text.count("memory[read_channel]") == text.count("memory[write_channel]") == 1
    text = text.replace("memory[read_channel]", "memory[read_channel & 5'd23]")
    path.write_text(text.replace("memory[write_channel]", "memory[write_channel & 5'd23]"))
    faulty = replace(project, folder=tmp_path)
    few = long_run(project, *windows, 500, channels=address_channels(CHANNELS))
    program = build_replay(faulty, tmp_path / "built", optimise="-O0")
    result = replay(faulty, tiny, tmp_path / "out", few, program=program)
    assert result.mismatches > 10 and result.first["channel"] in (0, 8), str(result)


def windows_by_channel(stimuli):
    """Windows with a result."""
    runs = [s.runs(LENGTH) for s in stimuli]
    return Counter(channel for r in runs for channel in r.channel[r.closing >= 0].tolist())


def soak(model, total, folder, channels=None):
    """A shipped model with all 2,048 channels: pulses and windows at the rails, until `total` samples are through."""
    files = find_model(model)
    datapath = import_venom(files.step, files.head)
    project = render_rtl(datapath, load_board("rfsoc4x2"), folder / "rtl", channels=2048, name=model)
    windows = check_windows(datapath, 400, folder=folder / "pulses", seed=7)
    program = build_replay(project, folder / "built")
    stimuli = long_run(project, windows.samples, windows.lengths, total, channels=channels)
    result = replay(project, datapath, folder, stimuli, program=program)
    assert result.mismatches == 0, str(result)
    assert result.beats >= total and result.compared > 193 * total
    return result


@pytest.mark.slow
def test_short_soak_of_a_shipped_model(tmp_path):
    """Few channels of the 2,048, one for each address bit: several windows on each, so clears and what is left."""
    few = address_channels(2048)
    assert len(few) == 13
    result = soak("ptsi", 10_000, tmp_path, few)
    assert result.windows >= 5 * len(few)  # in turns: none has more than one window more than another


@pytest.mark.slow
@pytest.mark.parametrize("model", ["ptsi", "inhf"])
def test_soak_of_a_million_samples(tmp_path, model):
    result = soak(model, 1_000_000, tmp_path)
    print(result)
