"""Pickles read as data: nothing that they name is ever imported or run. Imports nothing of the project."""

from .arrays import PickledArray, PieceError, plain
from .machine import PickleError, UnsafePickle, read_pickle, read_plain
from .names import StandIn

__all__ = ["PickleError", "PickledArray", "PieceError", "StandIn", "UnsafePickle", "plain", "read_pickle", "read_plain"]
