"""The random datapaths of `sim.fuzz`, under the names that the tests of this folder use."""

from sim.fuzz.expected import reference
from sim.fuzz.grower import OPS
from sim.fuzz.random_graph import random_datapath, random_stimulus

__all__ = ["OPS", "random_datapath", "random_stimulus", "reference"]
