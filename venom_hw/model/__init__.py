"""The float VENOM network: selective scan, backbone, energy head, checkpoints."""

from .backbone import SSMBackbone
from .block import BlockState, MambaBlock
from .checkpoint import VenomCheckpoint, load_checkpoint, save_checkpoint
from .errors import CheckpointError, ModelError
from .head import EnergyHead, PoolState
from .network import MKIDEnergySSM
from .scan import linear_scan, selective_scan
from .weights import WeightsReport, load_weights

__all__ = [
    "BlockState",
    "CheckpointError",
    "EnergyHead",
    "MKIDEnergySSM",
    "MambaBlock",
    "ModelError",
    "PoolState",
    "SSMBackbone",
    "VenomCheckpoint",
    "WeightsReport",
    "linear_scan",
    "load_checkpoint",
    "load_weights",
    "save_checkpoint",
    "selective_scan",
]
