"""Jitter of labels, and folders of the published sets, which do not say their rate."""

import numpy as np
import pytest

from venom_hw.detector import DataError, load_mkid_data, load_pulse_set
from venom_hw.detector.folder import write_line, write_metadata
from venom_hw.detector.label_jitter import jittered_energies

from .conftest import user_arrays


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A folder with the published PtSi set's name: no metadata.json in it."""
    folder = tmp_path_factory.mktemp("sets") / "PtSiData"
    for k, name in enumerate(("808nm", "1310nm")):
        write_line(folder / f"{name}.npz", **user_arrays(n=600, seed=k, height=2.0 - 0.4 * k))
    return folder


def test_published_sets_load_as_their_readme_says(published, monkeypatch):
    monkeypatch.chdir(published.parent)
    iq, energies, wl_ids, wl_labels, opt_r, peak_heights = load_mkid_data(
        data_dir="PtSiData", downsample=4, n_tau=5.0, peak_height_sigma=2.0)
    assert iq.shape[2] == 2 and len(iq) == len(energies) == len(peak_heights) and wl_labels == ["808nm", "1310nm"]
    assert set(opt_r) == set(wl_labels)
    monkeypatch.chdir(published)
    assert load_pulse_set(".").window.raw_rate_hz == 2e6
    assert load_pulse_set(".", sample_rate_hz=1e6).window.raw_rate_hz == 1e6
    other = published.with_name("OtherData")
    published.rename(other)
    try:
        with pytest.raises(DataError, match="sample_rate_hz"):
            load_pulse_set(other)
    finally:
        other.rename(published)


def test_stored_resolving_powers_find_their_lines(tmp_path):
    for k, name in enumerate(("405.9nm", "813.7nm", "814.9nm")):
        write_line(tmp_path / f"{name}.npz", **user_arrays(n=30, seed=k, height=2.0 - 0.2 * k))
    write_metadata(tmp_path, {"sample_rate_hz": 2e6, "opt_filt_R": {"406": 30, "814": 20.5, "254nm": 1}})
    assert load_pulse_set(tmp_path, peak_sigma=0).opt_R == {"405.9nm": 30.0, "813.7nm": 20.5}
    write_metadata(tmp_path, {"sample_rate_hz": 2e6, "opt_filt_R": {}})
    assert load_pulse_set(tmp_path, peak_sigma=0).opt_R == {}


def test_jitter_has_the_width_asked_for_and_leaves_the_rest_alone(published):
    plain = load_mkid_data(published)
    for jitter, expected in ((0.01, (0.01, 0.01)), ([0.0, 0.02], (0.0, 0.02)), ({"808nm": 0.03}, (0.03, 0.0))):
        blurred = load_mkid_data(published, jitter=jitter)
        for line, sigma in enumerate(expected):
            rows = plain[2] == line
            change = (blurred[1] - plain[1])[rows]
            assert abs(change.std() - sigma) <= 4 * sigma / np.sqrt(2 * rows.sum())
            assert abs(change.mean()) <= 4 * sigma / np.sqrt(rows.sum())
        assert blurred[4] == plain[4]  # R of the filter does not see the jitter
        np.testing.assert_array_equal(blurred[0], plain[0])


def test_jitter_is_seeded(published):
    pulses = load_pulse_set(published)
    same, again, other = (jittered_energies(pulses, 0.01, seed) for seed in (3, 3, 4))
    assert np.array_equal(same, again) and not np.array_equal(same, other)


@pytest.mark.parametrize("jitter", [-0.1, float("nan"), [0.1], [0.1, -1], "0.1 eV", {"700nm": 0.1}, None])
def test_bad_jitter_is_named(published, jitter):
    with pytest.raises(DataError, match="jitter"):
        load_mkid_data(published, jitter=jitter)
