"""python -m rtf_models quantize from a checkpoint and a data folder to the report; errors name what is wrong."""

import json
from dataclasses import replace

import numpy as np
import pytest

from rtf_models.checkpoint import save_checkpoint
from rtf_models.classes import APPLECIDER
from rtf_models.data.compact import write_compact
from rtf_models.data.folder import open_split
from rtf_models.data.inputs import InputSpec
from rtf_models.quantize.checkpoint import load_quantised
from rtf_models.quantize.command import main
from rtf_models.quantize.evaluate import quantised_embeddings
from rtf_models.quantize.report import draw
from venom_hw.interchange.execute import Executor


@pytest.fixture
def folder(tmp_path, toy_sources):
    for k, source in enumerate(toy_sources):
        split = tmp_path / "data" / ("train" if k % 4 else "test")
        split.mkdir(parents=True, exist_ok=True)
        write_compact(split / f"{source.object_id}.npz", source)
    return tmp_path / "data"


@pytest.fixture
def checkpoint(tiny, folder, tmp_path):
    model = tiny.model(n_encoder_layers=1, d_model=16, d_ff=16)
    inputs = InputSpec.fit(open_split(folder, "train"))
    return save_checkpoint(tmp_path / "model.safetensors", model, inputs, scheme=APPLECIDER)


def command(checkpoint, folder, out, *more):
    common = ["--checkpoint", str(checkpoint), "--data-dir", str(folder), "--output-dir", str(out), "--quiet"]
    quick = ["--set", "training.steps=3", "--set", "calibration.sources=8", "--detection-counts", "3"]
    return main([*common, *quick, *more])


def test_from_checkpoint_to_report_and_not_twice(checkpoint, folder, tmp_path, capsys):
    out = tmp_path / "out"
    assert command(checkpoint, folder, out, "--name", "toy") == 0
    said = capsys.readouterr().out
    assert {p.name for p in out.iterdir()} == {
        "quantised.safetensors", "encoder.onnx", "report.json", "report.txt", "report.png",
    }  # fmt: skip
    assert all(f"wrote {out / name}" in said for name in ("quantised.safetensors", "encoder.onnx", "report.json"))
    report = json.loads((out / "report.json").read_text())
    assert report["verification"]["mismatches"] == report["verification"]["padding_mismatches"] == 0
    assert report["verification"]["compared"] > 100_000
    assert report["quantisers"]["network"] == report["quantisers"]["file"] == len(load_quantised(
        out / "quantised.safetensors").formats)  # fmt: skip
    assert set(report["evaluation"]) == {"first 3 detections", "whole light curves"}
    for entry in report["evaluation"].values():
        assert set(entry) == {"float", "calibrated", "fine-tuned"}
        assert entry["fine-tuned"]["fidelity"]["cosine_mean"] > 0.99
        assert 0 <= entry["fine-tuned"]["probe"]["coarse"]["accuracy"] <= 1
    assert (out / "report.png").stat().st_size < 150_000

    loaded = load_quantised(out / "quantised.safetensors")
    x = loaded.inputs.prepare(open_split(folder, "test")[0])["x"]
    given = {"x": x[None], "pad_mask": np.zeros((1, len(x)))}
    codes = loaded.codes(Executor(out / "encoder.onnx").run(given)["fingerprint"])
    assert codes.shape == (1, 8) and codes.dtype == np.int8 and codes.any()

    assert command(checkpoint, folder, out, "--name", "toy") == 0
    assert "already holds this result" in capsys.readouterr().out


def test_light_curves_longer_than_the_sums_hold_are_cut_and_said(tiny, folder, tmp_path, capsys):
    """An encoder of at most 20 detections: the result takes 20, and judges itself against the float model's 20."""
    model = tiny.model(n_encoder_layers=1, d_model=16, d_ff=16, max_len=20)
    inputs = InputSpec.fit(open_split(folder, "train"))
    path = save_checkpoint(tmp_path / "short.safetensors", model, inputs, scheme=APPLECIDER)
    longer = sum(inputs.length(s) > 20 for split in ("train", "test") for s in open_split(folder, split))
    out = tmp_path / "out"
    assert longer > 5 and command(path, folder, out, "--set", "training.steps=2") == 0
    said = capsys.readouterr().out
    assert f"{longer} light curves are longer than the 20 detections that this encoder takes: cut to those" in said
    assert f"{longer} light curves (train and test) were cut to their first 20 detections" in said
    loaded = load_quantised(out / "quantised.safetensors")
    assert inputs.max_len is None and loaded.inputs == replace(inputs, max_len=20)
    test = open_split(folder, "test")
    found = quantised_embeddings(loaded, test)
    assert found.lengths.max() == 20
    assert np.array_equal(found.embeddings, quantised_embeddings(loaded, test, 20).embeddings)
    report = json.loads((out / "report.json").read_text())
    assert report["evaluation"]["whole light curves"]["calibrated"]["fidelity"]["cosine_mean"] > 0.99


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--set", "tensors.mu.bits=9"], "has no 'mu'"),
        (["--recipe", "nowhere.toml"], "nowhere.toml: no such file"),
        (["--checkpoint", "nowhere"], "nowhere: no such file"),
        (["--data-dir", "nowhere"], "nowhere"),
        (["--limit", "0"], "--limit 0: expected 1 or more"),
    ],
)
def test_errors_are_told_and_exit_with_2(checkpoint, folder, tmp_path, capsys, more, message):
    assert command(checkpoint, folder, tmp_path / "out", *more) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ") and message in said
    assert not (tmp_path / "out").exists()


def test_a_model_with_images_is_refused(tiny, folder, tmp_path, capsys):
    model = tiny.model(n_encoder_layers=1, use_images=True)
    inputs = InputSpec(images=True)
    path = save_checkpoint(tmp_path / "images.safetensors", model, inputs, scheme=APPLECIDER)
    assert command(path, folder, tmp_path / "out") == 2
    assert "the image tower is not quantised" in capsys.readouterr().err


def test_no_legend_covers_what_is_drawn():
    """Three bars near 100 per cent in each of three cases: the worst place for a legend."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    entry = {name: {"probe": {"coarse": {"accuracy": 0.97}}} for name in ("float", "calibrated", "fine-tuned")}
    report = {"evaluation": {f"first {n} detections": entry for n in (3, 10, 100)}}
    cosines = {name: 1 - np.geomspace(1e-5, 1e-2, 300) for name in ("calibrated", "fine-tuned")}
    figure = draw("toy, 300 light curves", report, cosines, [1.0, 0.5])
    FigureCanvasAgg(figure).draw()
    (legend,) = figure.legends
    assert [text.get_text().split(" (")[0] for text in legend.get_texts()] == ["float", "calibrated", "fine-tuned"]
    box = legend.get_window_extent()
    assert not any(box.overlaps(axes.get_tightbbox()) or axes.get_legend() for axes in figure.axes)
    assert figure.bbox.y0 <= box.y0 and figure.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1


def test_help_teaches(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--help"])
    said = capsys.readouterr().out
    assert stop.value.code == 0 and "python -m rtf_models quantize --checkpoint bts-ae" in said
