"""Float, quantised and golden of a shipped model on simulated pulses; the command line."""

import dataclasses
import json

import numpy as np
import pytest

from venom_hw.datapath.golden import Golden
from venom_hw.detector import PRESETS, generate_folder
from venom_hw.evaluation import evaluate_estimators
from venom_hw.evaluation.__main__ import main
from venom_hw.evaluation.between import all_untrained, simulate_between, trained_energies, untrained_energies
from venom_hw.evaluation.estimators import FLOAT, GOLDEN, QUANTISED
from venom_hw.evaluation.models import float_model
from venom_hw.evaluation.sample import load_at
from venom_hw.flow.model_files import PRETRAINED

QUICK = dict(quantised="ptsi", filters=["shared"], n_boot=5, calibration_pulses=30, bound=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "ptsi"
    generate_folder(PRESETS["ptsi"], folder, 150, 9)
    return folder


def test_float_quantised_and_golden(folder):
    report = evaluate_estimators("ptsi", folder, **QUICK)
    assert report.names[1:] == [FLOAT, QUANTISED, GOLDEN]
    assert report.integers["differ"] == 0 and report.integers["windows"] == len(report.energies) > 5 * 10
    np.testing.assert_array_equal(report.estimates[GOLDEN], report.estimates[QUANTISED])
    assert report.tables["kde"].difference(GOLDEN, QUANTISED).high == 0
    assert 0 < report.integers["fidelity_per_cent_of_sigma"] < 25
    assert np.corrcoef(report.estimates[FLOAT], report.energies)[0, 1] > 0.95


def test_one_wrong_integer_is_counted(folder, monkeypatch):
    run = Golden.run

    def wrong(self, samples, *arguments, **options):
        result = run(self, samples, *arguments, **options)
        energy = result.outputs["energy"].copy()
        energy[3] += 1
        return dataclasses.replace(result, outputs=result.outputs | {"energy": energy})

    monkeypatch.setattr(Golden, "run", wrong)
    assert evaluate_estimators("ptsi", folder, **QUICK).integers["differ"] == 1


def test_energies_between_are_not_trained_on(folder, tmp_path):
    model = float_model("ptsi")
    pulses = load_at(model, folder)
    energies = untrained_energies(model, pulses)
    lines = np.unique(pulses.energies)
    assert len(energies) >= 4 and lines.min() < min(energies) and max(energies) < lines.max()
    assert all_untrained(model, pulses.wl_labels, energies)
    assert not all_untrained(model, pulses.wl_labels, [*energies, trained_energies(model, pulses.wl_labels)[-1]])
    assert not all_untrained(model, pulses.wl_labels, lines)
    model.training["settings"] = {"extra": ["somewhere"]}
    assert not all_untrained(model, pulses.wl_labels, energies)
    model.training["settings"] = {"data": "a folder of lines"}
    gaps = untrained_energies(model, pulses)
    np.testing.assert_allclose(gaps, np.sqrt(lines[1:] * lines[:-1]), atol=1e-4)  # one in the middle of each gap
    simulate_between(model, pulses, tmp_path / "between", 3)
    made = simulate_between(model, pulses, tmp_path / "between", 4)  # takes the place of those
    assert len(np.load(made / "noise.npz")["i_trace"]) == 4
    found = np.unique(load_at(model, made).energies)
    np.testing.assert_allclose(found, gaps, rtol=1e-5)


def test_command_line(folder, tmp_path, capsys):
    out = tmp_path / "out"
    options = ["--data", str(folder), "--out", str(out), "--bootstrap", "4", "--filters", "shared", "--quiet"]
    assert main(["--model", "ptsi", *options, "--simulate-between", "40"]) == 0
    said = capsys.readouterr().out
    assert f"Written to {out}: report.txt, report.json, report.md, report.png" in said and "Cramer-Rao bound" in said
    report = json.loads((out / "report.json").read_text())
    assert report["provenance"]["between_untrained"] and report["provenance"]["data"] == "ptsi"
    assert report["provenance"]["between_source"]["seed"] == 1001 and len(report["bound"]["lines"]) == 5
    assert main(["table", str(out), "--out", str(tmp_path / "t.md")]) == 0
    table = capsys.readouterr().out
    assert table.strip() == (tmp_path / "t.md").read_text().strip() and "`out`, 5 lines, windows of 126" in table


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (["--model", "nothing.safetensors"], "model 'nothing.safetensors': expected a file"),
        (["--quantised", "nothing"], "neither a shipped model"),
        (["--data", "nowhere"], "nowhere"),
        (["--filters", "wiener"], "'wiener'"),
        (["--level", "95"], "--level 95.0"),
        (["--bootstrap", "1"], "--bootstrap 1"),
        (["--model", str(PRETRAINED / "ptsi-quantised" / "model.safetensors")], "format 'venom-hw/quantised/1'"),
    ],
)
def test_errors_end_with_status_2(folder, tmp_path, capsys, change, said):
    options = {"--model": "ptsi", "--data": str(folder), "--out": str(tmp_path)} | dict([change])
    argv = [x for pair in options.items() for x in pair]
    assert main([*argv, "--simulate-between", "0", "--quiet"]) == 2
    shown = capsys.readouterr().err
    assert shown.startswith("error: ") and said in shown


def test_help_teaches(capsys):
    for argv in (["--help"], ["leave-one-out", "--help"], ["table", "--help"]):
        with pytest.raises(SystemExit) as end:
            main(argv)
        assert end.value.code == 0 and "usage: python -m venom_hw.evaluation" in capsys.readouterr().out


def test_an_unknown_backend_is_an_error(folder, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("VENOM_BACKEND", "abacus")
    assert main(["--model", "ptsi", "--data", str(folder), "--out", str(tmp_path), "--quiet"]) == 2
    assert "abacus" in capsys.readouterr().err
