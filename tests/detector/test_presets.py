"""Versions of the presets."""

import dataclasses
import json
import math

import numpy as np
import pytest

from venom_hw.detector import PRESETS, DataError, find_preset, preset_of, scatter_pixels
from venom_hw.detector.generate import describe, generate_folder
from venom_hw.detector.simulator import simulate_line
from venom_hw.detector.window import window_length


def test_the_newest_version_is_the_default():
    for name, preset in PRESETS.items():
        assert find_preset(name) is preset and preset.name == name
        assert preset.version == 2 and find_preset(name, 1).version == 1


@pytest.mark.parametrize(("name", "version"), [("ptsi", 99), ("tkid", None)])
def test_what_there_is_not_is_said_with_what_there_is(name, version):
    with pytest.raises(DataError, match="inhf version 1, inhf version 2, ptsi version 1, ptsi version 2"):
        find_preset(name, version)


@pytest.mark.parametrize(("name", "length"), [("ptsi", 126), ("inhf", 426)])
def test_window_lengths_are_those_of_the_contracts(name, length):
    for version in (1, 2):
        preset = find_preset(name, version)
        assert window_length(10, 5.0, preset.window_tau_s, preset.sample_rate_hz / 4) == length


def test_loss_is_that_of_the_published_simulator():
    """MKIDReadoutAnalysis: f0 - 1e5 Hz n at 4.0012 GHz, 1/Qi + 2e-5 n."""
    for preset in PRESETS.values():
        assert math.isclose(preset.loss_ratio, 2e-5 / (2 * 1e5 / 4.0012e9), rel_tol=0.01)


def test_version_1_gives_the_pulses_that_it_gave():
    """Samples recorded when version 1 was the only one (seed 3, 1.2 eV); a count more or less for another libm."""
    ptsi, inhf = (simulate_line(find_preset(n, 1), 1.2, 20, seed=3) for n in ("ptsi", "inhf"))
    np.testing.assert_allclose(ptsi.i_trace[0, 480:500:3], [-5914, -5736, -5849, -6263, -4910, -1438, -434], atol=1)
    np.testing.assert_allclose(inhf.i_trace[0, 470:500:5], [-4719, -4641, -4627, 76, 1747, 2223], atol=1)


def test_another_number_is_another_detector():
    assert dataclasses.replace(PRESETS["ptsi"], loss_ratio=0.1) != PRESETS["ptsi"]
    assert dataclasses.asdict(find_preset("ptsi", 1)) != dataclasses.asdict(find_preset("ptsi", 2))


def test_a_folder_says_which_detector_made_it():
    presets = [*PRESETS.values(), find_preset("ptsi", 1), *scatter_pixels(PRESETS["ptsi"], 1, 0)]
    for preset in presets:
        metadata = json.loads(json.dumps(describe(preset, preset.wavelengths_nm, 3, 1), allow_nan=False))
        assert preset_of(metadata) == preset
    old = {k: v for k, v in find_preset("ptsi", 1).to_dict().items() if k not in ("line_tones", "readout_bandwidth_hz")}
    assert preset_of({"simulated": True, "parameters": old}) == find_preset("ptsi", 1)  # as version 1 wrote it
    assert preset_of({"sample_rate_hz": 2e6}) is None and preset_of(None) is None
    with pytest.raises(DataError, match="tau_banana"):
        preset_of({"simulated": True, "parameters": {**old, "tau_banana": 1}})


def test_a_folder_of_another_version_is_named(tmp_path):
    generate_folder(find_preset("ptsi", 1), tmp_path, 2, 1)
    with pytest.raises(DataError, match="ptsi version 1 .* expected ptsi version 2 "):
        generate_folder(PRESETS["ptsi"], tmp_path, 2, 1)
