"""The event-driven top that the jobs write and what they report of it."""

from types import SimpleNamespace

import pytest

import venom_hw.flow.rtl as flow
import venom_hw.synthesis.design as design
from venom_hw.codegen.rtl.dispatcher import NAME
from venom_hw.codegen.rtl.project import RtlProject
from venom_hw.codegen.rtl.rates import dead_time
from venom_hw.flow.build import Options
from venom_hw.flow.summary import rtl_table

MANIFEST = dict(
    model="mine", top="venom", channels=64, max_steps=40, revisit=9, interval=1, clock_mhz=512.0, calibration=None,
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


def report_of():
    clocks = {name: {} for name in ("clocks", "stages", "stats")}
    manifest = MANIFEST | clocks | dict(
        fifo_depth=128, fifo_needed=70, head="serial", head_fallback=None, head_interval=32, latency=400,
        state_bits=64, register_bits=5000,
        distances={"h": 9, "window": 5},
    )  # fmt: skip
    board = SimpleNamespace(design_mhz=512.0, pixels=2048)
    return flow.rtl_report(RtlProject(None, manifest, ()), board, {"rate_hz": 500e3})


def test_dead_time_is_as_long_as_the_dispatcher_blocks_a_channel():
    """From a trigger to the window's first beat half a sample on average, 40 samples, and the beat that frees it."""
    report = report_of()
    for name, channels, slots in (("triggered", 64, 64), ("triggered_all_pixels", 2048, 1016)):
        want = dead_time(channels, 5000.0, 40.5 / 500e3, slots=slots)
        assert report[name]["recorded"] == round(want.recorded, 4), name
        assert report[name]["recorded"] < round(dead_time(channels, 5000.0, 40 / 500e3, slots=slots).recorded, 4)


def test_rows_of_the_summary_say_what_they_count():
    report = report_of()
    assert report["continuous"] == {"fifo_needed": 70, "fifo_slack": 58, "pause_clocks": 58 * 32}
    text = rtl_table(report)
    assert "The head is parallel" not in text
    assert "not possible: table 'a'" in rtl_table(report | {"head": "parallel", "head_fallback": "table 'a' too wide"})
    assert "places for results (64 windows at once need 70; a consumer may pause 1,856 clocks)" in text
    assert "shortest windows sustained back to back, in samples (serial head, one every 32 clocks)" in text
    assert "pixel: 64 triggered channels, 64 windows at once" in text
    assert "pixel: an engine for all the board's 2,048 triggered channels, 1,016 windows at once" in text
