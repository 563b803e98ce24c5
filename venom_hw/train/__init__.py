"""Training of float VENOM models: settings, data, loop, resumable state, report."""

from .config import TrainConfig, read_config
from .errors import TrainError
from .loop import Trainer
from .run import train

__all__ = ["TrainConfig", "TrainError", "Trainer", "read_config", "train"]
