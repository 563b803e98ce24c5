"""python -m venom_hw.simulate."""

import json

import numpy as np
import pytest

from venom_hw.simulate import main


def test_writes_the_original_format(tmp_path, capsys):
    assert main(["--preset", "ptsi", "--pulses", "7", "--seed", "2", "--out", str(tmp_path / "a")]) == 0
    assert "5 lines of 7 pulses" in capsys.readouterr().out
    with np.load(tmp_path / "a" / "808nm.npz") as data:
        assert set(data.files) == {"i_trace", "q_trace", "mask", "peak_heights"}
        assert data["i_trace"].dtype == np.int16 and data["i_trace"].shape == (7, 1000)
        assert data["mask"].dtype == bool and data["peak_heights"].shape == (7,)
    metadata = json.loads((tmp_path / "a" / "metadata.json").read_text())
    assert (metadata["preset"], metadata["version"], metadata["seed"]) == ("ptsi", 2, 2)
    assert metadata["sample_rate_hz"] == 2e6 and metadata["centre"] == [0, 0]
    assert not list((tmp_path / "a").glob(".*"))  # no temporary file is left


def test_a_second_run_does_nothing_and_another_data_set_is_refused(tmp_path, capsys):
    command = ["--pulses", "3", "--out", str(tmp_path), "--seed"]
    assert main([*command, "2"]) == 0
    before = (tmp_path / "808nm.npz").stat().st_mtime_ns
    assert main([*command, "2"]) == 0
    assert "already there" in capsys.readouterr().out
    assert (tmp_path / "808nm.npz").stat().st_mtime_ns == before
    assert main([*command, "3"]) == 2
    assert "--force" in capsys.readouterr().err
    assert main([*command, "3", "--force"]) == 0


def test_energies_between_the_lines(tmp_path):
    assert main(["--pulses", "3", "--energies", "1.1,1.3", "--out", str(tmp_path)]) == 0
    from venom_hw.detector.folder import line_files
    assert [round(1239.841984 / w, 3) for w, _ in line_files(tmp_path)] == [1.3, 1.1]


@pytest.mark.parametrize("arguments", [["--energies", "1.1;2"], ["--energies", "99"], ["--pulses", "0"],
                                       ["--seed", "-1"]])
def test_bad_arguments_are_said(tmp_path, capsys, arguments):
    assert main([*arguments, "--out", str(tmp_path / "x")]) == 2
    assert arguments[0] in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


def test_measured_data_are_never_replaced(tmp_path, capsys):
    (tmp_path / "808nm.npz").write_bytes(b"a night's work")
    for force in ([], ["--force"]):
        assert main(["--pulses", "3", "--out", str(tmp_path), *force]) == 2
        assert "no simulation wrote" in capsys.readouterr().err
    assert (tmp_path / "808nm.npz").read_bytes() == b"a night's work"


def test_an_interrupted_run_is_noticed_and_repeated(tmp_path, monkeypatch):
    from venom_hw.detector import DataError, generate, load_pulse_set
    from venom_hw.detector.presets import PRESETS
    real = generate.simulate_line

    def fails_at_noise(preset, energy, *rest):
        if energy == 0:
            raise KeyboardInterrupt
        return real(preset, energy, *rest)

    monkeypatch.setattr(generate, "simulate_line", fails_at_noise)
    with pytest.raises(KeyboardInterrupt):
        generate.generate_folder(PRESETS["ptsi"], tmp_path, 30, 1)
    with pytest.raises(DataError, match="interrupted"):
        load_pulse_set(tmp_path)
    monkeypatch.undo()
    assert len(generate.generate_folder(PRESETS["ptsi"], tmp_path, 30, 1)) == 7
    assert len(load_pulse_set(tmp_path).wl_labels) == 5
