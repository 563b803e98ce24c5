"""MKID physics and data: simulator, folder loader, optimal filter, resolving power."""

from .convert_loop import convert_loop
from .cramer_rao import EnergyBound, energy_bound, line_bounds, resolving_power_bound
from .dataset import PulseSet, load_pulse_set, normalisation, stratified_split
from .errors import DataError
from .filter_baseline import FilterBaseline, fit_filter_baseline
from .folder_summary import summarise_folder
from .generate import generate_folder
from .inert_pickle import UnsafePickle
from .lab_names import filter_resolving_power, load_mkid_data
from .label_jitter import jittered_energies
from .pixels import scatter_pixels
from .postage_stamp import read_stamps, stamps_to_pulses, write_stamp_folder
from .presets import PRESETS, DetectorPreset, find_preset, preset_of
from .real_ptsi import RealPulses, load_real_ptsi
from .resolving_power import compute_resolving_power, gaussian_resolving_power, summarize_resolving_power
from .resolving_power_table import Interval, ResolvingPowerTable, resolving_power_table
from .wavelength import photon_energy
from .window import Window

__all__ = [
    "PRESETS", "DataError", "DetectorPreset", "EnergyBound", "FilterBaseline", "Interval", "PulseSet",
    "RealPulses", "ResolvingPowerTable", "UnsafePickle", "Window", "compute_resolving_power", "convert_loop",
    "energy_bound", "filter_resolving_power", "find_preset", "fit_filter_baseline",
    "gaussian_resolving_power", "generate_folder", "jittered_energies", "line_bounds", "load_mkid_data",
    "load_pulse_set", "load_real_ptsi", "make_report", "normalisation", "photon_energy", "preset_of",
    "read_stamps", "resolving_power_bound", "resolving_power_table", "scatter_pixels", "stamps_to_pulses",
    "stratified_split", "summarise_folder", "summarize_resolving_power", "write_stamp_folder",
]


def __getattr__(name: str):
    if name == "make_report":  # with matplotlib, so only when it is used
        from .data_report import make_report

        return make_report
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
