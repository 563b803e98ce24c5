"""Settings of a training run: one flat dataclass, read from TOML, overridden by the command line, saved beside
the results.
"""

from __future__ import annotations

import dataclasses
import json
import os
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

from venom_hw.backend import DEVICES

from .errors import TrainError

LEGAL = {
    "preset": ("ptsi", "inhf"),
    "loss": ("gaussian_nll", "mse"),
    "generator": ("pca", "template"),
}
QUICK_SYNTHETIC = 20000  # fresh pulses an epoch of a run on synthetic pulses only that names no number


def _setting(default, text: str, least: float | None = None):
    """A field with its help text and its smallest legal value."""
    kind = {"default_factory": list} if default == [] else {"default": default}
    return field(**kind, metadata={"help": text, "least": least})


@dataclass(frozen=True)
class TrainConfig:
    """Everything that decides a run; `help` of each field is in its metadata. Raises TrainError on a value out
    of range.
    """

    preset: str = _setting("ptsi", "simulated detector: ptsi or inhf (used when data is empty)")
    data: str = _setting("", "folder of pulses, npz a wavelength; empty: simulate the preset")
    extra: list[str] = _setting([], "further folders, used for training only")
    pulses: int = _setting(20000, "simulated pulses a laser line", 10)
    between: int = _setting(200, "simulated energies over and beyond the lines' range: nearly a continuum", 0)
    between_pulses: int = _setting(500, "simulated pulses of each of those", 10)
    line_pulses: int = _setting(500, "pulses of a simulated line trained on (0: all); many make it snap to lines", 0)
    simulation_seed: int = _setting(2, "seed of the simulation (the shipped evaluation data have seed 1)", 0)
    downsample: int = _setting(4, "raw samples a model sample", 1)
    n_tau: float = _setting(5.0, "window after the trigger in decay times", 0.1)
    n_pre: int = _setting(10, "samples before the trigger", 0)
    peak_sigma: float = _setting(2.0, "clip on pulse heights of a line, in robust sigma; 0: none", 0.0)
    full: bool = _setting(False, "whole traces instead of windows about the trigger")
    validation: float = _setting(0.15, "share of each line's pulses held out", 0.001)
    split_seed: int = _setting(0, "seed of that choice", 0)
    epochs: int = _setting(14, "passes", 1)
    pulses_per_epoch: int = _setting(0, "pulses drawn each epoch; 0: all", 0)
    batch: int = _setting(256, "pulses a step", 1)
    micro_batch: int = _setting(0, "pulses in memory at once, gradients added up over a step; 0: the whole batch", 0)
    checkpoint_activations: bool = _setting(False, "compute the blocks again in the backward pass: less memory")
    lr: float = _setting(6e-3, "largest learning rate", 0.0)
    warmup: float = _setting(2.0, "epochs of linear warm-up; then a cosine to zero", 0.0)
    weight_decay: float = _setting(1e-4, "of AdamW", 0.0)
    clip: float = _setting(1.0, "largest gradient norm; 0: unlimited", 0.0)
    ema: float = _setting(
        0.995, "decay a step of the averaged weights that are saved; 0: the last weights", 0.0
    )
    loss: str = _setting("gaussian_nll", "gaussian_nll or mse")
    n_synthetic: int = _setting(0, "fresh synthetic pulses each epoch, at energies spread evenly over the range", 0)
    synthetic: bool = _setting(False, "train on synthetic pulses only (20000 an epoch unless n_synthetic says)")
    generator: str = _setting("pca", "of the synthetic pulses, fitted to the training pulses: pca or template")
    n_components: int = _setting(50, "principal components of the PCA generator", 1)
    synthetic_margin: float = _setting(1.05, "synthetic energies go beyond the lines by this factor, 1.05 at most", 1.0)
    jitter: list[str] = _setting([], "label noise a line in eV: 0.01, or 808nm=0.01 for each, or auto")
    seed: int = _setting(0, "seed of the starting weights and the order of pulses", 0)
    device: str = _setting("auto", "auto, cpu, cuda or mps; part of the bits of a result")
    threads: int = _setting(1, "threads of PyTorch; part of the bits of a result", 1)
    d_model: int = _setting(16, "width of the network", 1)
    d_state: int = _setting(8, "states a channel", 1)
    n_layers: int = _setting(1, "Mamba blocks", 1)
    d_conv: int = _setting(4, "taps of the convolution", 1)
    expand: int = _setting(1, "inner width over d_model", 1)
    d_head_hidden: int = _setting(32, "width of the head's hidden layers", 1)
    report_every: int = _setting(0, "epochs between PDF reports while it trains; 0: one at the end", 0)
    plot_features: bool = _setting(False, "PDF reports show every feature channel of the backbone")

    def __post_init__(self):
        for f in dataclasses.fields(self):
            value, default = getattr(self, f.name), _default(f)
            if isinstance(default, float) and isinstance(value, int) and not isinstance(value, bool):
                object.__setattr__(self, f.name, value := float(value))
            if type(value) is not type(default):
                raise TrainError(f"setting '{f.name}' = {value!r}: expected {type(default).__name__}")
            least = f.metadata["least"]
            if least is not None and not value >= least:
                raise TrainError(f"setting '{f.name}' = {value!r}: expected {least:g} or more")
        for name, legal in LEGAL.items():
            if getattr(self, name) not in legal:
                raise TrainError(
                    f"setting '{name}' = {getattr(self, name)!r}: expected one of {', '.join(legal)}"
                )
        if self.device.partition(":")[0] not in DEVICES:
            raise TrainError(f"setting 'device' = {self.device!r}: expected one of {', '.join(DEVICES)}")
        if not self.ema < 1:
            raise TrainError(f"setting 'ema' = {self.ema:g}: expected less than 1")
        if not self.validation <= 0.9:
            raise TrainError(f"setting 'validation' = {self.validation:g}: expected 0.9 or less")

    @property
    def fresh_pulses(self) -> int:
        """Synthetic pulses of an epoch."""
        return self.n_synthetic or (QUICK_SYNTHETIC if self.synthetic else 0)

    @property
    def sizes(self) -> dict[str, int]:
        """Constructor arguments of MKIDEnergySSM."""
        return {
            n: getattr(self, n)
            for n in ("d_model", "d_state", "n_layers", "d_conv", "expand", "d_head_hidden")
        }

    def to_toml(self) -> str:
        """Readable TOML with each setting's meaning."""
        lines = ["# Effective settings of a training run (python -m venom_hw.train --config this_file)"]
        for f in dataclasses.fields(self):
            lines.append(f"{f.name} = {json.dumps(getattr(self, f.name))}  # {f.metadata['help']}")
        return "\n".join(lines) + "\n"


def _default(f: dataclasses.Field):
    return f.default if f.default is not dataclasses.MISSING else f.default_factory()


def read_config(path: str | os.PathLike | None = None, **overrides) -> TrainConfig:
    """Defaults, then the TOML file, then `overrides` (those not None). Raises TrainError naming file and key."""
    values = {}
    if path is not None:
        try:
            values = tomllib.loads(Path(path).read_text(encoding="utf-8"))
        except (OSError, tomllib.TOMLDecodeError) as error:
            raise TrainError(f"{path}: {error}; expected a TOML file of settings") from error
        known = [f.name for f in dataclasses.fields(TrainConfig)]
        if unknown := [k for k in values if k not in known]:
            raise TrainError(f"{path}: unknown setting '{unknown[0]}'; there are: {', '.join(known)}")
    values.update({k: v for k, v in overrides.items() if v is not None})
    try:
        return TrainConfig(**values)
    except TrainError as error:
        raise TrainError(f"{path}: {error}" if path is not None else str(error)) from None
