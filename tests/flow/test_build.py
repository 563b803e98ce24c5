"""The main job on a small model: the report, the exit status, and that a changed bit is found and named."""

import json
from dataclasses import replace

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from venom_hw import hls
from venom_hw.datapath.golden import Golden
from venom_hw.flow.checks import Check, check_qonnx, check_reference
from venom_hw.flow.model_files import ModelFiles
from venom_hw.flow.stimuli import check_windows


@pytest.fixture(scope="module")
def built(small_model, tmp_path_factory):
    out = tmp_path_factory.mktemp("build")
    status = hls.main(["--model", str(small_model), "--out", str(out), "--windows", "60", "--no-bench"])
    return status, json.loads((out / "report.json").read_text()), out


def test_the_job_is_bit_exact_and_says_so(built):
    status, report, out = built
    assert status == 0 and report["bit_exact"] is True
    assert set(report["renderings"]) == {"qonnx", "reference", "hls_csim"}
    for name, check in report["renderings"].items():
        assert check["mismatches"] == 0 and check["windows"] == 60 and check["integers"] > 60 * 50, name
    assert report["golden_engine"] in ("numpy", "native")
    assert report["board"] == "rfsoc4x2" and report["channels"] == 1024
    assert report["estimates"]["multipliers"]["variable"] > 0
    rtl = report["rtl"]
    assert rtl["channels"] == 1024 and rtl["revisit"] == max(rtl["distances"].values()) < 20
    assert rtl["stages"] and rtl["register_bits"] > 1000 and rtl["latency"] > rtl["clocks"]["step_latency"]
    assert rtl["fifo_depth"] >= rtl["continuous"]["fifo_needed"] > 0
    shares = rtl["triggered"]
    assert abs(shares["recorded"] + shares["own_window"] + shares["refused"] - 1) < 1e-3 and shares["recorded"] > 0.1
    assert (out / report["files"]["chart"]).read_text().startswith("<?xml")
    assert (out / report["files"]["rtl"] / "venom.sv").is_file()
    assert (out / report["files"]["rtl"] / "triggered" / "venom_triggered.sv").is_file()
    for name in ("hls/src/venom.cpp", "hls/hls_config.cfg", "hls/run_hls.tcl", "hls/tb/vectors.bin"):
        assert name in report["files"]["written"] and (out / name).is_file()


def test_the_report_names_nothing_of_this_machine(built):
    _, report, out = built
    assert str(out) not in json.dumps(report)


def test_what_the_user_reads(built, small_model, capsys):
    out = built[2]
    hls.main(["--model", str(small_model), "--out", str(out), "--windows", "8", "--no-bench"])
    text = capsys.readouterr().out
    assert "BIT EXACT" in text and "HLS C++, g++" in text and "report.json" in text
    assert "RTL: a sample every clock" in text and "clocks between two samples of a channel (loop of" in text


