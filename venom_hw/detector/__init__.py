"""MKID physics and data: simulator, folder loader, optimal filter, resolving power."""

from .cramer_rao import EnergyBound, energy_bound, line_bounds, resolving_power_bound
from .dataset import PulseSet, load_pulse_set, normalisation, stratified_split
from .errors import DataError
from .filter_baseline import FilterBaseline, fit_filter_baseline
from .generate import generate_folder
from .lab_names import filter_resolving_power, load_mkid_data
from .pixels import scatter_pixels
from .presets import PRESETS, DetectorPreset, find_preset, preset_of
from .real_ptsi import RealPulses, load_real_ptsi
from .resolving_power import compute_resolving_power, gaussian_resolving_power, summarize_resolving_power
from .resolving_power_table import Interval, ResolvingPowerTable, resolving_power_table
from .wavelength import photon_energy
from .window import Window

__all__ = [
    "PRESETS", "DataError", "DetectorPreset", "EnergyBound", "FilterBaseline", "Interval", "PulseSet",
    "RealPulses", "ResolvingPowerTable", "Window", "compute_resolving_power", "energy_bound",
    "filter_resolving_power", "find_preset", "fit_filter_baseline", "gaussian_resolving_power", "generate_folder",
    "line_bounds", "load_mkid_data", "load_pulse_set", "load_real_ptsi", "normalisation", "photon_energy",
    "preset_of", "resolving_power_bound", "resolving_power_table", "scatter_pixels", "stratified_split",
    "summarize_resolving_power",
]
