"""Everything that decides a training run, checked for combinations that make no sense."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from .errors import TrainError

MODES = ("vae", "ae", "vqvae")
BACKBONES = ("simple", "zoobot")
FEATURES = ("causal", "file")
SCALINGS = ("global", "per-sample")
CLASS_WEIGHTS = ("none", "balanced", "sqrt")
AMP = ("auto", "none", "bf16", "fp16")
KL = ("sum", "mean")
NAME_ENDS = {  # of a run's folder, where a setting is not the default
    "metadata_scaling": "_persample",
    "features": "_file",
    "d_model": "_d{}",
    "heads": "_h{}",
    "encoder_layers": "_el{}",
    "decoder_layers": "_dl{}",
    "d_ff": "_ff{}",
    "num_codes": "_k{}",
    "n_codebooks": "_x{}",
}


@dataclass(frozen=True)
class TrainConfig:
    """One run. Names and defaults are those of the flags (the original's, and ours for what it did not have).

    Raises TrainError for a value out of range and for settings that another one makes meaningless.
    """

    data_dir: str | None = None  # folder of train/val/test (compact npz or photo_events)
    alert_dir: str | None = None  # raw alerts, with splits and labels_dir
    splits: str | None = None
    labels_dir: str | None = None
    synthetic_dir: str | None = None  # its train/ is added to the training split
    mode: str = "vae"
    latent_dim: int = 64
    epochs: int = 200
    batch_size: int = 128
    lr: float = 1e-4
    warmup: float = 0.0  # epochs
    weight_decay: float = 1e-2
    clip: float = 1.0
    beta: float = 1.0
    kl: str = "sum"
    free_bits: float = 0.25
    d_model: int = 128
    heads: int = 8
    encoder_layers: int = 4
    decoder_layers: int = 2
    d_ff: int = 512
    dropout: float = 0.3
    attention_dropout: float | None = None  # None: as dropout; 0 is much faster on a CPU
    horizon: float = 100.0
    num_codes: int = 512
    commitment_cost: float = 0.25
    n_codebooks: int = 1
    use_metadata: bool = False
    metadata_scaling: str = "global"
    use_images: bool = False
    image_backbone: str = "simple"
    backbone_weights: str | None = None
    finetune_backbone: bool = False
    use_gp: bool = False
    features: str = "causal"
    max_detections: int | None = None
    random_truncate: bool = False
    min_detections: int = 3
    cls_weight: float = 0.0
    num_classes: int | None = None  # None: the coarse classes of the data's scheme
    class_weights: str = "none"
    early_stopping: int = 0  # epochs without a better criterion; 0: never
    seed: int = 0
    device: str = "auto"
    amp: str = "auto"
    threads: int = 0  # of PyTorch; 0: as it is
    num_workers: int = 0
    buckets: bool = True

    def __post_init__(self):
        self._check_values()
        self._check_combinations()

    def _check_values(self) -> None:
        for name, legal in (
            ("mode", MODES),
            ("image_backbone", BACKBONES),
            ("features", FEATURES),
            ("metadata_scaling", SCALINGS),
            ("class_weights", CLASS_WEIGHTS),
            ("amp", AMP),
            ("kl", KL),
        ):
            if getattr(self, name) not in legal:
                raise TrainError(f"{flag(name)} {getattr(self, name)!r}: expected one of {', '.join(legal)}")
        for name in ("latent_dim", "epochs", "batch_size", "d_model", "heads", "encoder_layers", "decoder_layers",
                     "d_ff", "num_codes", "n_codebooks", "min_detections"):  # fmt: skip
            if getattr(self, name) < 1:
                raise TrainError(f"{flag(name)} {getattr(self, name)}: expected 1 or more")
        for name in ("lr", "horizon"):
            if not getattr(self, name) > 0:
                raise TrainError(f"{flag(name)} {getattr(self, name):g}: expected more than 0")
        for name in ("warmup", "weight_decay", "clip", "beta", "free_bits", "commitment_cost", "cls_weight", "seed",
                     "early_stopping", "num_workers", "threads"):  # fmt: skip
            if not getattr(self, name) >= 0:
                raise TrainError(f"{flag(name)} {getattr(self, name):g}: expected 0 or more")
        if not 0 <= self.dropout < 1:
            raise TrainError(f"--dropout {self.dropout:g}: expected 0 or more, less than 1")
        if self.attention_dropout is not None and not 0 <= self.attention_dropout < 1:
            raise TrainError(
                f"--attention-dropout {self.attention_dropout:g}: expected 0 or more, less than 1"
            )
        if self.max_detections is not None and self.max_detections < 1:
            raise TrainError(f"--max-detections {self.max_detections}: expected 1 or more")
        if self.d_model % self.heads:
            raise TrainError(f"--d-model {self.d_model}: expected a multiple of --heads {self.heads}")
        if self.warmup >= self.epochs:
            raise TrainError(
                f"--warmup {self.warmup:g}: expected fewer than the {self.epochs} epochs of the run"
            )

    def _check_combinations(self) -> None:
        """The original ignored these silently, and named some of them in the run's folder."""
        if (self.data_dir is None) == (self.alert_dir is None):
            raise TrainError("expected one of --data-dir (preprocessed files) and --alert-dir (raw alerts)")
        if self.alert_dir and not (self.splits and self.labels_dir):
            raise TrainError("--alert-dir: expected --splits and --labels-dir beside it")
        if not self.alert_dir and (self.splits or self.labels_dir):
            raise TrainError("--splits and --labels-dir belong to --alert-dir: expected it beside them")
        images, vae, vq = self.use_images, self.mode == "vae", self.mode == "vqvae"
        zoobot, classes = images and self.image_backbone == "zoobot", self.cls_weight > 0
        for name, changed, sensible, needed in (
            ("image_backbone", self.image_backbone != "simple", images, "--use-images"),
            ("backbone_weights", self.backbone_weights, zoobot, "--use-images --image-backbone zoobot"),
            ("finetune_backbone", self.finetune_backbone, zoobot, "--use-images --image-backbone zoobot"),
            ("features", self.features != "causal", self.use_gp, "--use-gp"),
            ("metadata_scaling", self.metadata_scaling != "global", self.use_metadata, "--use-metadata"),
            ("beta", self.beta != 1.0, vae, "--mode vae"),
            ("kl", self.kl != "sum", vae, "--mode vae"),
            ("free_bits", self.free_bits != 0.25, vae, "--mode vae"),
            ("num_codes", self.num_codes != 512, vq, "--mode vqvae"),
            ("n_codebooks", self.n_codebooks != 1, vq, "--mode vqvae"),
            ("commitment_cost", self.commitment_cost != 0.25, vq, "--mode vqvae"),
            ("num_classes", self.num_classes is not None, classes, "--cls-weight above 0"),
            ("class_weights", self.class_weights != "none", classes, "--cls-weight above 0"),
            ("min_detections", self.min_detections != 3, self.random_truncate, "--random-truncate"),
        ):
            if changed and not sensible:
                raise TrainError(f"{flag(name)} does nothing without {needed}: expected both or none")
        if self.features == "file" and self.use_gp and (self.random_truncate or self.max_detections):
            raise TrainError(
                "--features file takes vectors that were fitted to whole curves: with truncated ones they tell the "
                "future; expected --features causal"
            )

    @property
    def run_name(self) -> str:
        """The run's folder: the original's name, and at its end what else makes another network (NAME_ENDS).

        Runs that differ in other settings alone (rates, epochs, seed, ...) have one name: --resume refuses the other's
        folder by the first setting that differs, and a lock keeps two processes apart.
        """
        name = f"{self.mode}_dim{self.latent_dim}"
        name += "_meta" * self.use_metadata
        backbone = "_ft" if self.finetune_backbone else "_zoobot" * (self.image_backbone == "zoobot")
        name += ("_img" + backbone) * self.use_images
        name += "_gp" * self.use_gp
        if self.random_truncate:
            name += "_randtrunc"
        if self.max_detections:
            name += f"_n{self.max_detections}"
        if self.cls_weight > 0:
            name += f"_cls{self.cls_weight}"
            name += {"none": "", "balanced": "_w", "sqrt": "_wsqrt"}[self.class_weights]
        default = type(self).__dataclass_fields__
        for field, end in NAME_ENDS.items():
            value = getattr(self, field)
            if value != default[field].default:
                name += end.format(value)
        return name

    def to_dict(self) -> dict:
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: dict, origin: Path | str = "settings") -> TrainConfig:
        """Settings read back. Raises TrainError naming a field that this version does not know."""
        known = {f.name for f in dataclasses.fields(cls)}
        if unknown := [k for k in values if k not in known]:
            raise TrainError(
                f"{origin}: unknown setting '{unknown[0]}'; expected one of {', '.join(sorted(known))}"
            )
        return cls(**values)


def flag(name: str) -> str:
    """use_gp -> --use-gp; latent_dim -> --latent-dims."""
    return "--latent-dims" if name == "latent_dim" else "--" + name.replace("_", "-")