def test_without_rtl(small_model, tmp_path, capsys):
    arguments = ["--model", str(small_model), "--out", str(tmp_path), "--windows", "8", "--no-bench", "--no-rtl"]
    assert hls.main(arguments) == 0
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["rtl"] is None and report["files"]["rtl"] is None and not (tmp_path / "rtl").exists()
    assert "RTL: a sample" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--board", "nosuch"], "nosuch"),
        (["--model", "nosuch"], "neither a shipped model"),
        (["--windows", "1"], "at least 4"),
        (["--seed", "-1"], "--seed -1: at least 0"),
        (["--channels", "0"], "--channels 0: at least 1"),
    ],
)
def test_wrong_arguments_are_said_in_a_line(arguments, message, tmp_path, capsys):
    assert hls.main(["--out", str(tmp_path), "--no-bench", *arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and message in error and error.count("\n") == 1


def test_an_output_that_is_a_file(small_model, tmp_path, capsys):
    (tmp_path / "taken").write_text("")
    assert hls.main(["--model", str(small_model), "--out", str(tmp_path / "taken"), "--no-bench"]) == 2
    assert capsys.readouterr().err.startswith("error: ")


def test_a_difference_turns_verdict_and_status(built, small_model, tmp_path, monkeypatch, capsys):
    """The C++ of a network with another table: the job must say so, name the place and fail."""
    from venom_hw.flow import build as flow

    def render(datapath, *args, **kwargs):
        node = next(n for n in datapath.step.nodes if n.op == "table" and n.name == "xa")
        key = node.attrs["entries"]
        table = datapath.step.constants[key]
        table = np.where(table < table.max(), table + 1, table)
        step = replace(datapath.step, constants={**datapath.step.constants, key: table})
        return rendered(replace(datapath, step=step), *args, **kwargs)

    rendered = flow.render_project
    monkeypatch.setattr(flow, "render_project", render)
    arguments = ["--model", str(small_model), "--out", str(tmp_path), "--windows", "20", "--no-bench"]
    assert hls.main(arguments) == 1
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["bit_exact"] is False and report["skipped"] == ["hls_cocotb", "rtl_verilator", "rtl_cocotb"]
    assert report["renderings"]["qonnx"]["mismatches"] == 0
    csim = report["renderings"]["hls_csim"]
    assert csim["mismatches"] > 0 and "channel" in csim["first"] and "expected" in csim["first"]
    text = capsys.readouterr().out
    assert "NOT BIT EXACT" in text and "FIRST DIFFERENCE" in text


def test_the_whole_job_with_the_bench(small_model, tmp_path):
    assert hls.main(["--model", str(small_model), "--out", str(tmp_path), "--windows", "12"]) == 0
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["bit_exact"] is True and report["skipped"] == []
    for name in ("hls_cocotb", "rtl_cocotb"):
        bench = report["renderings"][name]
        assert bench["mismatches"] == 0 and bench["windows"] > 50 and len(bench["scenarios"]) >= 10
    replayed = report["renderings"]["rtl_verilator"]
    assert replayed["mismatches"] == 0 and replayed["windows"] == 12 and replayed["channels"] == 1024


@pytest.mark.slow
def test_a_wrong_table_in_the_rtl_is_found(small_model, tmp_path, monkeypatch, capsys):
    """The RTL of a network with one other table entry: the replay says so, and the job fails."""
    from venom_hw.flow import build as flow

    def other(datapath):
        key = datapath.step["xa"].attrs["entries"]
        table = datapath.step.constants[key]
        table = np.where(table < table.max(), table + 1, table)
        return replace(datapath, step=replace(datapath.step, constants={**datapath.step.constants, key: table}))

    rendered = flow.render_board_rtl
    monkeypatch.setattr(flow, "render_board_rtl", lambda options, dp, out: rendered(options, other(dp), out))
    for name in ("check_rtl_cocotb", "check_cocotb"):  # not what is tested here
        monkeypatch.setattr(flow, name, lambda *args, name=name: _passed(name.replace("check_", "")))
    assert hls.main(["--model", str(small_model), "--out", str(tmp_path), "--windows", "12"]) == 1
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["bit_exact"] is False and report["renderings"]["hls_csim"]["mismatches"] == 0
    replayed = report["renderings"]["rtl_verilator"]
    assert replayed["mismatches"] > 0 and "channel" in replayed["first"]
    assert "NOT BIT EXACT" in capsys.readouterr().out


def _passed(name):
    check = Check(name)
    check.windows = 1
    return check


@pytest.fixture(scope="module")
def windows(small_datapath, tmp_path_factory):
    return check_windows(small_datapath, 30, folder=tmp_path_factory.mktemp("pulses"), seed=3)


def plain(iterable):
    return iterable


def test_one_changed_weight_in_the_file_is_found(small_files, small_datapath, windows, tmp_path):
    samples, lengths, _ = windows
    golden = Golden(small_datapath.step, small_datapath.head).run(samples, lengths, trace=True)
    same = check_qonnx(small_files, small_datapath, golden, samples, lengths, plain)
    assert same.mismatches == 0 and same.integers > 10_000 and same.first == ""

    model = onnx.load(small_files.step)
    tensor = next(t for t in model.graph.initializer if t.name.endswith("b_proj.weight.value"))
    values = numpy_helper.to_array(tensor).copy()
    values.flat[0] *= 1.5
    tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    onnx.save(model, tmp_path / "step.onnx")
    changed = ModelFiles("changed", tmp_path / "step.onnx", small_files.head, None, None)
    check = check_qonnx(changed, small_datapath, golden, samples, lengths, plain)
    assert check.mismatches > 0
    assert "window" in check.first and "golden" in check.first and "qonnx" in check.first


def test_batches_add_up_and_a_difference_names_the_window_of_all(small_files, small_datapath, windows):
    samples, lengths, _ = windows
    golden = Golden(small_datapath.step, small_datapath.head)
    check = Check("qonnx")
    for at in (0, 20):
        trace = golden.run(samples[at : at + 20], lengths[at : at + 20], trace=True)
        if at:
            energy = trace.outputs["energy"].copy()
            energy[3] += 1
            trace.outputs["energy"] = energy
        check_qonnx(small_files, small_datapath, trace, samples[at : at + 20], lengths[at : at + 20], plain, check)
    assert check.windows == len(samples) == 30 and check.mismatches == 1
    assert check.first.startswith("window 23, at the end, energy")


def test_values_off_the_grid_count_as_mismatches(small_files, small_datapath, windows, tmp_path):
    samples, lengths, _ = windows
    golden = Golden(small_datapath.step, small_datapath.head).run(samples, lengths, trace=True)
    model = onnx.load(small_files.step)
    quant = next(n for n in model.graph.node if n.output[0] == "h_out")
    scale = next(t for t in model.graph.initializer if t.name == quant.input[1])
    scale.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(scale) / 2, scale.name))
    onnx.save(model, tmp_path / "step.onnx")
    changed = ModelFiles("changed", tmp_path / "step.onnx", small_files.head, None, None)
    check = check_qonnx(changed, small_datapath, golden, samples, lengths, plain)
    assert check.mismatches > 0 and "h[" in check.first


def test_one_changed_table_entry_in_the_golden_model_is_found(small_datapath, windows):
    samples, lengths, _ = windows
    step = small_datapath.step
    node = next(n for n in step.nodes if n.op == "table" and n.name == "xa")
    key = node.attrs["entries"]
    good = Golden(step, small_datapath.head).run(samples, lengths, trace=True)
    table = step.constants[key].copy()
    table[len(table) // 2 + 3] += 1
    constants = {**step.constants, key: table}
    bad_step = type(step)(step.name, step.nodes, step.outputs, step.states, step.max_steps, constants)
    bad = Golden(bad_step, small_datapath.head).run(samples, lengths, trace=True)
    assert any(not np.array_equal(good.states[s], bad.states[s]) for s in good.states)
    assert check_reference(small_datapath, bad, samples, lengths, plain).mismatches > 0
    assert check_reference(small_datapath, good, samples, lengths, plain).mismatches == 0


def test_check_windows_cover_the_corners(small_datapath, tmp_path):
    samples, lengths, _ = check_windows(small_datapath, 300, folder=tmp_path, seed=3)
    assert samples.dtype == np.int16 and samples.shape[1] == small_datapath.step.max_steps
    assert lengths.min() == 1 and lengths.max() == small_datapath.step.max_steps
    assert {-32768, 32767} <= set(np.unique(samples))
