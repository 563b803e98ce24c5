"""Features of made-up light curves whose answers are known."""

import numpy as np
import pytest

from rtf_models.data.source import Source
from rtf_models.features import FEATURE_NAMES, MODELS, UNDEFINED_FEATURES, extract_features
from rtf_models.features.blackbody import magnitude_slopes, magnitudes

DAYS = np.arange(0.0, 90.0, 2.0)


def source(time, band, mag, error=0.02, seed=0):
    order = np.argsort(time, kind="stable")
    mag = np.asarray(mag, float) + np.random.default_rng(seed).normal(0, error, len(time))
    return Source("made-up", np.asarray(time)[order] + 2459000.0, np.asarray(band)[order], mag[order],
                  np.full(len(time), error))  # fmt: skip


def of_flux(flux_by_band, peak_mag=17.0, **kwargs):
    """A source from {band: relative flux at DAYS}."""
    time = np.concatenate([DAYS + 0.01 * band for band in flux_by_band])
    band = np.repeat(list(flux_by_band), len(DAYS))
    return source(
        time, band, peak_mag - 2.5 * np.log10(np.concatenate(list(flux_by_band.values()))), **kwargs
    )


def features(light_curve, n=None):
    return dict(zip(FEATURE_NAMES, extract_features(light_curve, n).tolist(), strict=True))


def model_flux(name, *parameters):
    return MODELS[name].flux(DAYS, parameters)


SUPERNOVA = model_flux("Bazin", 0.0, 0.0, 18.0, np.log(3.0), np.log(20.0)) + 0.002
LATER = model_flux("Bazin", 0.0, 0.0, 21.0, np.log(3.0), np.log(26.0)) + 0.002


def test_shape_of_a_supernova_in_two_bands():
    found = features(of_flux({0: SUPERNOVA, 1: LATER}))
    fine = np.linspace(0, 88, 8801)
    peaks = []
    for t0, fall in ((18.0, 20.0), (21.0, 26.0)):
        flux = MODELS["Bazin"].flux(fine, [0.0, 0.0, t0, np.log(3.0), np.log(fall)])
        peaks.append(fine[flux.argmax()])
        if t0 == 21.0:  # r: as many detections as g, so the reference
            top, falls = flux.max(), flux[fine >= peaks[-1]]
            half = fine[fine >= peaks[-1]][falls < top / 2][0] - peaks[-1]
            later = -2.5 * np.log10(np.interp(peaks[-1] + [15.0, 30.0], fine, flux + 0.002) / (top + 0.002))
    assert found["np_t0"] == pytest.approx(peaks[1], abs=2.0)
    assert found["np_peak_mag"] == pytest.approx(17.0 - 2.5 * np.log10(top), abs=0.05)
    assert found["np_decay_halfmax"] == pytest.approx(half, abs=2.0)
    assert found["np_dm15"] == pytest.approx(later[0], abs=0.1)
    assert found["np_delta_mag_30d"] == pytest.approx(later[1], abs=0.1)
    assert found["np_peak_time_offset_g_r"] == pytest.approx(peaks[0] - peaks[1], abs=3.5)
    assert found["np_fwhm"] == pytest.approx(found["np_rise_halfmax"] + found["np_decay_halfmax"], rel=1e-5)
    assert found["np_rise_rate"] < 0 < found["np_decay_rate"]
    assert found["np_gp_time_to_peak"] == pytest.approx(found["np_t0"] - 88.01, abs=0.01)
    assert found["np_n_det"] == 45 and found["param_n_obs"] == 90 and found["np_n_bands_fit"] == 2
    assert np.isnan(found["np_delta_mag_90d"])  # not observed yet


def test_colours_between_bands_are_there_and_right():
    found = features(of_flux({0: SUPERNOVA, 1: LATER}))
    for name, later in (("np_peak_color_g_r", 0), ("np_color_g_r_30d", 30)):
        t = found["np_t0"] + later
        g, r = (np.interp(t, DAYS, flux) for flux in (SUPERNOVA, LATER))
        assert found[name] == pytest.approx(-2.5 * np.log10(g / r), abs=0.12)
    assert found["np_color_evolution_rate"] > 0.005  # r falls more slowly: ever redder


