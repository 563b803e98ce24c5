"""Random graphs of every operation: the C simulation against the reference executor, every word of every tensor."""

import pytest

from sim.fuzz.expected import reference
from sim.fuzz.grower import OPS
from sim.fuzz.random_graph import random_datapath, random_stimulus
from venom_hw.boards import load_board
from venom_hw.codegen.csim import build_csim, run_csim
from venom_hw.codegen.hls_project import render_project
from venom_hw.codegen.vectors import write_vectors

SEEDS = [1, 4]
MORE_SEEDS = range(100, 112)


@pytest.mark.parametrize("seed", [*SEEDS, *(pytest.param(s, marks=pytest.mark.slow) for s in MORE_SEEDS)])
def test_random_graph(seed, tmp_path, tiny):
    datapath, done = random_datapath(seed, nodes=40)
    assert all(done[op] for op in OPS if op != "matmul"), done
    stimulus = random_stimulus(seed, windows=60, channels=3, revisit=2, max_steps=5)
    project = render_project(datapath, load_board("zcu111"), tmp_path, channels=3, revisit=2)
    path = write_vectors(tmp_path / "v.bin", stimulus, reference(datapath, stimulus), max_steps=5)
    result = run_csim(project, path, binary=build_csim(project, flags=tiny.flags))
    assert result.mismatches == 0, str(result)
    assert result.windows > 20
