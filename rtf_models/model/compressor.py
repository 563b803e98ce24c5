"""The network: a light curve to a latent vector of D numbers (the fingerprint), and back to a light curve.

State-dict keys and public names are those of the original RTF, whose checkpoints load with strict=True.
"""

from __future__ import annotations

import inspect
import math
import warnings

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .arguments import check_arguments
from .encoder import TransformerStack
from .errors import ModelError
from .evaluating import evaluating
from .image_tower import ImageTower
from .losses import CONTINUOUS, N_CONTINUOUS, classification, kl_divergence, reconstruction_terms
from .positions import position_codes
from .time2vec import Time2Vec
from .vector_quantizer import ResidualVectorQuantizer, VectorQuantizer

N_BANDS = 3
N_FEATURES = 114  # GP feature values; columns after these say which are missing
FLOAT_BYTES = 4
DETECTION_BYTES = 3 * FLOAT_BYTES + 1  # time, magnitude and its error as float32, the band as a byte
NO_VERSION = (
    "a state dict without version (a plain dictionary): taken as the original RTF's, so missing images and features "
    "pass their towers and all positions are decoded; construct with decode_all=False, embed_absent=False (as config() "
    "says them) to load weights of a new network"
)
INITIAL_STD = 0.02  # of the CLS token and the positions


