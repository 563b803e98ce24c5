"""The RTF network as one would first write it out of torch.nn's own modules: pads to 257, decodes 257 positions.

The reference of bench_rtf.py, and the oracle of the model tests (its state dict is one of the original RTF's). Written
after the description of the original alone; it shares no code with rtf_models.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import nn

MAX_LEN = 257


class PlainTime2Vec(nn.Module):
    def __init__(self, d):
        super().__init__()
        self.w0, self.b0 = nn.Parameter(torch.randn(1)), nn.Parameter(torch.zeros(1))
        self.w, self.b = nn.Parameter(torch.randn(d - 1)), nn.Parameter(torch.zeros(d - 1))

    def forward(self, t):
        t = t[..., None]
        return torch.cat((t * self.w0 + self.b0, torch.sin(t * self.w + self.b)), -1)


class PlainVectorQuantizer(nn.Module):
    def __init__(self, codes, dim):
        super().__init__()
        self.codebook = nn.Embedding(codes, dim)
        self.register_buffer("ema_cluster_size", torch.ones(codes))
        self.register_buffer("ema_embed_sum", self.codebook.weight.detach().clone())

    def forward(self, z):
        index = torch.cdist(z, self.codebook.weight).argmin(1)
        chosen = self.codebook(index).detach()
        return z + (chosen - z).detach(), 0.25 * F.mse_loss(z, chosen), index


class PlainImageTower(nn.Module):
    def __init__(self, d, dropout):
        super().__init__()
        parts, before = [], 3
        for width in (32, 64, 128, 128):
            parts += [nn.Conv2d(before, width, 3, 2, 1), nn.BatchNorm2d(width), nn.ReLU()]
            before = width
        self.cnn = nn.Sequential(*parts, nn.AdaptiveAvgPool2d(1))
        self.proj = nn.Sequential(nn.Flatten(), nn.Dropout(dropout), nn.Linear(128, d))

    def forward(self, images):
        return self.proj(self.cnn(images))


class PlainCompressor(nn.Module):
    """x (B, L, C), pad_mask (B, L) True = padding -> continuous (B, L, 4), band logits (B, L, 3), bottleneck."""

    def __init__(self, mode="ae", latent_dim=64, in_channels=7, d_model=128, dropout=0.3, num_codes=512,
                 use_images=False, gp_dim=0, num_classes=0):  # fmt: skip
        super().__init__()
        self.mode, d = mode, d_model
        self.in_proj, self.time2vec = nn.Linear(in_channels, d), PlainTime2Vec(d)
        self.cls_tok = nn.Parameter(0.02 * torch.randn(1, 1, d))
        layer = nn.TransformerEncoderLayer(d, 8, 512, dropout, batch_first=True, norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, 4, enable_nested_tensor=False)
        self.enc_norm = nn.LayerNorm(d)
        self.image_tower = PlainImageTower(d, dropout) if use_images else None
        self.gp_proj = (
            nn.Sequential(nn.Linear(gp_dim, d), nn.LayerNorm(d), nn.ReLU(), nn.Dropout(dropout)) if gp_dim else None
        )
        if mode == "ae":
            self.bottleneck_proj = nn.Linear(d, latent_dim)
        elif mode == "vae":
            self.mu_proj, self.logvar_proj = nn.Linear(d, latent_dim), nn.Linear(d, latent_dim)
        else:
            self.pre_vq_proj, self.vq = nn.Linear(d, latent_dim), PlainVectorQuantizer(num_codes, latent_dim)
        if num_classes and mode != "vqvae":
            self.cls_head = nn.Sequential(nn.Linear(latent_dim, latent_dim), nn.ReLU(), nn.Dropout(dropout),
                                          nn.Linear(latent_dim, num_classes))  # fmt: skip
        self.z_proj = nn.Linear(latent_dim, d)
        self.pos_embed = nn.Parameter(0.02 * torch.randn(1, MAX_LEN, d))
        layer = nn.TransformerEncoderLayer(d, 8, 512, max(dropout - 0.1, 0.1), batch_first=True, norm_first=True)
        self.decoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.dec_norm = nn.LayerNorm(d)
        self.head_cont, self.head_band = nn.Linear(d, 4), nn.Linear(d, 3)

    def bottleneck(self, x, pad_mask, images=None, gp_features=None):
        h = torch.cat((self.cls_tok.expand(len(x), 1, -1), self.in_proj(x) + self.time2vec(x[:, :, 0])), 1)
        mask = torch.cat((torch.zeros_like(pad_mask[:, :1]), pad_mask), 1)
        cls = self.enc_norm(self.encoder(h, src_key_padding_mask=mask)[:, 0])
        if self.image_tower is not None:
            cls = cls + self.image_tower(images)
        if self.gp_proj is not None:
            cls = cls + self.gp_proj(gp_features)
        if self.mode == "ae":
            return {"z": self.bottleneck_proj(cls)}
        if self.mode == "vae":
            mu, logvar = self.mu_proj(cls), self.logvar_proj(cls)
            noise = torch.randn_like(mu) * self.training
            return {"z": mu + noise * torch.exp(logvar / 2), "mu": mu, "logvar": logvar}
        z, loss, index = self.vq(self.pre_vq_proj(cls))
        return {"z": z, "vq_loss": loss, "indices": index}

    def forward(self, x, pad_mask, images=None, gp_features=None):
        found = self.bottleneck(x, pad_mask, images, gp_features)
        h = self.z_proj(found["z"])[:, None].expand(-1, MAX_LEN, -1) + self.pos_embed
        h = self.dec_norm(self.decoder(h))[:, : x.shape[1]]
        return self.head_cont(h), self.head_band(h), found

    def loss(self, x, pad_mask, out, beta=1.0, labels=None, cls_weight=0.0, free_bits=0.25):
        """Total loss of one batch, source by source and detection by detection masked by hand."""
        cont, logits, found = out
        keep = ~pad_mask
        total = (cont - x[..., :4])[keep].pow(2).mean() + F.cross_entropy(logits[keep], x[..., 4:7][keep].argmax(-1))
        if self.mode == "vae":
            mu, logvar = found["mu"], found["logvar"]
            kl = 0.5 * (mu**2 + torch.exp(logvar) - 1 - logvar)
            total = total + beta * torch.maximum(kl, torch.tensor(free_bits)).sum(1).mean()
        if self.mode == "vqvae":
            total = total + found["vq_loss"]
        elif labels is not None:
            total = total + cls_weight * F.cross_entropy(self.cls_head(found.get("mu", found["z"])), labels)
        return total


def bts_like_lengths(count: int, generator: torch.Generator) -> torch.Tensor:
    """(count,) numbers of detections, 3 to 257, median 26: log-normal, as in the Bright Transient Survey."""
    drawn = torch.exp(math.log(26) + 0.72 * torch.randn(count, generator=generator))
    return drawn.round().clamp(3, MAX_LEN).long()
