"""Light-curve features: 114 numbers of the detections seen so far, and of nothing later."""

from .extract import extract_features, prefix_features
from .light_curve_models import MODELS, LightCurveModel
from .names import FEATURE_NAMES, UNDEFINED_FEATURES

__all__ = [
    "FEATURE_NAMES", "MODELS", "UNDEFINED_FEATURES", "LightCurveModel", "extract_features", "prefix_features",
]  # fmt: skip
