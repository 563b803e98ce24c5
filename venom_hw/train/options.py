"""Options of the command line that stand for settings, in groups; those of the original keep their names."""

from __future__ import annotations

import argparse
import dataclasses

from .config import LEGAL, TrainConfig
from .errors import TrainError

# group -> {option: setting}
GROUPS: dict[str, dict[str, str]] = {
    "pulses": {
        "--data": "data",
        "--downsample": "downsample",
        "--n-tau": "n_tau",
        "--peak-sigma": "peak_sigma",
        "--full": "full",
    },
    "training": {
        "--epochs": "epochs",
        "--batch": "batch",
        "--micro-batch": "micro_batch",
        "--checkpoint-activations": "checkpoint_activations",
        "--lr": "lr",
        "--loss": "loss",
        "--jitter": "jitter",
        "--seed": "seed",
        "--device": "device",
    },
    "synthetic pulses": {
        "--n-synthetic": "n_synthetic",
        "--synthetic": "synthetic",
        "--generator": "generator",
        "--n-components": "n_components",
    },
    "network": {
        "--n-layers": "n_layers",
        "--d-model": "d_model",
        "--d-state": "d_state",
        "--d-conv": "d_conv",
        "--expand": "expand",
        "--d-head-hidden": "d_head_hidden",
    },
    "reports": {
        "--report-every": "report_every",
        "--plot-features": "plot_features",
    },
}
ALIASES = {"--batch": ("--batch-size",)}
METAVAR = {"data": "FOLDER", "jitter": "EV", "device": "NAME"}


def defaults() -> dict:
    """Every setting's default by name."""
    return dataclasses.asdict(TrainConfig())


def add_setting_options(parser: argparse.ArgumentParser) -> None:
    """An option for each setting of GROUPS, None where it is not given, and --preset with --ptsi and --inhf."""
    known = {f.name: f.metadata["help"] for f in dataclasses.fields(TrainConfig)}
    default = defaults()
    detector = parser.add_argument_group("detector to simulate, without --data").add_mutually_exclusive_group()
    detector.add_argument("--preset", choices=LEGAL["preset"], help="ptsi (default) or inhf")
    for name in LEGAL["preset"]:
        detector.add_argument(f"--{name}", dest="preset", action="store_const", const=name, help=f"--preset {name}")
    for title, options in GROUPS.items():
        group = parser.add_argument_group(title)
        for option, setting in options.items():
            value, kind = default[setting], type(default[setting])
            shown = f"{known[setting]} (default {value if value != '' else 'none'})".replace("%", "%%")
            names = (option, *ALIASES.get(option, ()))
            if kind is bool:
                group.add_argument(*names, dest=setting, action="store_const", const=True, help=known[setting])
            elif kind is list:
                text = known[setting] + "; the option alone: auto"
                group.add_argument(*names, dest=setting, nargs="*", metavar=METAVAR.get(setting), help=text)
            elif setting in LEGAL:
                group.add_argument(*names, dest=setting, choices=LEGAL[setting], help=shown)
            else:
                metavar = METAVAR.get(setting, "N" if kind is int else "X")
                group.add_argument(*names, dest=setting, type=kind, metavar=metavar, help=shown)


def given_settings(args: argparse.Namespace) -> dict:
    """The settings that options were given for."""
    names = ["preset", *(setting for options in GROUPS.values() for setting in options.values())]
    given = {name: getattr(args, name) for name in names if getattr(args, name) is not None}
    if given.get("jitter") == []:
        given["jitter"] = ["auto"]
    return given


def parse_settings(pairs: list[str]) -> dict:
    """["d_state=4", "extra=a,b", "full=true"] -> typed values. Raises TrainError naming the setting."""
    known, out = defaults(), {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or name not in known:
            raise TrainError(f"--set {pair}: expected NAME=VALUE with a NAME of: {', '.join(known)}")
        kind = type(known[name])
        try:
            if kind is list:
                out[name] = [t for t in text.split(",") if t]
            elif kind is bool:
                out[name] = {"true": True, "1": True, "false": False, "0": False}[text.lower()]
            else:
                out[name] = kind(text)
        except (ValueError, KeyError):
            expected = "true or false" if kind is bool else f"a value of type {kind.__name__}"
            raise TrainError(f"--set {pair}: expected {expected}") from None
    return out
