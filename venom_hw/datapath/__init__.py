"""Number formats, the typed fixed-point graph, its passes and the golden executor.

This room knows nothing of torch, ONNX, Jinja or VENOM: integers in, integers out.
"""

from venom_hw.datapath.fixed import FixedPointError, FixedType, Overflow, Rounding
from venom_hw.datapath.graph import Graph, GraphBuilder, Node
from venom_hw.datapath.ops import DatapathError

__all__ = [
    "DatapathError",
    "FixedPointError",
    "FixedType",
    "Graph",
    "GraphBuilder",
    "Node",
    "Overflow",
    "Rounding",
]
