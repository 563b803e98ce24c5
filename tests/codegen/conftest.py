"""The tiny network as a project with vectors, built once for the tests of this folder."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # tiny_venom

from venom_hw.boards import load_board
from venom_hw.codegen.csim import FLAGS, build_csim
from venom_hw.codegen.hls_project import render_project
from venom_hw.codegen.vectors import write_vectors

QUICK = ["-O0" if flag == "-O2" else flag for flag in FLAGS]
CHANNELS, REVISIT = 3, 2


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """datapath, project, stimulus, expected, vectors (path), flags."""
    from tiny_venom import tiny_venom

    from sim.fuzz.expected import reference
    from sim.fuzz.random_graph import random_stimulus

    datapath = tiny_venom()
    folder = tmp_path_factory.mktemp("tiny") / "hls"
    project = render_project(datapath, load_board("rfsoc4x2"), folder, channels=CHANNELS, revisit=REVISIT)
    stimulus = random_stimulus(
        5, windows=80, channels=CHANNELS, revisit=REVISIT, max_steps=datapath.step.max_steps
    )
    expected = reference(datapath, stimulus)
    vectors = write_vectors(
        folder / "tb" / "vectors.bin", stimulus, expected, max_steps=datapath.step.max_steps
    )
    return SimpleNamespace(
        datapath=datapath, project=project, stimulus=stimulus, expected=expected, vectors=vectors, flags=QUICK
    )


@pytest.fixture(scope="session")
def tiny_binary(tiny):
    """The tiny project's C simulation."""
    return build_csim(tiny.project, flags=tiny.flags)
