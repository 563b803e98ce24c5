"""The runs of the worked example: one recipe for all, so that only what is compared differs."""

from __future__ import annotations

from rtf_models.train.config import TrainConfig

# For some thousand curves on a CPU: many small steps at a high rate, little dropout, none of the attention (which
# has no fast path), random first detections as the augmentation.
COMMON = {
    "latent_dim": 64,
    "epochs": 60,
    "batch_size": 32,
    "lr": 1e-3,
    "warmup": 3.0,
    "dropout": 0.1,
    "attention_dropout": 0.0,
    "random_truncate": True,
    "threads": 1,
}
QUICK = {
    "latent_dim": 16,
    "epochs": 3,
    "warmup": 1.0,
    "d_model": 32,
    "heads": 4,
    "d_ff": 64,
    "encoder_layers": 2,
    "decoder_layers": 1,
}
RECIPES: dict[str, dict] = {
    "ae": {"mode": "ae"},
    "vae": {"mode": "vae", "kl": "mean", "beta": 0.1},
    "vqvae": {"mode": "vqvae", "num_codes": 256, "n_codebooks": 8},
    "ae-classes": {"mode": "ae", "cls_weight": 0.5, "class_weights": "sqrt"},
    "ae-features": {"mode": "ae", "use_gp": True},
    "ae-both": {"mode": "ae", "use_gp": True, "cls_weight": 0.5, "class_weights": "sqrt"},
}
TITLES = {
    "ae": "AE",
    "vae": "VAE",
    "vqvae": "VQ-VAE, 8 codebooks of 256",
    "ae-classes": "AE with a class head",
    "ae-features": "AE with light-curve features",
    "ae-both": "AE with both",
}


def recipe(
    name: str, data_dir: str, *, seed: int = 0, quick: bool = False, epochs: int | None = None
) -> TrainConfig:
    """The settings of a run. `epochs`: another number of them. Raises TrainError."""
    settings = COMMON | (QUICK if quick else {}) | RECIPES[name] | {"seed": seed}
    if epochs is not None:
        settings |= {"epochs": epochs, "warmup": min(settings["warmup"], max(0.0, epochs - 1))}
    return TrainConfig(data_dir=data_dir, **settings)


def train_command(config: TrainConfig, output_dir: str) -> list[str]:
    """The same run as flags of `python -m rtf_models train`."""
    default = TrainConfig(data_dir=".").to_dict()
    flags = [
        "python",
        "-m",
        "rtf_models",
        "train",
        "--data-dir",
        str(config.data_dir),
        "--output-dir",
        output_dir,
    ]
    for name, value in config.to_dict().items():
        if name == "data_dir" or (value == default[name] and name not in ("mode", "latent_dim", "seed")):
            continue
        option = "--latent-dims" if name == "latent_dim" else "--" + name.replace("_", "-")
        if isinstance(value, bool):
            flags.append(option if value else option.replace("--", "--no-", 1))
        else:
            flags += [option, f"{value:g}" if isinstance(value, float) else str(value)]
    return flags
