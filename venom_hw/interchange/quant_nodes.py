"""The Quant nodes of a QONNX file and the module paths that they came from."""

from __future__ import annotations

import ast

import onnx

KEPT_METADATA = "pkg.torch.onnx.name_scopes"
QUANT_DOMAIN = "qonnx.custom_op.general"


def quant_nodes(model: onnx.ModelProto) -> list[onnx.NodeProto]:
    """The Quant nodes of a graph, in order."""
    return [n for n in model.graph.node if n.op_type == "Quant" and n.domain == QUANT_DOMAIN]


def quant_name(node: onnx.NodeProto) -> str:
    """Module path of a Quant node (``layers.0.q_h``), from the exporter's name scopes; '' when there is none."""
    for entry in node.metadata_props:
        if entry.key == KEPT_METADATA:
            scopes = [s for s in ast.literal_eval(entry.value) if s.endswith(".act_quant")]
            return scopes[-1].removesuffix(".act_quant") if scopes else ""
    return ""
