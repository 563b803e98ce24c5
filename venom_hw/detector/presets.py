"""Versioned descriptions of simulated detectors.

A preset is data only: change a number and you change `version`, because data sets and checkpoints name it.

Version 2 (`PRESETS`), and why it differs from version 1 (`find_preset(name, 1)`, kept for models trained on it):

* loss_ratio 0.4: MKIDReadoutAnalysis moves f0 by 1e5 Hz of 4.0012 GHz and 1/Qi by 2e-5 for the same quasi-particles, a
  ratio of 0.4; version 1 had 0.08 without a source. The real PtSi pulses do not support either: about the circle that
  comes with them they keep the radius at rest within 10 %, where 0.4 makes it 35 % smaller (but there is no frequency
  sweep with them, and a circle fitted to pulses absorbs a constant ratio). So what a filter or a network gains from
  the dissipation of `ptsi` need not be there in a real PtSi detector.
* noise of the shape measured on the real PtSi traces (`venom_hw.simulate --overlay` plots it): white noise that meets
  the TLS noise near 30 kHz (version 1: a quarter of that ratio), a pick-up line at 59 kHz, and the
  readout's low-pass at 300 kHz, which signal and noise go through alike. `ptsi` has a third of the measured level,
  because the real traces resolve 3 to 6 in eV (their published 12 is one of filter response) and the target is in eV.
* decay of `ptsi` fitted to the mean real pulse: 55 us late, faster early by recombination and a larger hot spot; decay
  of `inhf` so that the fit to its mean pulse gives the 416 us of the contracts again, in spite of the larger loss.
* the level of the noise is what tunes the resolving powers: in eV, calibrated, on held-out pulses, the shared-template
  optimal filter has a mean R of 12.2 (`ptsi`) and the one with a template a line 24.8 (`inhf`): those of Zobrist 2019
  and 2022, as synthetic targets.

From the literature: Qi, Qc, f0 (MKIDReadoutAnalysis); decay, peak phase and noise of PtSi (real pulses). What is not
published (Qi, Qc and decay of InHf, say) is chosen.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields, replace

from .errors import DataError


@dataclass(frozen=True)
class DetectorPreset:
    """One simulated MKID pixel with its readout. SI units unless the name says otherwise."""

    name: str
    version: int
    wavelengths_nm: tuple[float, ...]
    sample_rate_hz: float
    n_samples: int          # raw samples a trace
    arrival_index: int      # raw sample of the photon's arrival (plus jitter of one sample)
    window_tau_s: float     # decay time that sets the window (metadata.json, key tau_s)
    # resonator
    f0_hz: float
    qi: float
    qc: float
    asymmetry: float        # xa of the reference S21
    swenson_a: float        # non-linearity parameter at the quiescent Q; bifurcation at 0.77
    gain_phase_rad: float   # rotation of the loop in the I/Q plane
    # quasi-particles
    shift_per_ev: float     # fractional frequency shift of one eV at the pulse's start
    loss_ratio: float       # d(1/Qi) / (2 df/f)
    tau_rise_s: float
    tau_s: float            # late, linear decay
    recombination: float    # tau_s * bimolecular rate, per eV: early decay is faster by (1 + recombination * E)
    hotspot_fraction: float  # excess fast component, of the slow component's amplitude
    hotspot_scatter: float   # its rms from photon to photon (absorption site)
    tau_hotspot_s: float
    # energy scatter before the quasi-particles are counted
    fano_ev: float          # variance = fano_ev * E   (Fano statistics and phonon loss)
    site_scatter: float     # rms = site_scatter * E   (response varies with the absorption site)
    # noise
    tls_at_1hz: float       # one-sided PSD of df/f at 1 Hz, 1/Hz, falling as 1/f
    tls_floor_hz: float     # below this frequency the drift is calibrated out
    line_tones: tuple[tuple[float, float], ...]  # (Hz, rms rad): pick-up that moves f0, as phase of the quiescent loop
    white_phase_psd: float  # one-sided PSD of amplifier noise seen as phase on the quiescent loop, rad^2/Hz
    readout_bandwidth_hz: float | None  # one-pole low-pass of the readout chain, for signal and noise; None: without
    # digitiser
    counts_per_unit: float  # ADC counts per unit |S21|, a power of two
    pileup_fraction: float  # traces with a second photon (flagged False in `mask`)

    @property
    def q(self) -> float:
        """Loaded quality factor of the quiescent resonator."""
        return 1.0 / (1.0 / self.qi + 1.0 / self.qc)

    @property
    def ring_time_s(self) -> float:
        """Amplitude ring-down time Q / (pi f0)."""
        return self.q / (math.pi * self.f0_hz)

    @property
    def readout_time_s(self) -> float:
        """Time constant of the readout's low-pass, 0 without one."""
        return 0.0 if self.readout_bandwidth_hz is None else 1.0 / (2.0 * math.pi * self.readout_bandwidth_hz)

    @property
    def loop_radius(self) -> float:
        """Radius of the resonance circle in units of |S21|."""
        return self.q / (2.0 * self.qc)

    def to_dict(self) -> dict:
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict) -> DetectorPreset:
        """From metadata.json's `parameters`, those of version 1 among them. Raises DataError."""
        data = {"line_tones": (), "readout_bandwidth_hz": None} | dict(data)
        if wrong := {f.name for f in fields(cls)} ^ set(data):
            raise DataError("parameters", ", ".join(sorted(wrong)), "missing or unknown", "the fields of a preset")
        tones = tuple((float(f), float(rms)) for f, rms in data["line_tones"])
        return cls(**{**data, "wavelengths_nm": tuple(data["wavelengths_nm"]), "line_tones": tones})


