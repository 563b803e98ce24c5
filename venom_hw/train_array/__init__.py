"""Many pixels, a network each: trained together on one device, in groups over a Ray cluster."""

from .errors import TrainArrayError
from .group import Group, run_group
from .layout import Layout
from .pixel_data import PixelSource, folder_sources, load_pixel, pixel_pulses, simulated_sources
from .run import make_groups, train_array
from .trainer import ArrayTrainer, PixelPulses

__all__ = [
    "ArrayTrainer",
    "Group",
    "Layout",
    "PixelPulses",
    "PixelSource",
    "TrainArrayError",
    "folder_sources",
    "load_pixel",
    "make_groups",
    "pixel_pulses",
    "run_group",
    "simulated_sources",
    "train_array",
]
