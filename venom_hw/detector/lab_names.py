"""The original VENOM's public name for loading data."""

from __future__ import annotations

import numpy as np

from .dataset import PulseSet, load_pulse_set
from .energy_calibration import EnergyCalibration
from .label_jitter import jittered_energies
from .resolving_power import compute_resolving_power


def filter_resolving_power(pulses: PulseSet) -> dict[str, float]:
    """R of the optimal filter of each line: metadata.json's opt_filt_R where given, else recomputed from the stored
    peak heights, calibrated to energy by a spline through zero. NaN where the heights do not rise with energy."""
    response = np.abs(pulses.peak_heights)
    try:
        energy = EnergyCalibration.fit(response, pulses.energies)(response)
    except ValueError:
        energy = np.full(len(response), np.nan)
    stored = pulses.opt_R or {}
    result = {}
    for line, label in enumerate(pulses.wl_labels):
        rows = pulses.wl_ids == line
        if label in stored:
            result[label] = stored[label]
        elif np.isfinite(energy[rows]).all():
            result[label] = compute_resolving_power(energy[rows], float(pulses.energies[rows][0]))
        else:
            result[label] = float("nan")
    return result


def load_mkid_data(data_dir, downsample: int = 4, n_tau: float = 5.0, peak_height_sigma: float = 2.0,
                   full: bool = False, n_pre: int = 10, sample_rate_hz: float | None = None, window=None,
                   jitter=0.0, jitter_seed: int = 0):
    """(iq, energies, wl_ids, wl_labels, opt_R, peak_heights) of a data folder.

    iq (N, L, 2) float32 centred counts, not normalised; energies (N,) eV; wl_ids (N,); wl_labels list of str;
    opt_R {label: R}; peak_heights (N,). See dataset.load_pulse_set for the rules and errors. `jitter` (eV, one number
    or one a line) blurs the returned energies only: opt_R always comes from the lines' own energies.
    """
    pulses = load_pulse_set(data_dir, downsample=downsample, n_tau=n_tau, n_pre=n_pre, peak_sigma=peak_height_sigma,
                            window=window, full=full, sample_rate_hz=sample_rate_hz)
    energies = jittered_energies(pulses, jitter, jitter_seed)
    return (pulses.counts.astype(np.float32), energies, pulses.wl_ids, pulses.wl_labels,
            filter_resolving_power(pulses), pulses.peak_heights)
