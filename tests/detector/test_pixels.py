"""Pixels scattered about a preset."""

import dataclasses
import json

import numpy as np
import pytest

from venom_hw.detector import PRESETS, DataError, load_pulse_set, scatter_pixels
from venom_hw.detector.pixels import BAND_HZ, SPREAD, generate_pixels, pixel_seed
from venom_hw.detector.simulator import clean_response, phase
from venom_hw.simulate import main

PTSI, INHF = PRESETS["ptsi"], PRESETS["inhf"]


def test_pixels_are_reproducible_and_more_of_them_begin_with_the_same():
    few, again, many = scatter_pixels(PTSI, 3, 5), scatter_pixels(PTSI, 3, 5), scatter_pixels(PTSI, 20, 5)
    assert few == again == many[:3] and few != scatter_pixels(PTSI, 3, 6)
    assert [p.name for p in few] == ["ptsi-pixel-0000", "ptsi-pixel-0001", "ptsi-pixel-0002"]
    assert len({p.qc for p in many}) == 20 and len({pixel_seed(5, k) for k in range(2000)}) == 2000


def test_scatter_has_the_spread_it_says_and_what_the_readout_fixes_does_not_vary():
    pixels = scatter_pixels(PTSI, 1500, 0)
    for field, spread in SPREAD.items():
        log = np.log([getattr(p, field) / getattr(PTSI, field) for p in pixels])
        assert abs(log.std() / spread - 1) < 0.1 and abs(log.mean()) < 0.1 * spread, field
    f0 = np.array([p.f0_hz for p in pixels])
    assert f0.min() > BAND_HZ[0] and f0.max() < BAND_HZ[1] and abs(f0.mean() / 6e9 - 1) < 0.02
    varied = {*SPREAD, "f0_hz", "gain_phase_rad", "line_tones", "name"}
    for field in dataclasses.fields(PTSI):
        if field.name not in varied:
            assert {getattr(p, field.name) for p in pixels} == {getattr(PTSI, field.name)}, field.name


@pytest.mark.parametrize("preset", [PTSI, INHF], ids=lambda p: p.name)
def test_every_pixel_is_a_detector_that_works(preset):
    """Below bifurcation, within int16, pulses that rise with energy on the phase's branch."""
    energies = 1239.84 / np.array([preset.wavelengths_nm[-1], preset.wavelengths_nm[0]])
    for pixel in scatter_pixels(preset, 60, 1):
        assert 0 < pixel.swenson_a < 0.6
        z = clean_response(pixel, energies)
        assert max(np.abs(z.real).max(), np.abs(z.imag).max()) < 16000
        low, high = phase(pixel, z).max(axis=1)
        assert 0.3 < low < high < 2.9


def test_nonsense_is_refused():
    with pytest.raises(ValueError, match="at least one"):
        scatter_pixels(PTSI, 0, 1)


def test_the_command_writes_a_folder_a_pixel_and_goes_on(tmp_path, capsys):
    command = ["--preset", "ptsi", "--pulses", "30", "--seed", "4", "--out", str(tmp_path / "array")]
    assert main([*command, "--pixels", "1"]) == 0
    first = (tmp_path / "array/pixel-0000/808nm.npz").stat().st_mtime_ns
    assert main([*command, "--pixels", "2"]) == 0
    assert "2 pixels" in capsys.readouterr().out
    assert (tmp_path / "array/pixel-0000/808nm.npz").stat().st_mtime_ns == first
    a, b = (load_pulse_set(tmp_path / f"array/pixel-000{k}") for k in range(2))
    assert a.counts.shape[1:] == b.counts.shape[1:] == (126, 2)
    metadata = json.loads((tmp_path / "array/pixel-0001/metadata.json").read_text())
    assert metadata["preset"] == "ptsi-pixel-0001" and metadata["version"] == PTSI.version
    with np.load(tmp_path / "array/pixel-0000/noise.npz") as x, np.load(tmp_path / "array/pixel-0001/noise.npz") as y:
        noise = [(d["i_trace"] - d["i_trace"].mean()).ravel() for d in (x, y)]
    assert abs(np.corrcoef(*noise)[0, 1]) < 0.2  # not one noise scaled


def test_pixels_do_not_go_into_a_data_set_of_one_detector(tmp_path):
    assert main(["--pulses", "3", "--out", str(tmp_path)]) == 0
    assert main(["--pulses", "3", "--pixels", "2", "--out", str(tmp_path)]) == 2
    with pytest.raises(DataError, match="one detector"):
        generate_pixels(PTSI, tmp_path, 1, 3, 0)
