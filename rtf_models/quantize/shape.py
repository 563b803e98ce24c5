"""Sizes of a quantised RTF encoder."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from rtf_models.errors import RtfError


class EncoderError(RtfError):
    """This encoder cannot be quantised; the message names what is not supported and what would be right."""


@dataclass(frozen=True)
class EncoderShape:
    """Sizes of the encoder.  ``max_len``: longest light curve (detections); the sums over keys are proven for it.

    ``features``: length of the light-curve feature vector that joins after the last layer norm, 0 for none;
    ``embed_absent``: 1 where a vector of zeros, which is an absent one, is embedded too (the original's models).
    ``weight_bits``: bits of an attention weight before normalisation (the denominator is exact in its units).
    """

    in_channels: int = 7
    d_model: int = 128
    n_heads: int = 8
    n_layers: int = 4
    d_ff: int = 512
    latent_dim: int = 64
    max_len: int = 257
    features: int = 0
    embed_absent: int = 0
    weight_bits: int = 8

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if int(value) != value or value < (0 if name in ("features", "embed_absent") else 1):
                raise EncoderError(f"{name} = {value!r}: expected a positive integer")
        if self.d_model & (self.d_model - 1):
            raise EncoderError(
                f"d_model = {self.d_model}: expected a power of two (the mean of a layer norm is a sum and a shift)"
            )
        if self.d_model % self.n_heads:
            raise EncoderError(f"d_model = {self.d_model} is no multiple of n_heads = {self.n_heads}")

    @property
    def d_head(self) -> int:
        return self.d_model // self.n_heads

    @property
    def keys(self) -> int:
        """Most keys that a query can see: the class token and the detections."""
        return self.max_len + 1
