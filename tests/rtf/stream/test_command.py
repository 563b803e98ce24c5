"""python -m rtf_models encode, on real packets, with a small network."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from rtf_models.checkpoint import load_checkpoint, save_checkpoint
from rtf_models.classes import BTS
from rtf_models.data.inputs import InputSpec
from rtf_models.evaluation.anomaly import AnomalyScorer, Observed
from rtf_models.model import LightCurveCompressor
from rtf_models.stream.calibration import StreamCalibration
from rtf_models.stream.command import main, parser
from tests.rtf.stream.toy import letters, rows, survey, visible, write_avro

REPOSITORY = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Folder of a small untrained network with a made-up calibration."""
    folder = tmp_path_factory.mktemp("model")
    torch.manual_seed(0)
    network = LightCurveCompressor(mode="ae", latent_dim=8, d_model=16, n_heads=2, n_encoder_layers=1, d_ff=32,
                                   n_decoder_layers=1)  # fmt: skip
    save_checkpoint(folder / "model.safetensors", network, InputSpec(), scheme=BTS)
    rng = np.random.default_rng(0)
    observed = Observed.of(rng.lognormal(size=(60, 5)), rng.normal(size=(60, 8)), rng.integers(1, 50, 60))
    calibration = StreamCalibration(AnomalyScorer.fit(observed), np.log([1.0, 50.0]), np.zeros(2), np.ones(2),
                                    load_checkpoint(folder).sha256)
    calibration.save(folder / "stream_calibration.json")
    return folder


@pytest.fixture
def alerts(tmp_path):
    write_avro(tmp_path / "in" / "a.avro", survey(np.random.default_rng(0), 30))
    return tmp_path / "in"


def run(model, alerts, out, *more):
    return main(["--checkpoint", str(model), "--input", str(alerts), "--output-dir", str(out), "--quiet", *more])


@pytest.mark.parametrize("options", [(), ("--int8",), ("--format", "parquet"), ("--no-anomaly",)])
def test_real_alerts_end_to_end(model, ztf_folder, tmp_path, capsys, options):
    assert run(model, ztf_folder, tmp_path, *options) == 0
    said = capsys.readouterr().out
    found = rows(tmp_path)
    assert f"{len(found):,} fingerprints of 161 alerts" in said
    assert len(found) + int(re.search(r"(\d+) without a positive detection", said)[1]) == 161
    assert len({candid for _, candid, *_ in found}) == len(found) and not letters(tmp_path)
    assert all(np.isfinite(score) for *_, score in found) != ("--no-anomaly" in options)


def test_stopped_and_started_is_the_same_as_in_one_go(model, alerts, tmp_path):
    assert run(model, alerts, tmp_path / "whole", "--part-rows", "4", "--batch", "4") == 0
    for _ in range(12):
        assert run(model, alerts, tmp_path / "steps", "--part-rows", "4", "--batch", "4", "--max-alerts", "3") == 0
    whole, steps = rows(tmp_path / "whole"), rows(tmp_path / "steps")
    assert [r[:4] for r in whole] == [r[:4] for r in steps]
    for a, b in zip(whole, steps, strict=True):  # in other batches, where sums may round otherwise
        np.testing.assert_allclose(np.frombuffer(a[4], np.float32), np.frombuffer(b[4], np.float32), atol=1e-6)


def test_another_model_or_format_is_refused(model, alerts, tmp_path, capsys):
    assert run(model, alerts, tmp_path / "out") == 0
    assert run(model, alerts, tmp_path / "out", "--int8") == 2
    assert "int8 False, this run is of True" in capsys.readouterr().err


def test_only_broken_input_is_a_failure(model, tmp_path, capsys):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "x.avro").write_bytes(b"nothing")
    assert run(model, tmp_path / "in", tmp_path / "out") == 1
    assert "1 broken (see" in capsys.readouterr().out and len(letters(tmp_path / "out")) == 1


def test_the_output_may_lie_within_the_input(model, alerts):
    for _ in range(2):
        assert run(model, alerts, alerts / "out") == 0
    assert not letters(alerts / "out") and len(visible(alerts / "out")) == 1


@pytest.mark.parametrize("options, said", [
    (("--batch", "0"), "--batch 0"), (("--history", "-1"), "--history -1"), (("--max-wait", "nan"), "--max-wait nan"),
    (("--calibration", "x", "--no-anomaly"), "one of them"), (("--calibration", "nowhere.json"), "nowhere.json"),
])  # fmt: skip
def test_options_that_make_no_sense(model, alerts, tmp_path, capsys, options, said):
    assert run(model, alerts, tmp_path / "out", *options) == 2
    assert said in capsys.readouterr().err


def test_inputs_that_make_no_sense(model, alerts, tmp_path, capsys):
    assert run(model, tmp_path / "nowhere", tmp_path / "out") == 2
    assert "no such file" in capsys.readouterr().err
    assert run(model, "kafka://host", tmp_path / "out") == 2
    assert run(model, "kafka://host/topic", tmp_path / "out", "--watch") == 2
    assert run("nothing-of-the-kind", alerts, tmp_path / "out") == 2
    assert not (tmp_path / "out").exists()


def test_help_has_examples_that_parse():
    text = parser().format_help()
    lines = re.findall(r"python -m rtf_models encode ((?:.*\\\n)*.*)", text[text.index("examples:"):])
    assert len(lines) == 4
    for line in lines:
        parser().parse_args(line.replace("\\\n", " ").replace("'", "").split())


def started(model, alerts, out, *more):
    command = [sys.executable, "-m", "rtf_models", "encode", "--checkpoint", str(model), "--input", str(alerts),
               "--output-dir", str(out), "--quiet", "--part-rows", "20", "--batch", "8", *more]  # fmt: skip
    return subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                            env=os.environ | {"OMP_NUM_THREADS": "1"})  # fmt: skip


def until(condition, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.01)


@pytest.mark.slow
def test_kill_9_of_the_command(model, tmp_path):
    """The real process, killed with no warning soon after its first parts, three times; then it ends by itself."""
    for k in range(4):
        write_avro(tmp_path / "in" / f"{k}.avro", survey(np.random.default_rng(k), 1000)[k * 250 : k * 250 + 250])
    with started(model, tmp_path / "in", tmp_path / "whole") as whole:
        assert whole.wait(240) == 0, whole.stderr.read()
    for parts in (1, 4, 9):
        with started(model, tmp_path / "in", tmp_path / "out") as process:
            until(lambda n=parts: process.poll() is not None or len(list((tmp_path / "out").glob("f*"))) >= n)
            process.kill()
    with started(model, tmp_path / "in", tmp_path / "out") as last:
        assert last.wait(240) == 0, last.stderr.read()
    assert rows(tmp_path / "out") == rows(tmp_path / "whole")


@pytest.mark.slow
def test_a_watching_process_ends_well_when_asked(model, alerts, tmp_path):
    with started(model, alerts, tmp_path / "out", "--watch", "--settle", "0", "--max-wait", "0.2") as process:
        until(lambda: visible(tmp_path / "out") if (tmp_path / "out").exists() else False)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0, process.stderr.read()
    journal = tmp_path / "out" / "state" / "journal.jsonl"
    first = json.loads(journal.read_text().splitlines()[-1])["totals"]
    assert len(rows(tmp_path / "out")) == first["fingerprints"] > 0
    assert run(model, alerts, tmp_path / "out") == 0
    totals = json.loads(journal.read_text().splitlines()[-1])["totals"]
    assert totals["alerts"] == 30 and len(rows(tmp_path / "out")) == totals["fingerprints"]
