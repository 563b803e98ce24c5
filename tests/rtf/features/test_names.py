"""The 114 names: families, order, those that are known to users of the original."""

from rtf_models.features import FEATURE_NAMES, MODELS, UNDEFINED_FEATURES
from rtf_models.features.names import FAMILIES


def test_families_have_the_counts_of_the_description():
    assert {family: len(names) for family, names in FAMILIES.items()} == {
        "np": 61, "param": 30, "mb": 4, "thermal": 7, "gp2d": 12,
    }  # fmt: skip
    assert all(name.startswith(f"{family}_") for family, names in FAMILIES.items() for name in names)


def test_names_are_114_different_ones_in_alphabetical_order():
    assert len(FEATURE_NAMES) == len(set(FEATURE_NAMES)) == 114
    assert list(FEATURE_NAMES) == sorted(FEATURE_NAMES)


def test_every_model_has_its_chi_squared():
    assert len(MODELS) == 8
    keys = "bazin villar tde arnett magnetar shock_cooling afterglow metzger_kn".split()
    assert [model.key for model in MODELS.values()] == keys
    assert {f"param_{kind}_{key}" for key in keys for kind in ("chi2", "dchi2")} <= set(FEATURE_NAMES)


def test_only_the_variational_posterior_is_undefined():
    assert len(UNDEFINED_FEATURES) == 6
    assert {
        "np_mag_at_90d",
        "np_peak_color_g_r",
        "param_best_model",
        "thermal_chi2",
        "gp2d_ls_wave",
        "mb_best_k",
    } <= set(FEATURE_NAMES) - set(UNDEFINED_FEATURES)
