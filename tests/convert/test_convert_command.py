"""The convert command: folders and checkpoints that the rest of the project reads, errors with status 2."""

import json
import os
import pickle

import numpy as np
import pytest

from tests.detector.lab_pickles import write_loop
from tests.detector.test_inert_pickle import Reduces
from tests.detector.test_postage_stamp import capture
from venom_hw.convert import main
from venom_hw.detector import load_pulse_set


def test_a_loop(tmp_path, capsys):
    path = write_loop(tmp_path)
    arguments = ["mkidcalculator", str(path), "--out", str(tmp_path / "data")]
    assert main(arguments) == 0
    assert "2 lines (813.7nm, 1310nm), 5 files" in capsys.readouterr().out
    assert len(load_pulse_set(tmp_path / "data").wl_labels) == 2
    assert main(arguments) == 0 and "there already" in capsys.readouterr().out
    assert main([*arguments, "--wavelengths", "800,900", "--force"]) == 0
    assert load_pulse_set(tmp_path / "data").wl_labels == ["800nm", "900nm"]


def test_code_in_a_pickle_is_an_error_and_does_not_run(tmp_path, capsys):
    marker, path = tmp_path / "ran", tmp_path / "evil.p"
    path.write_bytes(pickle.dumps(Reduces(os.system, (f"touch {marker}",))))
    assert main(["mkidcalculator", str(path), "--out", str(tmp_path / "data")]) == 2
    said = capsys.readouterr().err
    assert "error:" in said and "system" in said and "allow-list" in said
    assert not marker.exists() and not (tmp_path / "data").exists()
    name = f"{os.system.__module__}.system"  # even where the user lets it pass, it is only skipped over
    assert main(["mkidcalculator", str(path), "--out", str(tmp_path / "data"), "--placeholder", name]) == 2
    assert "no Loop" in capsys.readouterr().err and not marker.exists()


def test_stamps_of_one_and_of_all_channels(tmp_path, capsys):
    for k, w in enumerate((808, 1310)):
        np.save(tmp_path / f"{w}.npy", capture(height=2.0 - 0.4 * k, seed=k, channels=(7, 9) if k else (7, 9, 11)))
    files = [f"{w}={tmp_path / f'{w}.npy'}" for w in (808, 1310)]
    assert main(["postage", *files, "--out", str(tmp_path / "all")]) == 0
    said = capsys.readouterr()
    assert "channel 11: left out" in said.err and "channel-0009" in said.out
    assert sorted(p.name for p in (tmp_path / "all").iterdir()) == ["channel-0007", "channel-0009"]
    assert main(["postage", *files, "--out", str(tmp_path / "one"), "--channel", "9", "--units", "2^14"]) == 0
    assert json.loads((tmp_path / "one" / "metadata.json").read_text())["channel"] == 9
    pulses = load_pulse_set(tmp_path / "all" / "channel-0007", downsample=2, n_pre=3)
    assert pulses.wl_labels == ["808nm", "1310nm"]
    assert main(["postage", files[0], files[0], "--out", str(tmp_path / "two")]) == 2
    assert main(["postage", files[0], "--out", str(tmp_path / "two"), "--channel", "5"]) == 2
    assert "channel 5" in capsys.readouterr().err


@pytest.mark.parametrize("bad", ["808", "808=", "=x.npy", "blue=x.npy", "3=x.npy"])
def test_a_capture_is_named_by_its_wavelength(bad, capsys):
    with pytest.raises(SystemExit) as caught:
        main(["postage", bad, "--out", "x"])
    assert caught.value.code == 2 and "NM=FILE" in capsys.readouterr().err


@pytest.mark.parametrize("kind", [[], ["mkidcalculator"], ["postage"], ["weights"]])
def test_help_teaches(kind, capsys):
    with pytest.raises(SystemExit) as caught:
        main([*kind, "--help"])
    assert caught.value.code == 0 and "--out" in capsys.readouterr().out