def test_the_model_that_made_the_curve_fits_it():
    truths = {
        "Bazin": (0.0, 0.05, 18.0, np.log(3.0), np.log(20.0)),
        "Tde": (0.3, 0.0, 15.0, np.log(3.0), np.log(20.0), 5 / 3),
        "Arnett": (1.0, 2.0, np.log(12.0), -0.5),
        "Magnetar": (1.5, 1.0, np.log(20.0), np.log(15.0)),
        "Villar": (0.0, 0.006, np.log(30.0), 8.0, np.log(2.0), np.log(12.0)),
        "Afterglow": (0.0, -2.0, np.log(8.0), -0.8, 1.4),
        "MetzgerKN": (-0.8, -1.5, 1.5, -1.0),
    }
    for name, truth in truths.items():
        flux = np.maximum(model_flux(name, *truth), 1e-3)
        light_curve = of_flux({1: flux / flux.max()}, error=0.03)
        found = features(light_curve)
        chi2 = found[f"param_chi2_{MODELS[name].key}"]
        assert chi2 < 1.5, name
        assert chi2 - found["param_pso_chi2"] == pytest.approx(
            found[f"param_dchi2_{MODELS[name].key}"], abs=1e-5
        )
        assert found["param_pso_chi2"] == min(found[f"param_chi2_{model.key}"] for model in MODELS.values())
        best = list(MODELS.values())[int(found["param_best_model"])]
        assert found[f"param_dchi2_{best.key}"] == 0.0


def test_time_scales_of_a_bazin_curve():
    found = features(of_flux({1: SUPERNOVA}))
    assert found["param_bazin_rise_tau"] == pytest.approx(3.0, rel=0.15)
    assert found["param_bazin_decay_tau"] == pytest.approx(20.0, rel=0.15)
    assert found["mb_best_k"] == 1 and found["mb_bic_improvement_k2"] < 0


def test_two_bumps_take_two_curves():
    second = model_flux("Bazin", -0.7, 0.0, 60.0, np.log(2.0), np.log(10.0))
    found = features(of_flux({1: SUPERNOVA + second}))
    assert found["mb_best_k"] >= 2
    assert found["mb_bic_improvement_k2"] > 50
    assert found["mb_cost"] < 2.5


def test_cooling_blackbody():
    log_t = 4.05 - 0.006 * DAYS
    light = SUPERNOVA / SUPERNOVA.max()
    bands = {b: light * 10 ** (-0.4 * magnitudes(log_t)[:, b]) for b in (0, 1)}
    found = features(of_flux(bands))
    at_peak = 4.05 - 0.006 * DAYS[bands[1].argmax()]
    assert found["thermal_log_temp_peak"] == pytest.approx(at_peak, abs=0.02)
    assert found["thermal_cooling_rate"] == pytest.approx(-0.006, abs=5e-4)
    assert abs(found["thermal_cooling_rate"] + 0.006) < 5 * found["thermal_cooling_rate_err"]
    assert found["thermal_chi2"] < 1.5
    assert found["thermal_n_color_obs"] == 45 and found["thermal_n_bands_used"] == 2
    assert found["gp2d_log_temp_peak"] == pytest.approx(at_peak, abs=0.08)
    assert found["gp2d_log_temp_latest"] == pytest.approx(log_t[-1], abs=0.08)
    assert found["gp2d_cooling_rate"] == pytest.approx(-0.006, abs=2e-3)


@pytest.mark.parametrize("bands", [(0, 2), (1, 2), (0, 1, 2)])
def test_temperature_from_any_bands(bands):
    light = SUPERNOVA / SUPERNOVA.max()
    log_t = 3.95 - 0.004 * DAYS
    found = features(of_flux({b: light * 10 ** (-0.4 * magnitudes(log_t)[:, b]) for b in bands}))
    assert found["thermal_n_bands_used"] == len(bands)
    assert found["thermal_cooling_rate"] == pytest.approx(-0.004, abs=8e-4)
    assert found["thermal_log_temp_peak"] == pytest.approx(3.95 - 0.004 * 24, abs=0.04)
    assert found["thermal_chi2"] < 1.5


def test_slopes_of_blackbody_magnitudes():
    log_t, h = np.linspace(3.3, 4.8, 16), 1e-5
    numeric = (magnitudes(log_t + h) - magnitudes(log_t - h)) / (2 * h)
    np.testing.assert_allclose(magnitude_slopes(log_t), numeric, atol=1e-6)
    assert (np.diff(magnitudes(log_t)[:, 0]) < 0).all()  # hotter is bluer


def test_power_law_decay_has_its_index():
    time = np.geomspace(1.0, 80.0, 40)
    light_curve = source(time, np.ones(40, int), 17.0 + 2.5 * 1.2 * np.log10(time), error=0.01)
    found = features(light_curve)
    # days count from the first detection, the law from a day before: the index comes out a little low
    assert 0.8 < found["np_decay_power_law_index"] < 1.2


def test_von_neumann_ratio_is_that_of_light_curve():
    light_curve = pytest.importorskip("light_curve")
    made = of_flux({1: SUPERNOVA}, error=0.1)
    flux = 10 ** (-0.4 * (made.mag.astype(float) - 23.9))
    expected = light_curve.Eta()(made.time, flux / flux.max())
    assert features(made)["np_von_neumann_ratio"] == pytest.approx(float(expected[0]), rel=1e-5)


def test_faint_detections_count_as_limits_only():
    made = of_flux({1: SUPERNOVA})
    error = made.mag_err.copy()
    error[::5] = 0.5
    dim = Source("dim", made.time, made.band, made.mag, error)
    found = features(dim)
    assert found["np_n_upper_limits"] == 9 and found["np_n_det"] == 36


