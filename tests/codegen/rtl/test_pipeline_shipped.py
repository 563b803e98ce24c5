"""The step pipelines of the shipped models under Verilator: all state words and outputs; shared multipliers, too."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from test_pipeline import differences, steps

from sim.pipeline_sim import PipelineSim
from venom_hw.codegen.rtl.emit import render_pipeline
from venom_hw.flow.model_files import find_model
from venom_hw.interchange.importer import import_venom

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(("model", "interval"), [("ptsi", 1), ("inhf", 1), ("ptsi", 8), ("ptsi-lean", 4)])
def test_step(tmp_path, model, interval):
    files = find_model(model)
    graph = import_venom(files.step, files.head).step
    given, wanted = steps(np.random.default_rng(2), graph, 1500)
    pipeline = render_pipeline(graph, name="step", interval=interval)
    assert (
        sum(values[0].size for name, values in wanted.items() if name in dict(graph.states).values()) == 193
    )
    assert not differences(PipelineSim(pipeline, tmp_path).run(given), wanted)
