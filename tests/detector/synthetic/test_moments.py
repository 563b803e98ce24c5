"""Means and covariances of the lines, streamed."""

import dataclasses
import tracemalloc

import numpy as np
import pytest

from venom_hw.detector import DataError
from venom_hw.detector.synthetic.moments import line_moments, line_rows


def test_moments_are_those_of_numpy_in_ascending_energy(pulses):
    index = np.arange(0, len(pulses), 2)
    moments = line_moments(pulses, index)
    assert (np.diff(moments.energies) > 0).all()
    assert moments.labels == pulses.wl_labels[::-1]
    for number, energy in enumerate(moments.energies):
        flat = pulses.counts[index][pulses.energies[index] == energy].reshape(moments.counts[number], -1).astype(float)
        np.testing.assert_allclose(moments.means[number], flat.mean(axis=0), rtol=1e-12)
        np.testing.assert_allclose(moments.covariances[number], np.cov(flat, rowvar=False), rtol=1e-8, atol=1e-6)


def test_total_covariance_has_the_spread_between_the_lines(pulses):
    mean, covariance = line_moments(pulses, np.arange(len(pulses))).total()
    flat = pulses.counts.reshape(len(pulses), -1).astype(float)
    np.testing.assert_allclose(mean, flat.mean(axis=0), rtol=1e-10)
    expected = np.cov(flat, rowvar=False)
    assert np.abs(covariance - expected).max() < 1e-3 * expected.max()  # within lines over n - 1, between over n


def test_the_size_of_the_pieces_changes_no_bit(pulses):
    index = np.random.default_rng(0).permutation(len(pulses))[:4000]
    one, other = (line_moments(pulses, index, chunk=chunk) for chunk in (7, 4000))
    assert np.array_equal(one.means, other.means) and np.array_equal(one.covariances, other.covariances)


def test_the_set_is_never_held_as_floats(known):
    many = known.pulse_set(12_000, noise=0)
    as_floats = many.counts.size * 8
    assert as_floats > 30e6
    index = np.arange(len(many))

    def peak(work):
        tracemalloc.start()
        try:
            work()
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    assert peak(lambda: many.counts.astype(float).mean()) > as_floats  # the measure sees it where it happens
    assert peak(lambda: line_moments(many, index)) < as_floats / 8


def test_progress_counts_every_training_pulse(pulses):
    seen = []
    index = np.flatnonzero(np.arange(len(pulses)) % 3)
    moments = line_moments(pulses, index, progress=seen.append, covariance=False)
    assert sum(seen) == len(index) == moments.counts.sum() and moments.covariances is None


def test_held_out_and_short_pulses_are_not_looked_at(pulses):
    lengths = pulses.lengths.copy()
    counts = pulses.counts.copy()
    lengths[::3], counts[::3] = 12, 32767       # padded windows
    counts[1::3] = -32768                       # not in the training index
    spoilt = dataclasses.replace(pulses, lengths=lengths, counts=counts)
    index = np.flatnonzero(np.arange(len(pulses)) % 3 != 1)
    expected = line_moments(pulses, np.arange(2, len(pulses), 3))
    for given in (index, np.arange(len(pulses)) % 3 != 1):
        moments = line_moments(spoilt, given)
        assert np.array_equal(moments.means, expected.means)
        assert np.array_equal(moments.covariances, expected.covariances)


def test_lines_without_enough_pulses_are_named(pulses):
    with pytest.raises(DataError, match=f"{pulses.wl_labels[2]}.*7 training pulses.*8 or more"):
        line_rows(pulses, np.concatenate([np.flatnonzero(pulses.wl_ids != 2), np.flatnonzero(pulses.wl_ids == 2)[:7]]))
    ended = dataclasses.replace(pulses, lengths=pulses.lengths - 1)
    with pytest.raises(DataError, match="3000 end before the window of 30 samples"):
        line_rows(ended, np.arange(len(ended)))
    one = dataclasses.replace(pulses, wl_ids=np.zeros(len(pulses), int), wl_labels=["808nm"])
    with pytest.raises(DataError, match="two or more lines"):
        line_rows(one, np.arange(len(one)))
