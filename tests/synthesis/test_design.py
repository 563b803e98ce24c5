"""A whole small engine through Yosys, its head, its step, and the same step by alkaid."""

import pytest

from tests.codegen.tiny_venom import tiny_venom
from venom_hw.boards import load_board
from venom_hw.synthesis.design import measure, part
from venom_hw.synthesis.report import document
from venom_hw.synthesis.tables import summary


@pytest.mark.slow
def test_a_small_engine_is_measured_from_end_to_end(tmp_path):
    datapath, board, said = tiny_venom(), load_board("rfsoc4x2"), []
    given = {"name": "tiny", "cache": tmp_path / "cache", "say": said.append}
    found = measure(datapath, board, tmp_path / "out", **given)
    report = document(found, board, model="tiny", datapath_hash=datapath.hash)
    step, alkaid = report["step"], report["alkaid_step"]
    assert 500 < step["lut"] < report["engine"]["lut"] < 10_000
    assert 500 < alkaid["lut"] < 10_000 and alkaid["vectors_equal_to_golden"] == 2000
    assert report["engine"]["lut_levels"] <= 5 < alkaid["lut_levels"]  # the bound; alkaid's stages are deeper
    assert step["dsp"] == found.projects[2048].manifest["stats"]["step"]["multipliers_dsp"]
    assert report["packed_xc7"]["step"]["ff"] < step["ff"]  # registers in the DSP blocks
    large, small = (found.areas[n] for n in (2048, 512))
    assert part(large, "step") == part(small, "step")  # and is not synthesised twice
    assert "step" not in small.seconds
    assert part(small, "engine")[0].bram36 <= part(large, "engine")[0].bram36
    assert "the same step by alkaid" in summary(report) and any("512 channels" in text for text in said)
