"""What the survey reports: errors, noise, the detection limit, and packets' histories."""

import numpy as np
import pytest

from rtf_models.synthetic.photometry import (
    DETECTION_SN,
    POGSON,
    SCATTER_OF_REPORTED,
    flux_error,
    measure,
    sky_noise,
)


def many(mag, limit=20.5, count=20_000, seed=0):
    return measure(
        np.arange(count, dtype=float), np.full(count, mag), np.full(count, limit), np.random.default_rng(seed)
    )


def test_signal_to_noise_at_the_limit_is_the_limits():
    limit = np.array([19.5, 20.5, 21.0])
    flux = 10 ** (-0.4 * (limit - 20))
    assert flux / flux_error(flux, limit) == pytest.approx(np.full(3, DETECTION_SN))
    assert (np.diff(sky_noise(limit)) < 0).all()


def test_errors_are_those_of_the_survey():
    """Medians of the real BTS curves: 0.034 at 16, 0.047 at 17, 0.074 at 18, 0.125 at 19."""
    for mag, error in ((16, 0.034), (17, 0.047), (18, 0.074), (19, 0.125)):
        assert np.median(many(mag, limit=20.1).mag_err) == pytest.approx(error, rel=0.15)


@pytest.mark.parametrize("mag", [16.0, 18.5])
def test_scatter_is_half_of_the_reported_error(mag):
    scatters = []
    for seed in range(40):
        found = many(mag, count=500, seed=seed)
        scatters.append(np.std((found.mag - mag) / found.mag_err))
    assert np.median(scatters) == pytest.approx(SCATTER_OF_REPORTED, rel=0.2)
    assert np.std(np.log(scatters)) > 0.15  # it differs from object to object


def test_half_of_the_exposures_detect_at_the_limit_and_none_far_below():
    share = [len(many(mag).index) / 20_000 for mag in (19.0, 20.5, 22.5)]
    assert share[0] > 0.99 and 0.25 < share[1] < 0.75 and share[2] < 1e-3


def test_no_flux_and_saturation_are_no_detections():
    assert len(many(np.inf).index) == 0
    assert len(many(11.0).index) == 0


def test_faint_detections_are_told_in_the_history_of_a_later_packet():
    """A detection too faint to send a packet is known if a bright one follows within 30 days, and only then."""
    mjd, limit = np.array([0.0, 20.0]), np.full(2, 20.9)

    def known(later, gap=20.0):
        found = [
            measure(mjd * gap / 20, np.array([20.9, later]), limit, np.random.default_rng(k))
            for k in range(400)
        ]
        return np.mean([0 in m.index for m in found])

    assert known(17.0) > 0.3
    assert known(np.inf) < 0.5 * known(17.0)
    assert known(17.0, gap=31.0) < 0.5 * known(17.0)


def test_a_lone_faint_point_after_the_last_packet_is_lost():
    mjd = np.array([0.0, 1.0, 50.0])
    lost = [
        measure(mjd, np.array([16.0, 16.0, 20.4]), np.full(3, 20.5), np.random.default_rng(k))
        for k in range(300)
    ]
    kept = sum(2 in m.index for m in lost) / 300
    alone = np.mean([1.0857 / m.mag_err[-1] for m in lost if 2 in m.index])
    assert kept < 0.2 and alone > 5  # only where it sends a packet itself
    assert POGSON == pytest.approx(1.0857, abs=1e-4)
