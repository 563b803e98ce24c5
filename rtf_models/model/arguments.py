"""Whether a LightCurveCompressor's arguments are possible."""

from __future__ import annotations

from .errors import ModelError
from .image_tower import BACKBONES

MODES = ("ae", "vae", "vqvae")
KL_REDUCTIONS = ("sum", "mean")


def check_arguments(config: dict) -> None:
    """Raises ModelError naming the first argument that is not, its value and what was expected."""
    for name, choices in (("mode", MODES), ("image_backbone", BACKBONES), ("kl_reduction", KL_REDUCTIONS)):
        if config[name] not in choices:
            raise ModelError(f"{name} is {config[name]!r}, expected one of {', '.join(choices)}")
    least = {"latent_dim": 1, "in_channels": 7, "d_model": 2, "n_heads": 1, "n_encoder_layers": 1, "d_ff": 1,
             "n_decoder_layers": 1, "max_len": 1, "num_codes": 1, "n_codebooks": 1, "gp_dim": 0,
             "num_classes": 0}  # fmt: skip
    for name, low in least.items():
        value = config[name]
        if isinstance(value, bool) or not isinstance(value, int) or value < low:
            raise ModelError(f"{name} is {value!r}, expected a whole number, {low} or more")
    if config["d_model"] % config["n_heads"]:
        raise ModelError(f"d_model is {config['d_model']}, expected a multiple of n_heads = {config['n_heads']}")
    if not 0 <= config["dropout"] < 1:
        raise ModelError(f"dropout is {config['dropout']!r}, expected at least 0 and less than 1")
