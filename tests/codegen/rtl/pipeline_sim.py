"""`sim.pipeline_sim`, under the name that the tests of this folder use."""

from sim.pipeline_sim import PipelineSim, pack, unpack, verilate, write

__all__ = ["PipelineSim", "pack", "unpack", "verilate", "write"]
