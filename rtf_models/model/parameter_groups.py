"""Which parameters decay, for AdamW."""

from __future__ import annotations

from torch import nn

from .time2vec import Time2Vec
from .vector_quantizer import VectorQuantizer

UNDECAYED_MODULES = (nn.LayerNorm, nn.BatchNorm2d, Time2Vec)
UNDECAYED_NAMES = ("cls_tok", "pos_embed", "gamma")


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict]:
    """[{"params", "weight_decay"}, {"params", "weight_decay": 0.0}] for torch.optim.AdamW.

    Decay is for the weights of linear maps and convolutions alone: not for biases, norms, the CLS token, positions,
    Time2Vec and layer scales. Frozen parameters and the codebook (which follows averages, not gradients) are left out.
    """
    codebooks = {id(m.codebook.weight) for m in model.modules() if isinstance(m, VectorQuantizer)}
    decayed, others = [], []
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            if not parameter.requires_grad or id(parameter) in codebooks:
                continue
            exempt = isinstance(module, UNDECAYED_MODULES) or name in UNDECAYED_NAMES or name.endswith("bias")
            (others if exempt else decayed).append(parameter)
    return [{"params": decayed, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]