def test_all_but_the_undefined_appear_on_a_good_curve():
    time = np.concatenate([DAYS * 1.4, DAYS * 1.4 + 0.02])
    log_t = 4.05 - 0.003 * DAYS * 1.4
    flux = MODELS["Bazin"].flux(DAYS * 1.4, [0, 0, 18, np.log(3), np.log(30)]) + 1e-3
    mag = 16 - 2.5 * np.log10(flux)[:, None] + magnitudes(log_t)
    found = features(source(time, np.repeat([0, 1], len(DAYS)), np.concatenate([mag[:, 0], mag[:, 1]])))
    missing = {name for name, value in found.items() if np.isnan(value)}
    assert missing == set(UNDEFINED_FEATURES)


def test_a_gaussian_bump_has_its_calculus():
    """flux = exp(-((t - 42) / 14)^2 / 2), measured every 3 days to half a percent: all by hand."""
    s, middle, time = 14.0, 42.0, np.arange(0.0, 91.0, 3.0)
    made = source(
        time, np.ones(31, int), 17.0 + 2.5 / np.log(10) * 0.5 * ((time - middle) / s) ** 2, error=0.005
    )
    found = features(made)

    def flux(t):
        return np.exp(-0.5 * ((t - middle) / s) ** 2)

    def mag(t):
        return 17.0 - 2.5 * np.log10(flux(t))

    grid = np.linspace(0, 90, 50)
    deviation = flux(grid) - flux(grid).mean()
    moment = [(deviation**k).mean() for k in range(5)]
    steps = flux(time)
    expected = {
        "t0": (middle, 1.0), "rise_time": (middle, 1.0), "peak_mag": (17.0, 0.01),
        "rise_halfmax": (s * np.sqrt(2 * np.log(2)), 1.0), "decay_halfmax": (s * np.sqrt(2 * np.log(2)), 1.0),
        "rise_efold": (s * np.sqrt(2), 1.0), "decay_efold": (s * np.sqrt(2), 1.0),
        "fwhm": (2 * s * np.sqrt(2 * np.log(2)), 0.1), "dm15": (mag(middle + 15) - 17, 0.07),
        "mag_at_30d": (mag(middle + 30), 0.12),
        "near_peak_rise_rate": (-(mag(middle - 10) - 17) / 10, 0.01),
        "near_peak_decay_rate": ((mag(middle + 10) - 17) / 10, 0.01),
        "gp_dfdt_max": (np.exp(-0.5) / s, 0.002), "gp_dfdt_min": (-np.exp(-0.5) / s, 0.002),
        "gp_dfdt_now": (-48 / s**2 * flux(90), 5e-4), "gp_frac_of_peak": (flux(90), 5e-4),
        "gp_predicted_mag_1d": (mag(91), 0.1), "gp_predicted_mag_2d": (mag(92), 0.25),
        "gp_extrap_slope": ((mag(92) - mag(90)) / 2, 0.08), "gp_time_to_peak": (middle - 90, 1.0),
        "gp_peak_to_peak": (1 - flux(90), 0.01), "gp_skewness": (moment[3] / moment[2] ** 1.5, 0.02),
        "gp_kurtosis": (moment[4] / moment[2] ** 2 - 3, 0.05), "gp_n_inflections": (2, 0), "n_local_maxima": (1, 0),
        "post_peak_monotonicity": (1, 0), "n_bands_fit": (1, 0), "n_det": (31, 0),
        "rise_amplitude_over_noise": ((1 - flux(0)) / (np.median(steps) * 0.005 * np.log(10) / 2.5), 60),
        "von_neumann_ratio": ((np.diff(steps) ** 2).mean() / steps.var(ddof=1), 0.005),
        "decay_deceleration": (-(mag(90) - 17) / 48, 0.05),  # a parabola in magnitudes: twice as steep later
    }  # fmt: skip
    wrong = {name: (found[f"np_{name}"], value) for name, (value, tolerance) in expected.items()
             if not abs(found[f"np_{name}"] - value) <= tolerance}  # fmt: skip
    assert not wrong
    assert found["np_chi2"] < 1.2 and found["np_baseline_chi2"] > 1000
    assert found["np_pre_peak_rms"] < 0.01
    assert found["np_gp_sigma_f"] < 0.01
    assert found["np_gp_post_var_mean"] <= found["np_gp_post_var_max"] < 1e-4
    # the mean slope of a parabola from its top: that of a straight line through it
    t = np.linspace(0, middle, 400)
    assert found["np_rise_rate"] == pytest.approx(np.polyfit(t, mag(t), 1)[0], abs=0.01)
    assert found["np_decay_rate"] == pytest.approx(
        np.polyfit(t, mag(middle + t * 48 / 42), 1)[0] * 42 / 48, abs=0.02
    )