_PTSI_1 = DetectorPreset(
    name="ptsi", version=1, wavelengths_nm=(808.0, 920.0, 980.0, 1120.0, 1310.0),
    sample_rate_hz=2.0e6, n_samples=1000, arrival_index=490, window_tau_s=46.4e-6,
    f0_hz=4.0012e9, qi=200e3, qc=15e3, asymmetry=1e-9, swenson_a=0.15, gain_phase_rad=0.6,
    shift_per_ev=6.4e-5, loss_ratio=0.08, tau_rise_s=1.0e-6, tau_s=42.3e-6, recombination=0.35,
    hotspot_fraction=0.25, hotspot_scatter=0.045, tau_hotspot_s=6e-6,
    fano_ev=2.0e-4, site_scatter=0.009,
    tls_at_1hz=0.4e-13, tls_floor_hz=10.0, line_tones=(), white_phase_psd=1.0e-9, readout_bandwidth_hz=None,
    counts_per_unit=16384.0, pileup_fraction=0.01)

_INHF_1 = DetectorPreset(
    name="inhf", version=1,
    wavelengths_nm=(254.0, 405.9, 532.0, 663.1, 813.7, 916.8, 978.6, 1120.0, 1200.0, 1310.0),
    sample_rate_hz=0.8e6, n_samples=2200, arrival_index=480, window_tau_s=416e-6,
    f0_hz=4.0012e9, qi=200e3, qc=15e3, asymmetry=1e-9, swenson_a=0.10, gain_phase_rad=-0.9,
    shift_per_ev=1.8e-5, loss_ratio=0.06, tau_rise_s=6.0e-6, tau_s=380e-6, recombination=0.06,
    hotspot_fraction=0.10, hotspot_scatter=0.02, tau_hotspot_s=40e-6,
    fano_ev=1.5e-4, site_scatter=0.006,
    tls_at_1hz=1.25e-14, tls_floor_hz=10.0, line_tones=(), white_phase_psd=1.0e-9, readout_bandwidth_hz=None,
    counts_per_unit=16384.0, pileup_fraction=0.01)

PTSI = replace(
    _PTSI_1, version=2, shift_per_ev=4.85e-5, loss_ratio=0.4, tau_s=55e-6, recombination=0.43, hotspot_fraction=0.55,
    tau_hotspot_s=7e-6, tls_at_1hz=3.45e-14, white_phase_psd=3.2e-9, line_tones=((59e3, 9.0e-3),),
    readout_bandwidth_hz=300e3)

INHF = replace(
    _INHF_1, version=2, loss_ratio=0.4, tau_s=410e-6, tls_at_1hz=1.04e-14, white_phase_psd=2.0e-9,
    line_tones=((59e3, 3.0e-3),), readout_bandwidth_hz=300e3)

PRESETS: dict[str, DetectorPreset] = {p.name: p for p in (PTSI, INHF)}
_VERSIONS = {(p.name, p.version): p for p in (PTSI, INHF, _PTSI_1, _INHF_1)}


def find_preset(name: str, version: int | None = None) -> DetectorPreset:
    """The preset of that name, the newest version or a given one. Raises DataError, naming those there are."""
    if version is None:
        version = PRESETS[name].version if name in PRESETS else 0
    if (name, version) not in _VERSIONS:
        known = ", ".join(f"{n} version {v}" for n, v in sorted(_VERSIONS))
        raise DataError("preset", name, f"version {version}" if version else "not a preset", known)
    return _VERSIONS[name, version]


def preset_of(metadata: dict | None) -> DetectorPreset | None:
    """The detector that a simulated metadata.json describes (a scattered pixel too), or None for a measured one."""
    if not metadata or not metadata.get("simulated") or "parameters" not in metadata:
        return None
    return DetectorPreset.from_dict(metadata["parameters"])
