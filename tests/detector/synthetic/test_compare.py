"""Synthetic pulses held against others in eV: agreement is seen as agreement, a wrong energy or width as such."""

import dataclasses

import numpy as np
import pytest

from venom_hw.detector import DataError, Window
from venom_hw.detector.synthetic import PcaGenerator, TemplateGenerator, compare_with, comparison_text


@pytest.fixture(scope="module")
def generator(pulses):
    return PcaGenerator.fit(pulses, np.arange(len(pulses)), n_components=14)


@pytest.fixture(scope="module")
def fresh(known):
    """Pulses that the generator has not seen: two of its lines, one energy between, one beyond, one out of reach."""
    return known.pulse_set(1500, energies=(0.95, 1.5, 2.2, 2.7, 3.4), seed=5)


def test_pulses_of_the_same_detector_agree(generator, fresh):
    seen = []
    rows = compare_with(generator, fresh, progress=seen.append)
    assert [row.energy_ev for row in rows] == [0.95, 1.5, 2.2, 2.7] and seen == [1] * 4
    assert [row.outside for row in rows] == [False, False, False, True]
    for row in rows:
        # the mean pulse between lines is as good as the 3,000 pulses a line that it comes from
        assert abs(row.bias_ev) < 5 * np.hypot(row.bias_error_ev, row.real_ev / np.sqrt(1000)), row
        assert abs(row.ratio - 1) < 5 * row.ratio_error + 0.03, row
        assert row.pulses == 1500


def test_wrong_energies_are_read_off_in_ev(generator, known, fresh):
    shifted = dataclasses.replace(fresh, counts=known.pulses(fresh.energies * 1.02, np.random.default_rng(6)))
    for row in compare_with(generator, shifted)[:3]:
        assert abs(row.bias_ev / (0.02 * row.energy_ev) - 1) < 0.3


def test_wrong_widths_are_read_off(generator, fresh):
    narrow = dataclasses.replace(generator, factors=0.5 * generator.factors)
    assert all(row.ratio > 1.3 for row in compare_with(narrow, fresh))


def test_templates_are_too_clean_and_that_is_seen(pulses, fresh):
    templates = TemplateGenerator.fit(pulses, np.arange(len(pulses)))
    assert all(row.ratio > 1.5 for row in compare_with(templates, fresh))


def test_held_out_pulses_are_chosen_by_index(generator, fresh):
    index = np.flatnonzero(fresh.energies == 1.5)[:100]
    index = np.concatenate([index, np.flatnonzero(fresh.energies == 2.2)[:100]])
    two = dataclasses.replace(fresh, wl_labels=["a", "b"], wl_ids=(fresh.energies == 1.5).astype(int))
    assert [row.pulses for row in compare_with(generator, two, index)] == [100, 100]


def test_another_window_and_energies_out_of_reach_are_refused(generator, known, fresh):
    with pytest.raises(DataError, match="window.*the generator's"):
        compare_with(generator, dataclasses.replace(fresh, window=Window(50e3, 5, 30, 50e-6, 5.0, 8)))
    with pytest.raises(DataError, match="3.1 to 3.5 eV.*0.9048 to 2.73"):
        compare_with(generator, known.pulse_set(20, energies=(3.1, 3.5)))


def test_table_says_what_lies_beyond_the_lines(generator, fresh):
    text = comparison_text(compare_with(generator, fresh), "held out")
    assert text.startswith("held out\n") and len(text.splitlines()) == 6
    assert f"{fresh.wl_labels[1]}*" in text and f"{fresh.wl_labels[2]}*" not in text
