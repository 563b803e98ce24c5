"""The head of an engine: serial for every shipped model, parallel with a reason where it cannot be."""

import pytest

import venom_hw.codegen.rtl.parts as parts
from tests.codegen.rtl.head_models import head_of
from tests.codegen.tiny_venom import tiny_venom
from venom_hw.boards import load_board
from venom_hw.codegen.errors import CodegenError
from venom_hw.codegen.rtl.parts import head_unit, needed, with_calibration
from venom_hw.codegen.rtl.project import render_rtl
from venom_hw.codegen.rtl.strategies import Strategies
from venom_hw.flow.model_files import find_model
from venom_hw.interchange.importer import import_venom


@pytest.mark.parametrize("model", ["ptsi", "inhf", "ptsi-lean", "inhf-lean"])
def test_heads_of_shipped_models_are_serial(model):
    files = find_model(model)
    datapath = import_venom(files.step, files.head)
    step, _, head, loaded = with_calibration(datapath, "auto")
    assert loaded
    step, head = needed(step, head)
    kind, unit, fallback = head_unit(head, "serial", None, step.max_steps, 11, "by hand", Strategies())
    assert (kind, fallback) == ("serial", None) and unit.interval == 64


def refusing(monkeypatch):
    def refuse(*_, **__):
        raise CodegenError("head: table 'a' has no room")

    monkeypatch.setattr(parts, "render_head", refuse)


def test_a_parallel_head_says_why(monkeypatch, tmp_path):
    assert render_rtl(tiny_venom(), load_board("rfsoc4x2"), tmp_path, channels=4).manifest["head_fallback"] is None
    refusing(monkeypatch)
    manifest = render_rtl(tiny_venom(), load_board("rfsoc4x2"), tmp_path, channels=4).manifest
    assert manifest["head"] == "parallel" and manifest["head_fallback"] == "head: table 'a' has no room"
    asked = render_rtl(tiny_venom(), load_board("rfsoc4x2"), tmp_path, channels=4, head="parallel").manifest
    assert asked["head"] == "parallel" and asked["head_fallback"] is None


def test_a_serial_head_with_an_interval_is_not_replaced(monkeypatch):
    refusing(monkeypatch)
    with pytest.raises(CodegenError, match="no room"):
        head_unit(head_of("tiny"), "serial", 16, 20, 4, "by hand", Strategies())
