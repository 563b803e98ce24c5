"""The baselines that a network has to beat: optimal filters, calibrated to energy on training pulses."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .dataset import PulseSet
from .energy_calibration import EnergyCalibration
from .noise_spectrum import noise_psd
from .optimal_filter import OptimalFilter, make_filter
from .phase_coordinate import PhaseCoordinate

CALIBRATION_PULSES = 2000  # of each line, for the medians of a calibration


@dataclass(frozen=True)
class FilterBaseline:
    """A phase coordinate, one filter for all pulses (shared template) or one a line, and each filter's calibration."""

    coordinate: PhaseCoordinate
    filters: tuple[OptimalFilter, ...]
    calibrations: tuple[EnergyCalibration, ...]

    @property
    def shared(self) -> bool:
        return len(self.filters) == 1

    def predict(self, counts, wl_ids=None) -> np.ndarray:
        """Energy in eV, (N,). Per-wavelength templates need each pulse's line, as the published ones do."""
        theta = self.coordinate(counts)
        if self.shared:
            return self.calibrations[0](self.filters[0].apply(theta)[0])
        if wl_ids is None:
            raise ValueError("per-wavelength templates need wl_ids: which line each pulse belongs to")
        energy = np.full(len(theta), np.nan)
        for line, (one, calibration) in enumerate(zip(self.filters, self.calibrations, strict=True)):
            rows = np.flatnonzero(np.asarray(wl_ids) == line)
            if len(rows):
                energy[rows] = calibration(one.apply(theta[rows])[0])
        return energy


def fit_filter_baseline(pulses: PulseSet, train_idx, per_wavelength: bool = False) -> FilterBaseline:
    """Templates, noise spectrum and calibrations from the training pulses (and the set's noise windows).

    Each filter has a calibration of its own, from its responses to all lines: with a non-linear detector the response
    of line k's filter does not grow with energy as the peaks of the lines do.
    """
    train_idx = np.asarray(train_idx)
    window = pulses.window
    if pulses.noise is None:
        raise ValueError("the data set has no noise windows: expected noise.npz or a longer stretch before the pulses")
    coordinate = PhaseCoordinate.fit(pulses, train_idx)
    psd = noise_psd(coordinate(pulses.noise), window.rate_hz, window.length)
    theta, lines = coordinate(pulses.counts[train_idx]), pulses.wl_ids[train_idx]
    present = np.unique(lines)
    if per_wavelength and len(present) != len(pulses.wl_labels):
        raise ValueError(f"training pulses of {len(present)} lines: expected all of {pulses.wl_labels}")
    groups = [theta[lines == k] for k in present] if per_wavelength else [theta]
    filters = tuple(make_filter(g, psd, window.rate_hz, window.n_pre) for g in groups)
    some = np.concatenate([np.flatnonzero(lines == k)[:CALIBRATION_PULSES] for k in present])
    energies = pulses.energies[train_idx][some]
    calibrations = tuple(EnergyCalibration.fit(f.apply(theta[some])[0], energies) for f in filters)
    return FilterBaseline(coordinate, filters, calibrations)