class LightCurveCompressor(nn.Module):
    """Transformer encoder -> CLS -> bottleneck of D numbers -> transformer decoder.

    Inputs of all methods: x (B, L, C) [log1p dt, log1p dt_prev, log flux, its error, g, r, i, further channels];
    pad_mask (B, L) bool, True = padding, None = no padding; images (B, 3, 63, 63); gp_features (B, G).

    Args:
        mode: "ae", "vae" or "vqvae".
        latent_dim: D.
        in_channels: C: 7, with metadata 37, with their missing mask 67.
        d_model, n_heads, n_encoder_layers, n_decoder_layers, d_ff, dropout: of the transformers. The decoder's dropout
            is smaller by 0.1, at least 0.1.
        max_len: learned positions of the decoder. Longer sequences are decoded at interpolated positions.
        free_bits: least KL a dimension in nats (vae).
        kl_reduction: "sum" over the dimensions as the original, or "mean" (then beta means the same at every D).
        num_codes, commitment_cost, n_codebooks: of the vector quantiser; more than one codebook is a residual one.
        use_images, image_backbone ("simple", "zoobot"), freeze_backbone: see ImageTower.
        gp_dim: G; 0: no features.
        num_classes: classes of the head on the latent; 0: no head.
        decode_all: the decoder computes all `max_len` positions whatever the length, each attending to all, as the
            original does. Otherwise a sequence of n is decoded at n positions, whatever else is in its batch.
        embed_absent: a missing image or feature vector (all zeros) passes its tower, whose biases are then added, as
            in the original. Otherwise it adds nothing.

    `decode_all` and `embed_absent` None: False, until a state dict is loaded that is the original's (its modules say
    version 1), or that says nothing (a plain dictionary of its tensors), which is taken as the original's with a
    warning; then both are True. Given, they stay, but for a state dict that says version 1. `config()` has all
    arguments, as they are.

    Raises:
        ModelError: an argument is not possible.
    """

    _version = 2  # of the state dict; 1: the original, and models that behave as it does

    def __init__(
        self,
        mode: str = "vae",
        latent_dim: int = 32,
        in_channels: int = 7,
        d_model: int = 128,
        n_heads: int = 8,
        n_encoder_layers: int = 4,
        n_decoder_layers: int = 2,
        d_ff: int = 512,
        dropout: float = 0.3,
        max_len: int = 257,
        free_bits: float = 0.25,
        num_codes: int = 512,
        commitment_cost: float = 0.25,
        use_images: bool = False,
        image_backbone: str = "simple",
        freeze_backbone: bool | None = None,
        gp_dim: int = 0,
        num_classes: int = 0,
        *,
        kl_reduction: str = "sum",
        n_codebooks: int = 1,
        decode_all: bool | None = None,
        embed_absent: bool | None = None,
    ):
        super().__init__()
        arguments = dict(locals())
        self._config = {name: arguments[name] for name in CONFIG_NAMES}
        check_arguments(self._config)
        self.mode, self.latent_dim, self.in_channels, self.d_model = mode, latent_dim, in_channels, d_model
        self.max_len, self.num_classes, self.gp_dim, self.use_images = max_len, num_classes, gp_dim, use_images
        self.free_bits, self.kl_reduction = free_bits, kl_reduction
        self.num_codes, self.n_codebooks = num_codes, n_codebooks
        self._behave(bool(decode_all), bool(embed_absent))
        self._chosen = decode_all is not None or embed_absent is not None

        self.in_proj = nn.Linear(in_channels, d_model)
        self.time2vec = Time2Vec(d_model)
        self.cls_tok = nn.Parameter(torch.randn(1, 1, d_model) * INITIAL_STD)
        self.encoder = TransformerStack(n_encoder_layers, d_model, n_heads, d_ff, dropout)
        self.enc_norm = nn.LayerNorm(d_model)
        if use_images:
            self.image_tower = ImageTower(d_model, dropout, image_backbone, freeze_backbone)
        if gp_dim:
            self.gp_proj = nn.Sequential(nn.Linear(gp_dim, d_model), nn.LayerNorm(d_model), nn.ReLU(),
                                         nn.Dropout(dropout))  # fmt: skip

        if mode == "ae":
            self.bottleneck_proj = nn.Linear(d_model, latent_dim)
        elif mode == "vae":
            self.mu_proj = nn.Linear(d_model, latent_dim)
            self.logvar_proj = nn.Linear(d_model, latent_dim)
        else:
            self.pre_vq_proj = nn.Linear(d_model, latent_dim)
            sizes = (num_codes, latent_dim, commitment_cost)
            self.vq = VectorQuantizer(*sizes) if n_codebooks == 1 else ResidualVectorQuantizer(n_codebooks, *sizes)
        self.cls_head = None
        if num_classes:
            self.cls_head = nn.Sequential(nn.Linear(latent_dim, latent_dim), nn.ReLU(), nn.Dropout(dropout),
                                          nn.Linear(latent_dim, num_classes))  # fmt: skip

        self.z_proj = nn.Linear(latent_dim, d_model)
        self.pos_embed = nn.Parameter(torch.randn(1, max_len, d_model) * INITIAL_STD)
        self.decoder = TransformerStack(n_decoder_layers, d_model, n_heads, d_ff, max(dropout - 0.1, 0.1))
        self.dec_norm = nn.LayerNorm(d_model)
        self.head_cont = nn.Linear(d_model, N_CONTINUOUS)
        self.head_band = nn.Linear(d_model, N_BANDS)

    def config(self) -> dict:
        """The constructor's arguments: `LightCurveCompressor(**model.config())` is the same network."""
        return dict(self._config)

    def set_compatibility(self, *, decode_all: bool, embed_absent: bool) -> None:
        """Both True: behaves as the original, and says so in its state dict (version 1)."""
        self._behave(bool(decode_all), bool(embed_absent))
        self._chosen = True

    def _behave(self, decode_all: bool, embed_absent: bool) -> None:
        self.decode_all, self.embed_absent = decode_all, embed_absent
        self._config.update(decode_all=self.decode_all, embed_absent=self.embed_absent)
        self._version = 1 if self.decode_all and self.embed_absent else type(self)._version

    # ---- encoder

    def encode_sequence(self, x: Tensor, pad_mask: Tensor | None = None) -> Tensor:
        """x (B, L, C) -> (B, d_model): the CLS position after the encoder and its layer norm."""
        if x.dim() != 3 or x.shape[-1] != self.in_channels or x.shape[1] == 0:
            raise ModelError(f"x has shape {tuple(x.shape)}, expected (batch, length >= 1, {self.in_channels})")
        if pad_mask is not None and pad_mask.shape != x.shape[:2]:
            raise ModelError(f"pad_mask has shape {tuple(pad_mask.shape)}, expected {tuple(x.shape[:2])}")
        padded = not _no_padding(pad_mask)
        if padded:  # whatever padding holds, a NaN of it would pass an attention weight of 0
            x = x.masked_fill(pad_mask[..., None], 0.0)
        h = self.in_proj(x) + self.time2vec(x[..., 0])
        h = torch.cat([self.cls_tok.expand(len(x), -1, -1).to(h.dtype), h], dim=1)
        visible = F.pad(~pad_mask, (1, 0), value=True) if padded else None
        return self.enc_norm(self.encoder(h, visible, first_only=True).squeeze(1))

    def fuse(self, cls: Tensor, images: Tensor | None = None, gp_features: Tensor | None = None) -> Tensor:
        """cls (B, d_model) plus the embeddings of image and features, where the model has them and they are there."""
        if self.use_images and images is not None:
            there = None if self.embed_absent else images.flatten(1).any(1)
            cls = cls + _rows(self.image_tower, images, there, cls)
        if self.gp_dim and gp_features is not None:
            if gp_features.shape != (len(cls), self.gp_dim):
                raise ModelError(f"gp_features have shape {tuple(gp_features.shape)}, "
                                 f"expected {(len(cls), self.gp_dim)}")  # fmt: skip
            embedding = self.gp_proj(gp_features)
            if not self.embed_absent:
                embedding = embedding * gp_features[:, :N_FEATURES].any(1, keepdim=True)
            cls = cls + embedding
        return cls

    def encode(self, x: Tensor, pad_mask: Tensor | None = None, images: Tensor | None = None,
               gp_features: Tensor | None = None) -> tuple[Tensor, dict[str, Tensor]]:  # fmt: skip
        """-> z (B, D) and extras: z (ae); z, mu, logvar (vae: z is drawn in training, else mu);
        z, vq_loss, indices (vqvae).
        """
        cls = self.fuse(self.encode_sequence(x, pad_mask), images, gp_features)
        if self.mode == "ae":
            z = self.bottleneck_proj(cls)
            return z, {"z": z}
        if self.mode == "vae":
            mu, logvar = self.mu_proj(cls), self.logvar_proj(cls)
            z = self.reparameterize(mu, logvar)
            return z, {"z": z, "mu": mu, "logvar": logvar}
        z, vq_loss, indices = self.vq(self.pre_vq_proj(cls))
        return z, {"z": z, "vq_loss": vq_loss, "indices": indices}

    def reparameterize(self, mu: Tensor, logvar: Tensor) -> Tensor:
        """mu + exp(logvar / 2) * normal noise in training, else mu."""
        return mu + torch.exp(0.5 * logvar) * torch.randn_like(mu) if self.training else mu

    # ---- decoder

    def decode(self, z: Tensor, length: int | None = None, pad_mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """z (B, D) -> continuous (B, length, 4), band logits (B, length, 3).

        `length` None: all `max_len` positions. `pad_mask` (B, length): sequences of a batch are shorter than `length`.
        Where padding is, the result means nothing.
        """
        length = length or (self.max_len if pad_mask is None else pad_mask.shape[1])
        visible = None if _no_padding(pad_mask) else ~pad_mask
        if self.decode_all and length <= self.max_len:
            computed, visible, positions = self.max_len, None, self.pos_embed
        else:
            computed = length
            positions = position_codes(self.pos_embed, length, visible)
            if self.decode_all and visible is not None:  # as if alone: the shorter ones have max_len positions
                visible = visible | (torch.arange(length, device=z.device) < self.max_len)
        h = self.z_proj(z)[:, None, :] + positions.to(z.dtype)
        h = self.dec_norm(self.decoder(h.expand(-1, computed, -1), visible))[:, :length]
        return self.head_cont(h), self.head_band(h)

    def forward(self, x: Tensor, pad_mask: Tensor | None = None, images: Tensor | None = None,
                gp_features: Tensor | None = None) -> tuple[Tensor, Tensor, dict[str, Tensor]]:  # fmt: skip
        """-> continuous (B, L, 4), band logits (B, L, 3), extras of `encode`."""
        z, extras = self.encode(x, pad_mask, images, gp_features)
        return *self.decode(z, x.shape[1], pad_mask), extras

    # ---- results

    @torch.no_grad()
    def embed(self, x: Tensor, pad_mask: Tensor | None = None, images: Tensor | None = None,
              gp_features: Tensor | None = None) -> Tensor:  # fmt: skip
        """The fingerprint (B, D): z (ae), mu (vae), z_q (vqvae). No gradient, no dropout, no change of the codebook,
        whatever mode the module is in.
        """
        with evaluating(self):
            return self.encode(x, pad_mask, images, gp_features)[0]

    @torch.no_grad()
    def reconstruction_error(self, x: Tensor, pad_mask: Tensor | None = None, images: Tensor | None = None,
                             gp_features: Tensor | None = None) -> Tensor:  # fmt: skip
        """(B,): mean squared error over the four continuous channels plus mean band cross-entropy of each source."""
        pad = _mask_of(x, pad_mask)
        with evaluating(self):
            cont_hat, band_logits, _ = self(x, pad_mask, images, gp_features)
        squared, cross_entropy, _, valid = reconstruction_terms(x, pad, cont_hat, band_logits)
        count = valid.sum(1).clamp(min=1)
        return squared.sum((1, 2)) / (N_CONTINUOUS * count) + cross_entropy.sum(1) / count

    def compute_loss(
        self,
        x: Tensor,
        pad_mask: Tensor | None,
        forward_out: tuple[Tensor, Tensor, dict[str, Tensor]],
        beta: float = 1.0,
        labels: Tensor | None = None,
        cls_weight: float = 0.0,
        class_weights: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Losses of a batch; `total_loss` is to be differentiated, all others are detached scalars.

        total_loss = recon_cont + recon_band + cls_weight cls_loss [+ beta kld (vae)] [+ vq_loss (vqvae)]. labels (B,)
        with -1 = unknown, left out; class_weights (num_classes,). kld is what the loss has (free bits, `kl_reduction`);
        kl_sum and kl_mean are the plain divergence, over all dimensions and a dimension.
        """
        cont_hat, band_logits, extras = forward_out
        squared, cross_entropy, right, valid = reconstruction_terms(x, _mask_of(x, pad_mask), cont_hat, band_logits)
        n = valid.sum().clamp(min=1)
        channel_mse = squared.sum((0, 1)) / n
        recon_cont, recon_band = channel_mse.mean(), cross_entropy.sum() / n
        zero = recon_cont.new_zeros(())
        terms = {"recon_cont": recon_cont, "recon_band": recon_band, "band_acc": right.sum() / n}
        terms |= {f"mse_{name}": value for name, value in zip(CONTINUOUS, channel_mse, strict=True)}
        terms |= {"kld": zero, "beta": torch.full_like(zero, beta), "vq_loss": zero, "cls_loss": zero, "cls_acc": zero}
        terms |= {"codebook_usage": zero, "kl_sum": zero, "kl_mean": zero}
        total = recon_cont + recon_band
        if self.mode == "vae":
            mu, logvar = extras["mu"].float(), extras["logvar"].float()
            kl = kl_divergence(mu, logvar, self.free_bits)
            terms["kld"] = kl.sum(1).mean() if self.kl_reduction == "sum" else kl.mean()
            terms["kl_sum"] = kl_divergence(mu, logvar).sum(1).mean()
            terms["kl_mean"] = terms["kl_sum"] / self.latent_dim
            total = total + beta * terms["kld"]
        elif self.mode == "vqvae":
            terms["vq_loss"] = extras["vq_loss"].float()
            terms["codebook_usage"] = self._codes_in(extras["indices"])
            total = total + terms["vq_loss"]
        if self.cls_head is not None and labels is not None:
            logits = self.cls_head(extras["mu" if self.mode == "vae" else "z"])
            terms["cls_loss"], terms["cls_acc"] = classification(logits, labels, class_weights)
            total = total + cls_weight * terms["cls_loss"]
        return {"total_loss": total} | {name: value.detach() for name, value in terms.items()}

    def _codes_in(self, indices: Tensor) -> Tensor:
        """Number of distinct codes in a batch (with several codebooks: their mean), as a float."""
        stages = indices.reshape(len(indices), -1)
        offset = torch.arange(stages.shape[1], device=indices.device) * self.num_codes
        used = torch.zeros(self.num_codes * stages.shape[1], device=indices.device)
        return used.index_fill_(0, (stages + offset).flatten(), 1.0).sum() / stages.shape[1]

    def compression_info(self, detections: float | None = None) -> dict[str, float]:
        """Bytes of a light curve and of its fingerprint.

        compressed_bytes (vqvae: bits of the code indices rounded up to whole bytes). raw_bytes and compression_ratio
        are the original's: every channel at `max_len` rows, padding and what is never reconstructed included. What a
        light curve of n detections really has is n times detection_bytes (time, magnitude, error, band):
        ratio_a_detection is that of one detection, and with `detections` photometry_ratio is that of so many.
        """
        raw = self.in_channels * self.max_len * FLOAT_BYTES
        compressed = FLOAT_BYTES * self.latent_dim
        if self.mode == "vqvae":
            compressed = max(1, math.ceil(self.n_codebooks * math.ceil(math.log2(self.num_codes)) / 8))
        info = {"raw_bytes": raw, "compressed_bytes": compressed, "compression_ratio": raw / compressed,
                "detection_bytes": DETECTION_BYTES, "ratio_a_detection": DETECTION_BYTES / compressed}  # fmt: skip
        if detections is not None:
            info |= {"detections": detections, "photometry_ratio": detections * DETECTION_BYTES / compressed}
        return info

    # ---- state dicts of the original

    def _load_from_state_dict(self, state_dict, prefix, local_metadata, *args, **kwargs):
        version = local_metadata.get("version")
        original = version < 2 if version is not None else not self._chosen or (self.decode_all and self.embed_absent)
        if original:
            if version is None and not self._chosen:
                warnings.warn(NO_VERSION, stacklevel=3)
            self._behave(True, True)
            if self.mode == "vqvae" and self.cls_head is not None and f"{prefix}cls_head.0.weight" not in state_dict:
                self.cls_head, self.num_classes = None, 0  # the original has none in this mode
                self._config["num_classes"] = 0
        elif not self._chosen:
            self._behave(False, False)
        super()._load_from_state_dict(state_dict, prefix, local_metadata, *args, **kwargs)


CONFIG_NAMES = tuple(name for name in inspect.signature(LightCurveCompressor.__init__).parameters if name != "self")


def _no_padding(pad_mask: Tensor | None) -> bool:
    """Whether there is surely none. Not looked at on a device other than the CPU, where looking means waiting."""
    return pad_mask is None or (pad_mask.device.type == "cpu" and not bool(pad_mask.any()))


def _mask_of(x: Tensor, pad_mask: Tensor | None) -> Tensor:
    return torch.zeros(x.shape[:2], dtype=torch.bool, device=x.device) if pad_mask is None else pad_mask


def _rows(tower: nn.Module, inputs: Tensor, there: Tensor | None, like: Tensor) -> Tensor:
    """tower(inputs) for the rows that are there, zeros for the others; `there` None: all are."""
    if there is None:
        return tower(inputs)
    out = torch.zeros_like(like)
    index = there.nonzero().squeeze(1)
    return out if len(index) == 0 else out.index_copy(0, index, tower(inputs[index]).to(out.dtype))
