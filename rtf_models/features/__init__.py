"""Light-curve features: 114 numbers of the detections seen so far, and of nothing later.

    from rtf_models.features import FEATURE_NAMES, extract_features
    dict(zip(FEATURE_NAMES, extract_features(source, 10)))     # after ten detections; NaN = not known (yet)

| family | names | what of | module |
|---|---|---|---|
| np_ | 61 | shape of the reference band's curve by a Gaussian process, colours between bands | nonparametric |
| param_ | 30 | fits of the eight analytic models of `MODELS`; the six param_svi_* are never defined | parametric |
| mb_ | 4 | sums of Bazin curves | multi_bazin |
| thermal_ | 7 | a cooling blackbody through measured colours | thermal |
| gp2d_ | 12 | a Gaussian process over time and wavelength, and the blackbody through it | gp_2d |

The names are the original's; the definitions are those of the modules' docstrings: the original's are known by name,
family and grid only, so that its values are not reproduced to the digit. A vector takes about ten milliseconds on one
core (`python -m rtf_models preprocess --fit-gp --workers N` spreads them).

No library computes them at run time. The Gaussian processes and the fits are small (tens of points) and many (grids of
hyperparameters, eight models, several starts, two bands, nine prefixes); scikit-learn's regressor and scipy's
optimisers take one at a time, 4 to 20 times as long for the same results (numbers in `gaussian_process` and
`least_squares`). The tests compare with them, and the von Neumann ratio with the light-curve package's.
"""

from .extract import extract_features, prefix_features
from .light_curve_models import MODELS, LightCurveModel
from .names import FEATURE_NAMES, UNDEFINED_FEATURES

__all__ = [
    "FEATURE_NAMES", "MODELS", "UNDEFINED_FEATURES", "LightCurveModel", "extract_features", "prefix_features",
]  # fmt: skip
