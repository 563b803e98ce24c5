"""What explodes: for each population its light-curve model, how bright, how fast, which colour, how far, and its class.

Shapes and absolute magnitudes are those of r in the rest frame. Unless a population says otherwise:

* Rise and fall times of the Bazin populations: medians and scatter (1.48 MAD) of fits to the r-band curves of the class
  in the Bright Transient Survey (Fremling et al. 2020, ApJ 895, 32; Perley et al. 2020, ApJ 904, 35), as far as the
  project's sample of 2,177 of its curves goes.
* Peak magnitudes: mean and scatter of that sample, a sample limited in apparent magnitude, moved to a sample limited in
  volume by 0.6 ln(10) scatter^2 (Malmquist), and made brighter by the dust that is put in front of it here.
* g - r against phase: medians of that sample less 0.08 mag (mean dust).
* Rates are shares of that sample (`BTS_SHARES`), not rates in volume.

Kilonova and afterglow have no counterpart there; their entries name the literature.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ..classes import ClassScheme, bts_label
from .errors import SyntheticError


@dataclass(frozen=True)
class Normal:
    """A normal distribution cut to [low, high]."""

    mean: float
    scatter: float
    low: float = -np.inf
    high: float = np.inf

    def sample(self, rng: np.random.Generator) -> float:
        """One value; drawn again until inside, at most 100 times, then cut."""
        for _ in range(100):
            value = rng.normal(self.mean, self.scatter)
            if self.low <= value <= self.high:
                return float(value)
        return float(np.clip(value, self.low, self.high))


@dataclass(frozen=True)
class Population:
    """One kind of transient.

    Attributes:
        name: as typed ("SN Ia"); kind: its spectroscopic type, from which each class scheme takes the label.
        model: one of `features.MODELS`; shape: its parameters but for amplitude, baseline and t0.
        peak: absolute AB magnitude in r at the brightest moment, before dust.
        g_r: (rest-frame days from peak, g - r) pairs, straight lines between them, constant outside.
        z_max: no farther than this.
        colour_scatter: mag, one offset an object; host_av: mean of the exponential distribution of A_V in the host.
        spectral_index: f_nu ~ nu^-index instead of a black body of the colour; modulus: of a fixed distance (z = 0).
        onset: the flux is zero before t0 (a model whose formula is not).
        bolometric: the model gives all of the light, of which r has a share that changes with the temperature.
        companion: a second (model, shape) on the same t0, its peak `companion_ratio` times the first one's.
        reference: where the numbers come from.
    """

    name: str
    kind: str
    model: str
    shape: dict[str, Normal]
    peak: Normal
    g_r: tuple[tuple[float, float], ...]
    z_max: float
    colour_scatter: float = 0.08
    host_av: float = 0.15
    spectral_index: float | None = None
    modulus: float | None = None
    onset: bool = False
    bolometric: bool = False
    companion: tuple[str, dict[str, Normal]] | None = None
    companion_ratio: tuple[float, float] = (1.0, 1.0)
    reference: str = field(default="BTS", compare=False)

    def colour_at(self, phase: np.ndarray) -> np.ndarray:
        """g - r without dust at rest-frame days from peak."""
        days, values = zip(*self.g_r, strict=True)
        return np.interp(phase, days, values)


def _bazin(rise, rise_scatter, fall, fall_scatter):
    return {"ln_rise": Normal(rise, rise_scatter, rise - 2.5 * rise_scatter, rise + 2.5 * rise_scatter),
            "ln_fall": Normal(fall, fall_scatter, fall - 2.5 * fall_scatter, fall + 2.5 * fall_scatter)}  # fmt: skip


_SN_II_COLOUR = ((-15, -0.04), (-4, -0.03), (0, 0.03), (5, 0.13), (10, 0.20), (15, 0.30), (21, 0.46), (30, 0.58),
                 (42, 0.71), (60, 0.85), (85, 1.02))  # fmt: skip
_ARNETT = {"ln_diffusion": Normal(2.55, 0.25, 1.9, 3.2), "logit_nickel": Normal(2.5, 0.5, 1.0, 4.0)}

_POPULATIONS = (
    Population("SN Ia", "SN Ia", "Bazin", _bazin(1.13, 0.15, 3.32, 0.12), Normal(-19.25, 0.35), (
        (-18, -0.10), (-8, -0.14), (-3, -0.13), (0, -0.10), (3, 0.0), (9, 0.08), (15, 0.28), (21, 0.66), (30, 0.97),
        (42, 0.87), (60, 0.58), (85, 0.20)), z_max=0.25),
    Population("SN Ib", "SN Ib", "Arnett", _ARNETT, Normal(-16.55, 0.8), (
        (-16, 0.10), (-9, 0.25), (-4, 0.22), (0, 0.42), (4, 0.62), (9, 0.80), (15, 0.95), (21, 1.05), (30, 0.92),
        (42, 0.80), (60, 0.60)), z_max=0.15, colour_scatter=0.15, host_av=0.3,
        reference="BTS; diffusion times of 8 to 20 d after Drout et al. 2011, ApJ 741, 97"),
    Population("SN Ic", "SN Ic", "Arnett", _ARNETT, Normal(-17.0, 0.8), (
        (-16, 0.35), (-9, 0.20), (-4, 0.32), (0, 0.48), (4, 0.67), (9, 0.87), (15, 1.0), (21, 1.0), (30, 0.90),
        (42, 0.77), (60, 0.70)), z_max=0.15, colour_scatter=0.15, host_av=0.3,
        reference="BTS; diffusion times of 8 to 20 d after Drout et al. 2011, ApJ 741, 97"),
    Population("SN II", "SN II", "Villar", {
        "beta": Normal(0.006, 0.003, 0.0, 0.012), "ln_gamma": Normal(4.25, 0.25, 3.4, 4.8),
        "ln_rise": Normal(0.9, 0.4, 0.0, 2.0), "ln_fall": Normal(2.3, 0.4, 1.4, 3.2)},
        Normal(-16.65, 0.9), _SN_II_COLOUR, z_max=0.15, colour_scatter=0.2, host_av=0.25,
        reference="BTS; plateaus of 40 to 120 d, declines after Anderson et al. 2014, ApJ 786, 67"),
    Population("SN IIP", "SN IIP", "Villar", {
        "beta": Normal(0.002, 0.0015, 0.0, 0.004), "ln_gamma": Normal(4.5, 0.12, 4.2, 4.8),
        "ln_rise": Normal(0.9, 0.4, 0.0, 2.0), "ln_fall": Normal(2.1, 0.3, 1.4, 3.0)},
        Normal(-16.3, 0.9), _SN_II_COLOUR, z_max=0.15, colour_scatter=0.2, host_av=0.25,
        reference="BTS; flat plateaus of 65 to 120 d after Anderson et al. 2014, ApJ 786, 67"),
    Population("SN IIn", "SN IIn", "Bazin", _bazin(1.93, 0.5, 4.18, 0.5), Normal(-17.45, 1.0), (
        (-16, 0.03), (-9, -0.04), (0, 0.05), (9, 0.10), (21, 0.15), (30, 0.24), (42, 0.42), (60, 0.50), (85, 0.55)),
        z_max=0.3, colour_scatter=0.15),
    Population("SN IIb", "SN IIb", "ShockCooling", {
        "n": Normal(0.4, 0.15, 0.1, 0.8), "ln_transparency": Normal(1.3, 0.35, 0.6, 2.0)},
        Normal(-16.9, 0.65), ((-20, -0.05), (-14, 0.25), (-4, 0.33), (0, 0.45), (4, 0.80), (9, 0.83), (15, 0.90),
                              (30, 0.87), (42, 0.70)),
        z_max=0.12, colour_scatter=0.15, host_av=0.2, companion=("Arnett", _ARNETT), companion_ratio=(0.7, 4.0),
        reference="BTS; a cooling envelope before the nickel peak, after Nakar & Piro 2014, ApJ 788, 193"),
    Population("SLSN", "SLSN-I", "Magnetar", {
        "ln_spin_down": Normal(3.2, 0.5, 2.0, 4.5), "ln_diffusion": Normal(3.5, 0.3, 2.8, 4.2)},
        Normal(-20.6, 0.7), ((-20, -0.20), (0, -0.15), (9, -0.02), (15, 0.05), (21, 0.15), (42, 0.33), (85, 0.40)),
        z_max=0.8, colour_scatter=0.1,
        reference="BTS; times after the magnetar fits of Nicholl et al. 2017, ApJ 850, 55"),
    Population("TDE", "TDE", "Tde", {
        "ln_rise": Normal(1.76, 0.4, 1.0, 2.8), "ln_fall": Normal(3.9, 0.4, 3.0, 5.0),
        "alpha": Normal(5 / 3, 0.25, 1, 2.5)},
        Normal(-18.6, 0.9), ((-16, -0.30), (0, -0.27), (9, -0.15), (30, -0.12), (60, -0.10)), z_max=0.4,
        colour_scatter=0.07, host_av=0.1,
        reference="BTS; power law near 5/3 after van Velzen et al. 2021, ApJ 908, 4"),
    Population("nova", "nova", "Bazin", _bazin(-0.4, 0.5, 2.6, 0.7), Normal(-6.6, 0.8), ((0, 0.10), (20, 0.0)),
               z_max=0.0, colour_scatter=0.2, host_av=0.2, modulus=24.45,
               reference="BTS; in M31, whose distance modulus is 24.45"),
    Population("kilonova", "kilonova", "MetzgerKN", {
        "log10_mass": Normal(-1.75, 0.25, -2.5, -1.2), "log10_velocity": Normal(-0.57, 0.1, -0.9, -0.4),
        "log10_opacity": Normal(-0.2, 0.2, -0.6, 0.4)},
        Normal(-15.8, 0.7), ((-2, -0.40), (0, 0.10), (1, 0.50), (2, 1.0), (4, 1.65), (7, 2.0)), z_max=0.08,
        host_av=0.05, onset=True, bolometric=True,
        reference="peak, colour and the blue component's mass, velocity and opacity of AT2017gfo (Villar et al. 2017, "
                  "ApJL 851, L21), scattered"),
    Population("afterglow", "afterglow", "Afterglow", {
        "ln_break": Normal(0.0, 0.7, -1.5, 2.0), "alpha1": Normal(0.9, 0.25, 0.4, 1.5),
        "alpha2": Normal(2.0, 0.35, 1.5, 3.0)},
        Normal(-24.0, 1.5), ((0, 0.3),), z_max=2.5, colour_scatter=0.1, host_av=0.1, spectral_index=1.0, onset=True,
        reference="long gamma-ray bursts a few hours after the burst (Kann et al. 2010, ApJ 720, 1513), f_nu ~ 1/nu"),
)  # fmt: skip

POPULATIONS: dict[str, Population] = {population.name: population for population in _POPULATIONS}

# What a model's name stands for in `--models`: its populations, drawn evenly.
BY_MODEL: dict[str, tuple[str, ...]] = {
    "Bazin": ("SN Ia",), "Villar": ("SN II", "SN IIP"), "Tde": ("TDE",), "Arnett": ("SN Ib", "SN Ic"),
    "Magnetar": ("SLSN",), "ShockCooling": ("SN IIb",), "Afterglow": ("afterglow",), "MetzgerKN": ("kilonova",),
}  # fmt: skip

# Shares of the types in the BTS sample, with the odd ones counted to the nearest population here.
BTS_SHARES: dict[str, float] = {
    "SN Ia": 1605, "SN II": 275, "SN IIP": 24, "SN Ic": 81, "SN IIn": 55, "SN Ib": 42, "SN IIb": 31, "SLSN": 34,
    "nova": 17, "TDE": 9,
}  # fmt: skip

# Fine names of the AppleCiDEr schemes. Superluminous supernovae of type I are of the stripped kind, next to type Ic.
_APPLECIDER = {"SLSN-I": "SN Ic", "nova": "Cataclysmic", "kilonova": "other", "afterglow": "other"}


def find_population(name: str) -> Population:
    """The population of this name (SyntheticError that lists them otherwise)."""
    try:
        return POPULATIONS[name]
    except KeyError:
        raise SyntheticError(f"no population '{name}'; expected one of {', '.join(POPULATIONS)}") from None


def label_of(population: Population, scheme: ClassScheme) -> int:
    """The fine id of a population in a class scheme.

    Raises:
        SyntheticError: the scheme has no class for it (a kilonova has none in "applecider" and "bts").
    """
    if scheme.name == "bts":
        label = bts_label(population.kind)
        if label >= 0:
            return label
    else:
        name = _APPLECIDER.get(population.kind, population.kind)
        if name in scheme.fine:
            return scheme.fine.index(name)
    raise SyntheticError(
        f"class scheme '{scheme.name}' has no class for '{population.name}' (it has "
        f"{', '.join(scheme.fine)}); scheme 'applecider6' has one for every population"
    )
