"""The stage chart, and the register counts that it shows."""

import re
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))

from tiny_venom import tiny_venom

from venom_hw.codegen.errors import CodegenError
from venom_hw.codegen.rtl.chart import draw_chart
from venom_hw.codegen.rtl.emit import render_pipeline
from venom_hw.codegen.rtl.strategies import Strategies


@pytest.fixture(scope="module")
def tiny():
    graph = tiny_venom().step
    return graph, {ii: render_pipeline(graph, name="tiny_step", interval=ii) for ii in (1, 4)}


def test_the_chart_names_stages_states_and_latency(tiny, tmp_path):
    graph, pipelines = tiny
    text = draw_chart(pipelines[1], tmp_path / "stages.svg", states=dict(graph.states)).read_text()
    # matplotlib draws text as paths and keeps the words in comments
    for word in ("convolution", "ssm", "state pool_num", f"{pipelines[1].latency} clocks"):
        assert word in text, word
    assert draw_chart(pipelines[4], tmp_path / "stages.png").read_bytes().startswith(b"\x89PNG")


def test_another_format_is_refused(tiny, tmp_path):
    with pytest.raises(CodegenError, match="a chart is .svg or .png"):
        draw_chart(tiny[1][1], tmp_path / "stages.pdf")


def test_register_bits_add_up(tiny):
    for pipeline in tiny[1].values():
        assert pipeline.register_bits == sum(s["register_bits"] for s in pipeline.stages) > 0
        for stage in pipeline.stages:
            assert sum(stage["profile"].values()) == stage["register_bits"], stage["name"]
            assert 0 <= stage["first"] <= stage["last"] <= pipeline.latency


def test_every_register_of_the_text_is_counted():
    """What is assigned at the clock's edge, and the delay lines; all tables in LUTs, multipliers' own bits apart."""
    pipeline = render_pipeline(tiny_venom().step, name="tiny_step", strategies=Strategies(tables="lut"))
    found = 0
    for name, text in pipeline.files.items():
        if not name.endswith(".sv") or name.startswith("venom_"):
            continue
        width = {}
        for high, names in re.findall(r"logic (?:signed )?\[(\d+):0\] ([^\[;]+);", text):
            width |= {v.strip(): int(high) + 1 for v in names.split(",")}
        found += sum(width[r] for r in set(re.findall(r"(\w+) <=\s", text)))
        delays = re.findall(r"venom_delay #\(\.WIDTH\((\d+)\), \.DEPTH\((\d+)\)\)", text)
        found += sum(int(bits) * int(depth) for bits, depth in delays)
    assert found == pipeline.register_bits
