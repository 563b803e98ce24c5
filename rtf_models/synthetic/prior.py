"""Shape parameters from fits of real light curves: JSON files, as the fitting tools of the original write them.

Each file holds `{"parametric": [{"model": "Bazin", "pso_params": [...]}, ...]}`. The spread of the parameters over the
files, widened by half, becomes the prior; amplitude, baseline and epoch are not taken (brightness and time of the
explosion come from the population), nor the trailing log of an extra scatter. Parameters are independent.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path

import numpy as np

from ..features.light_curve_models import MODELS
from .errors import SyntheticError
from .population import Normal

FILES_READ = 500
WIDENED = 1.5
NOT_SHAPE = ("ln_amplitude", "baseline", "t0")
FEWEST_FITS = 5

log = logging.getLogger(__name__)


def read_fits(folder: str | Path) -> dict[str, np.ndarray]:
    """Parameters of every fit by model: (fits, parameters of the model). First 500 JSON files by name.

    Raises:
        SyntheticError: no folder, no JSON file, or not one fit of a known model with finite parameters.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise SyntheticError(
            f"--fitting-dir {folder}: no such folder; expected JSON files of light-curve fits"
        )
    files = sorted(folder.glob("*.json"))[:FILES_READ]
    if not files:
        raise SyntheticError(f"--fitting-dir {folder}: no *.json file; expected results of light-curve fits")
    rows: dict[str, list] = {}
    unreadable = []
    for path in files:
        try:
            fits = json.loads(path.read_text(encoding="utf-8"))["parametric"]
            found = [(fit["model"], np.asarray(fit["pso_params"], float)) for fit in fits]
        except (OSError, ValueError, KeyError, TypeError) as error:
            unreadable.append(f"{path.name} ({type(error).__name__})")
            continue
        for name, values in found:
            count = len(MODELS[name].parameters) if name in MODELS else 0
            if count and values.ndim == 1 and len(values) in (count, count + 1) and np.isfinite(values).all():
                rows.setdefault(name, []).append(values[:count])
    if unreadable:
        log.warning("%d of %d fit files left out, first: %s", len(unreadable), len(files), unreadable[0])
    if not rows:
        raise SyntheticError(
            f"--fitting-dir {folder}: no usable fit in {len(files)} files; expected "
            '{"parametric": [{"model": one of ' + ", ".join(MODELS) + ', "pso_params": [numbers]}]}'
        )
    return {name: np.array(values) for name, values in rows.items()}


def fitted_priors(folder: str | Path) -> dict[str, dict[str, Normal]]:
    """Distributions of the shape parameters by model, for the models with at least 5 fits; cut to the search bounds."""
    priors = {}
    for name, values in read_fits(folder).items():
        if len(values) < FEWEST_FITS:
            log.warning(
                "%s: %d fits, fewer than %d: the built-in prior is used", name, len(values), FEWEST_FITS
            )
            continue
        model = MODELS[name]
        columns = zip(model.parameters, values.T, model.low, model.high, strict=True)
        priors[name] = {
            parameter: Normal(float(column.mean()), float(WIDENED * column.std()), low, high)
            for parameter, column, low, high in columns
            if parameter not in NOT_SHAPE
        }
    return priors
