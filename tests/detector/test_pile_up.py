"""Options of python -m venom_hw.simulate that change the detector: pile-up and older versions."""

import json

import numpy as np
import pytest

from venom_hw.simulate import main


def test_pile_up_is_that_share_of_traces(tmp_path):
    assert main(["--pulses", "300", "--pile-up", "0.3", "--energies", "1.2", "--out", str(tmp_path)]) == 0
    metadata = json.loads((tmp_path / "metadata.json").read_text())
    assert metadata["parameters"]["pileup_fraction"] == 0.3
    with np.load(next(tmp_path.glob("10*nm.npz"))) as data:
        assert abs(1 - data["mask"].mean() - 0.3) < 0.08


def test_no_pile_up_at_all(tmp_path):
    assert main(["--pulses", "200", "--pile-up", "0", "--energies", "1.2", "--out", str(tmp_path)]) == 0
    with np.load(next(tmp_path.glob("10*nm.npz"))) as data:
        assert data["mask"].all()


def test_an_older_version_by_name(tmp_path, capsys):
    assert main(["--pulses", "2", "--version", "1", "--energies", "1.2", "--out", str(tmp_path)]) == 0
    assert "version 1" in capsys.readouterr().out
    metadata = json.loads((tmp_path / "metadata.json").read_text())
    assert metadata["version"] == 1 and metadata["parameters"]["readout_bandwidth_hz"] is None


@pytest.mark.parametrize("arguments", [["--pile-up", "1.5"], ["--pile-up", "-0.1"], ["--pixels", "0"],
                                       ["--version", "9"]])
def test_bad_arguments_are_said(tmp_path, capsys, arguments):
    assert main([*arguments, "--out", str(tmp_path / "x")]) == 2
    assert arguments[0].strip("-") in capsys.readouterr().err and not (tmp_path / "x").exists()
