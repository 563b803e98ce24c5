"""The FIFO of finished windows in the RTL, in its worst moment: all channels' windows close one after the other."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "codegen"))
from tiny_venom import tiny_venom

from sim.replay import build_replay, replay
from venom_hw.boards import load_board
from venom_hw.codegen.rtl.project import render_rtl
from venom_hw.codegen.rtl.rates import with_slack
from venom_hw.codegen.stimulus import Stimulus

CHANNELS, LENGTH, FRAMES = 192, 8, 3
"""Windows of 8 samples, as short as a head that takes one every 8 clocks sustains: it is never idle."""


@pytest.fixture(scope="module")
def tiny():
    return tiny_venom(max_steps=LENGTH)


def engine(tiny, folder, **given):
    return render_rtl(tiny, load_board("rfsoc4x2"), folder, channels=CHANNELS, head_interval=8, **given)


def aligned_windows(project):
    """All channels in turn, a sample every clock, the windows of all of them open and closed together."""
    beats = CHANNELS * LENGTH * FRAMES
    step = np.arange(beats) // CHANNELS % LENGTH
    return Stimulus(
        CHANNELS, project.revisit, np.arange(beats) % CHANNELS, step == 0, step == LENGTH - 1,
        np.random.default_rng(2).integers(-32768, 32768, (beats, 2)), np.zeros(beats, int),
    ).check()  # fmt: skip


def run(tiny, project, folder):
    program = build_replay(project, folder / "built", states=False, optimise="-O0")
    return replay(project, tiny, folder, [aligned_windows(project)], states=False, program=program)


def test_default_depth_loses_nothing(tiny, tmp_path):
    project = engine(tiny, tmp_path / "rtl")
    needed = project.manifest["fifo_needed"]
    assert project.manifest["head_interval"] == LENGTH and project.latency < CHANNELS
    assert project.fifo_depth == with_slack(needed) and needed < CHANNELS
    result = run(tiny, project, tmp_path)
    assert result.mismatches == 0 and result.windows == CHANNELS * FRAMES, str(result)


def test_the_needed_places_are_needed(tiny, tmp_path):
    """A few places too few, and results are missing and counted as dropped.

    The closed form is on the safe side by up to 3 places: it takes the head to be busy as the first window closes (here
    it is free in that very clock) and its latency to be the longest.
    """
    needed = engine(tiny, tmp_path / "default").manifest["fifo_needed"]
    result = run(tiny, engine(tiny, tmp_path / "rtl", fifo_depth=needed - 4), tmp_path)
    assert result.mismatches > 0, str(result)
