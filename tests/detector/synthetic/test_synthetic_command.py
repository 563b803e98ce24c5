"""python -m venom_hw.detector.synthetic"""

import json

import numpy as np
import pytest

from venom_hw.detector.synthetic import load_generator
from venom_hw.detector.synthetic.__main__ import main, parser


def test_fits_compares_and_writes(ptsi_folder, tmp_path, capsys):
    arguments = ["--data", str(ptsi_folder), "--out", str(tmp_path / "out"), "--pulses", "3000", "--n-components", "60"]
    assert main(arguments) == 0
    out, error = capsys.readouterr()
    summary = json.loads((tmp_path / "out" / "comparison.json").read_text())
    rows = summary["held-out pulses of the lines"]
    assert [row["label"] for row in rows] == ["1310nm", "1120nm", "980nm", "920nm", "808nm"]
    assert all(abs(row["bias_ev"]) < 5 * row["bias_error_ev"] and 0.7 < row["ratio"] < 1.5 for row in rows)
    generator = load_generator(tmp_path / "out" / "generator.npz")
    assert generator.n_components == summary["components"] < 60 and "principal components instead of 60" in error
    assert (tmp_path / "out" / "generator.png").read_bytes().startswith(b"\x89PNG")
    assert out.splitlines()[-1].endswith("generator.npz, generator.png, comparison.json") and "808nm" in out
    assert len(generator.sample([1.0], np.random.default_rng(0))) == 1


@pytest.mark.parametrize("arguments, message", [
    (["--data", "nowhere"], "no such folder"),
    (["--data", "DATA", "--n-components", "0"], "n_components"),
    (["--data", "DATA", "--pulses", "0"], "--pulses"),
    (["--data", "DATA", "--between", "nowhere"], "no such folder"),
])
def test_errors_are_one_line_and_nothing_is_written(arguments, message, inhf_folder, tmp_path, capsys):
    arguments = [str(inhf_folder) if a == "DATA" else a for a in arguments]
    assert main([*arguments, "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("error: ") and message in error
    assert not (tmp_path / "out").exists()


def test_help_has_examples():
    assert "examples:" in parser().format_help()
