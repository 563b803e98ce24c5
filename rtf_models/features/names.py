"""The names of the 114 light-curve features, by family."""

from __future__ import annotations

from .light_curve_models import MODELS

_AFTER = ("30d", "60d", "90d")

NONPARAMETRIC = tuple(f"np_{name}" for name in (
    "rise_time", "rise_halfmax", "rise_efold", "t0", "peak_mag", "chi2", "baseline_chi2", "fwhm", "rise_rate",
    "decay_rate", "decay_efold", "decay_halfmax", "dm15", "near_peak_rise_rate", "near_peak_decay_rate",
    "gp_dfdt_now", "gp_dfdt_next", "gp_d2fdt2_now", "gp_predicted_mag_1d", "gp_predicted_mag_2d",
    "gp_time_to_peak", "gp_extrap_slope", "gp_sigma_f", "gp_peak_to_peak", "gp_snr_max", "gp_dfdt_max",
    "gp_dfdt_min", "gp_frac_of_peak", "gp_post_var_mean", "gp_post_var_max", "gp_skewness", "gp_kurtosis",
    "gp_n_inflections", "decay_power_law_index", "decay_power_law_chi2", "von_neumann_ratio", "pre_peak_rms",
    "rise_amplitude_over_noise", "post_peak_monotonicity", "n_local_maxima", "gp_fit_amp", "gp_fit_lengthscale",
    "n_det", "n_upper_limits", *(f"mag_at_{t}" for t in _AFTER), *(f"delta_mag_{t}" for t in _AFTER),
    "decay_deceleration", "peak_color_g_r", "peak_time_offset_g_r", *(f"color_g_r_{t}" for t in _AFTER),
    "color_evolution_rate", "von_neumann_mean", "rise_significance_max", "monotonicity_mean", "n_bands_fit",
))  # fmt: skip

PARAMETRIC = tuple(f"param_{name}" for name in (
    "best_model", "pso_chi2", "svi_elbo", "mag_chi2", "n_obs", *(f"svi_mu_{k}" for k in range(4)),
    "svi_sigma_mean", "bazin_rise_tau", "bazin_decay_tau", "delta_chi2", "n_bands_fit",
    *(f"chi2_{model.key}" for model in MODELS.values()), *(f"dchi2_{model.key}" for model in MODELS.values()),
))  # fmt: skip

MULTI_BAZIN = tuple(f"mb_{name}" for name in ("best_k", "cost", "bic", "bic_improvement_k2"))

THERMAL = tuple(f"thermal_{name}" for name in (
    "log_temp_peak", "log_temp_peak_err", "cooling_rate", "cooling_rate_err", "chi2", "n_color_obs",
    "n_bands_used",
))  # fmt: skip

GP_2D = tuple(f"gp2d_{name}" for name in (
    "train_rms", "n_train", "n_bands", "amp", "ls_time", "ls_wave", "log_temp_peak", "log_temp_latest",
    "temp_range", "cooling_rate", "thermal_chi2_mean", "thermal_chi2_min",
))  # fmt: skip

FAMILIES = {
    "np": NONPARAMETRIC, "param": PARAMETRIC, "mb": MULTI_BAZIN, "thermal": THERMAL, "gp2d": GP_2D,
}  # fmt: skip

FEATURE_NAMES: tuple[str, ...] = tuple(sorted(name for family in FAMILIES.values() for name in family))
"""All 114 names, sorted: the order of every feature vector."""

UNDEFINED_FEATURES: tuple[str, ...] = tuple(name for name in FEATURE_NAMES if name.startswith("param_svi_"))
"""Names that the system's description does not define well enough to compute: always NaN (missing)."""
