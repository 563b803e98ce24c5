"""What a photon does to the quasi-particle density: energy scatter, pulse shape, arrival.

The density solves dn/dt = -n/tau - R n^2 after a fast rise, in closed form (Rothwarf-Taylor without phonon
bottleneck), so that the early decay is faster for more energy; a hot spot adds a faster component whose
share varies with the absorption site.
"""

from __future__ import annotations

import numpy as np

from .presets import DetectorPreset


def scatter_energy(preset: DetectorPreset, energy_ev, rng: np.random.Generator):
    """Energy that reaches the quasi-particles: Fano/phonon-loss scatter plus a site-dependent response, eV."""
    energy = np.asarray(energy_ev, float)
    sigma = np.sqrt(preset.fano_ev * energy + (preset.site_scatter * energy) ** 2)
    return energy + sigma * rng.standard_normal(energy.shape)


def pulse_shape(preset: DetectorPreset, energy_ev, time_s, hotspot):
    """Quasi-particle density, in eV of deposited energy, at `time_s` after arrival (0 before).

    energy_ev, hotspot: (N, 1) or scalars; time_s: (N, L). Returns (N, L) in the dtype of `time_s`.
    """
    t = np.maximum(time_s, 0.0)
    slow = np.exp(-t / preset.tau_s)
    recombined = slow / (1.0 + preset.recombination * energy_ev * (1.0 - slow))
    rise = 1.0 - np.exp(-t / preset.tau_rise_s)
    return energy_ev * rise * (recombined + hotspot * np.exp(-t / preset.tau_hotspot_s))
