"""The baselines that a network has to beat: optimal filters, calibrated to energy on training pulses."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .dataset import PulseSet
from .energy_calibration import EnergyCalibration
from .iq_filter import IqCoordinate, IqFilter, make_iq_filter, noise_matrix
from .noise_spectrum import noise_psd
from .optimal_filter import OptimalFilter, make_filter
from .phase_coordinate import PhaseCoordinate

CALIBRATION_PULSES = 2000  # of each line, for the medians of a calibration
KINDS = {
    "shared": "optimal filter, shared template",
    "per_wavelength": "optimal filter, one template a line",
    "iq": "I/Q optimal filter with the noise covariance",
}


@dataclass(frozen=True)
class FilterBaseline:
    """A coordinate, one filter for all pulses (shared template) or one a line, and each filter's calibration."""

    coordinate: PhaseCoordinate | IqCoordinate
    filters: tuple[OptimalFilter, ...] | tuple[IqFilter, ...]
    calibrations: tuple[EnergyCalibration, ...]
    kind: str = "shared"

    @property
    def shared(self) -> bool:
        return len(self.filters) == 1

    @property
    def needs_lines(self) -> bool:
        """Whether `predict` has to be told each pulse's line."""
        return self.kind == "per_wavelength"

    def predict(self, counts, wl_ids=None) -> np.ndarray:
        """Energy in eV, (N,). Per-wavelength templates need each pulse's line, as the published ones do."""
        trace = self.coordinate(counts)
        if not self.needs_lines:
            return self.calibrations[0](self.filters[0].apply(trace)[0])
        if wl_ids is None:
            raise ValueError("per-wavelength templates need wl_ids: which line each pulse belongs to")
        energy = np.full(len(trace), np.nan)
        for line, (one, calibration) in enumerate(zip(self.filters, self.calibrations, strict=True)):
            rows = np.flatnonzero(np.asarray(wl_ids) == line)
            if len(rows):
                energy[rows] = calibration(one.apply(trace[rows])[0])
        return energy


def fit_filter_baseline(pulses: PulseSet, train_idx, per_wavelength: bool = False, *,
                        kind: str | None = None) -> FilterBaseline:
    """Templates, noise spectrum and calibrations from the training pulses (and the set's noise windows).

    kind: "shared" (one phase template), "per_wavelength" (one a line; `per_wavelength=True` means this), or "iq" (one
    template of phase and dissipation, with the noise covariance of both).
    Each filter has a calibration of its own, from its responses to all lines: with a non-linear detector the response
    of line k's filter does not grow with energy as the peaks of the lines do.
    """
    if kind is None:
        kind = "per_wavelength" if per_wavelength else "shared"
    if kind not in KINDS or (per_wavelength and kind != "per_wavelength"):
        raise ValueError(f"kind {kind!r}, per_wavelength={per_wavelength}: expected a kind of {sorted(KINDS)}")
    train_idx = np.asarray(train_idx)
    window = pulses.window
    if pulses.noise is None:
        raise ValueError("the data set has no noise windows: expected noise.npz or a longer stretch before the pulses")
    both = kind == "iq"
    coordinate = (IqCoordinate if both else PhaseCoordinate).fit(pulses, train_idx)
    spectrum = (noise_matrix if both else noise_psd)(coordinate(pulses.noise), window.rate_hz, window.length)
    trace, lines = coordinate(pulses.counts[train_idx]), pulses.wl_ids[train_idx]
    present = np.unique(lines)
    if kind == "per_wavelength" and len(present) != len(pulses.wl_labels):
        raise ValueError(f"training pulses of {len(present)} lines: expected all of {pulses.wl_labels}")
    groups = [trace[lines == k] for k in present] if kind == "per_wavelength" else [trace]
    filters = tuple((make_iq_filter if both else make_filter)(g, spectrum, window.rate_hz, window.n_pre)
                    for g in groups)
    some = np.concatenate([np.flatnonzero(lines == k)[:CALIBRATION_PULSES] for k in present])
    energies = pulses.energies[train_idx][some]
    calibrations = tuple(EnergyCalibration.fit(f.apply(trace[some])[0], energies) for f in filters)
    return FilterBaseline(coordinate, filters, calibrations, kind)
