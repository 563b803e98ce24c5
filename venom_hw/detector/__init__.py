"""MKID physics and data: simulator, folder loader, optimal filter, resolving power."""

from .dataset import PulseSet, load_pulse_set, normalisation, stratified_split
from .errors import DataError
from .generate import generate_folder
from .presets import PRESETS, DetectorPreset
from .wavelength import photon_energy
from .window import Window

__all__ = ["PRESETS", "DataError", "DetectorPreset", "PulseSet", "Window", "generate_folder", "load_pulse_set",
           "normalisation", "photon_energy", "stratified_split"]
