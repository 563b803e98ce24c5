"""The event-driven top that the jobs write: windows that begin as many samples before the peak as the model's do."""

from types import SimpleNamespace

import pytest

import venom_hw.flow.rtl as flow
import venom_hw.synthesis.design as design
from venom_hw.codegen.rtl.dispatcher import NAME
from venom_hw.codegen.rtl.project import RtlProject
from venom_hw.flow.build import Options

MANIFEST = dict(
    model="mine", channels=64, max_steps=40, revisit=9, interval=1, clock_mhz=512.0, calibration=None,
    counters=["abandoned_count", "ignored_count", "overlong_count", "dropped_count", "revisit_error"],
)  # fmt: skip


@pytest.mark.parametrize("n_pre", [10, 23])
def test_windows_begin_where_the_model_was_trained(tmp_path, monkeypatch, n_pre):
    datapath = SimpleNamespace(meta={"window": {"rate_hz": 500e3, "n_pre": n_pre}})
    project = RtlProject(tmp_path, MANIFEST, ())
    monkeypatch.setattr(flow, "render_rtl", lambda *a, **k: project)
    monkeypatch.setattr(design, "synthesise", lambda *a, **k: None)
    written = tmp_path / "triggered" / f"{NAME}.sv"

    options = Options(None, SimpleNamespace(name="mine"), tmp_path, trigger_delay=2)
    flow.render_board_rtl(options, datapath, tmp_path)
    assert f"{n_pre} before the trigger's sample, itself, 2 for the trigger's delay" in written.read_text()

    made, _ = design.dispatcher_of(datapath, project, tmp_path)
    assert (made.pre, made.trigger_delay) == (n_pre, 1)
    assert f"{n_pre} before the trigger's sample, itself, 1 for" in written.read_text()
