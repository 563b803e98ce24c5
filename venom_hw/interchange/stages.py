"""Names for what the importer makes: a tensor's name from its quantiser's module path, and the stage it belongs to.

Stages are what the renderings make functions (and modules) of. Paths are those of `venom_hw.quantize.network`; an
unknown path gets the name of its own first part.
"""

from __future__ import annotations

import re

STAGES: tuple[tuple[str, str], ...] = (
    (r"q_in|affine\b.*", "input_affine"),
    (r"q_res|input_proj\b.*", "input_projection"),
    (r"block\d*\.norm\..*", "block_norm"),
    (r"block\d*\.(q_xi|q_z)", "in_projection"),
    (r"block\d*\.(q_u|q_xa)", "convolution"),
    (r"block\d*\.(q_B|q_C|q_zt)", "selection"),
    (r"block\d*\.(q_delta|q_g|q_dx)", "discretisation"),
    (r"block\d*\.q_h", "state_update"),
    (r"block\d*\.(q_y|q_gz|q_o)", "gate"),
    (r"block\d*\.q_r", "out_projection"),
    (r"norm\..*", "final_norm"),
    (r"q_s|q_e|score\b.*", "attention"),
    (r"q_m|q_nn|q_inv|q_p", "pooled_mean"),
    (r"q_a1|q_g1", "mlp_1"),
    (r"q_a2|q_g2", "mlp_2"),
    (r"q_out", "mlp_3"),
    (r"q_mu|q_logvar", "energy_scale"),
)
FALLBACK = {"step": "pooling", "head": "energy_scale"}
NAMES = {"in": "iq", "out": "mlp_out", "res": "residual", "r": "residual_out", "B": "b_select", "C": "c_select"}
"""Short quantiser names that are keywords in C++ or SystemVerilog, or would differ in case alone from others."""


def _tidy(path: str) -> str:
    return re.sub(r"\blayers\.(\d+)", lambda m: "block" + (m[1] if m[1] != "0" else ""), path)


def stage_of(path: str, graph: str) -> str:
    """Stage of the tensor that the quantiser at `path` makes."""
    path = _tidy(path)
    for pattern, stage in STAGES:
        if re.fullmatch(pattern, path):
            layer = re.match(r"block(\d+)", path)
            return stage + (f"_{layer[1]}" if layer else "")
    return re.sub(r"\W", "_", path.split(".")[0]) if path else FALLBACK.get(graph, "main")


def tensor_name(path: str) -> str:
    """An identifier from a module path: layers.0.q_xi -> xi, layers.0.norm.q_c -> block_norm_c."""
    parts = [p for p in _tidy(path).split(".") if p != "quant"]
    last = parts[-1]
    quantiser = last.startswith("q_")
    last = last[2:] if quantiser else last
    last = NAMES.get(last, last) if quantiser else last
    prefix = parts[:-1]
    if prefix == ["block"]:
        prefix = []
    return re.sub(r"\W", "_", "_".join([*prefix, last]))
