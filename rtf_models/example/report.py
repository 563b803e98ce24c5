"""Tables and pictures of the worked example."""

from __future__ import annotations

import shlex
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from rtf_models.evaluation.figure import PALETTE, light_curves, save_figure
from rtf_models.evaluation.markdown import number, percent, scores, table
from rtf_models.evaluation.physical import physical_metrics
from rtf_models.train.data import TrainingData

from .recipes import TITLES

COMPARED = ("ae", "vae", "vqvae")


def reconstruction_table(judged: dict[str, dict]) -> str:
    """Fingerprint bytes and what comes back, in magnitudes and days, of the test split."""
    rows = []
    for name, result in judged.items():
        row, physical = result["row"], result["row"]["physical"]
        rows.append([
            TITLES[name], row["bytes"], number(physical["median_abs_dmag"]), number(physical["mean_abs_dmag"]),
            number(physical["p90_abs_dmag"]), number(physical["mean_abs_days"], 2), percent(physical["band_accuracy"]),
            f"{result['training']['best_epoch']} of {result['training']['epochs']}",
            f"{result['training']['seconds'] / 60:.0f} min",
        ])  # fmt: skip
    first = next(iter(judged.values()))["row"]["physical"]
    baseline = [
        "median magnitude of each band, no network",
        "-",
        "-",
        number(first["baseline_abs_dmag"]),
        *["-"] * 5,
    ]
    return table(
        ["model", "bytes", "median abs(dmag)", "mean", "90th percentile", "mean abs(days)", "band accuracy",
         "best epoch", "training"], [*rows, baseline],
    )  # fmt: skip


def probe_table(judged: dict[str, dict], chance: dict, features: list[dict] | None) -> str:
    """Coarse classes by logistic regression on whole test curves, 95 % bootstrap intervals."""
    rows = []
    for name, result in judged.items():
        plain, balanced = result["row"]["probe"]["coarse"], result["probe_balanced"]["coarse"]
        interval = balanced.get("intervals", {}).get("balanced_accuracy")
        rows.append([TITLES[name], *scores(plain), percent(balanced["balanced_accuracy"], interval)])
        if (head := result["early"][-1]["head"]) is not None:
            rows.append([f"{TITLES[name]}: the head itself", *scores(head), "-"])
    if features:
        plain, balanced = features[-1]["plain"]["coarse"], features[-1]["balanced"]["coarse"]
        rows.append(
            ["114 light-curve features, no network", *scores(plain), percent(balanced["balanced_accuracy"])]
        )
    rows.append(
        [
            f"always {chance['class']}",
            percent(chance["accuracy"]),
            percent(chance["balanced_accuracy"]),
            "0.500",
            "-",
        ]
    )
    return table(
        ["fingerprint", "accuracy", "balanced accuracy", "AUC", "balanced accuracy, weighted probe"], rows
    )


def early_table(judged: dict[str, dict], features: list[dict] | None) -> str:
    """Against the number of detections: accuracy / balanced accuracy of the weighted probe / AUC."""
    names = list(judged)
    header = [
        "first detections",
        *(TITLES[n] for n in names),
        *(["features, no network"] if features else []),
    ]
    rows = []
    for k, one in enumerate(judged[names[0]]["early"]):
        cells = [
            _cell(judged[n]["early"][k]["coarse"], judged[n]["early_balanced"][k]["coarse"]) for n in names
        ]
        if features:
            cells.append(_cell(features[k]["plain"]["coarse"], features[k]["balanced"]["coarse"]))
        rows.append([f"{one['detections']} ({one['at_least']['n_test']} have so many)", *cells])
    return table(header, rows)


def _cell(plain: dict, balanced: dict) -> str:
    return (
        f"{100 * plain['accuracy']:.1f} / {100 * balanced['balanced_accuracy']:.1f} / {plain['roc_auc']:.3f}"
    )


def early_figure(judged: dict[str, dict], features: list[dict] | None, chance: dict) -> Figure:
    """Accuracy, balanced accuracy (weighted probe) and AUC against the number of detections, a line a run."""
    figure = Figure(figsize=(13, 4.2), layout="constrained")
    axes = figure.subplots(1, 3)
    rows = {TITLES[n]: [(a["coarse"], b["coarse"]) for a, b in zip(j["early"], j["early_balanced"], strict=True)]
            for n, j in judged.items()}  # fmt: skip
    if features:
        rows["114 features, no network"] = [(r["plain"]["coarse"], r["balanced"]["coarse"]) for r in features]
    labels = [str(r["detections"]) for r in next(iter(judged.values()))["early"]]
    for ax, (which, score) in zip(
        axes, ((0, "accuracy"), (1, "balanced_accuracy"), (0, "roc_auc")), strict=True
    ):
        for k, (name, pairs) in enumerate(rows.items()):
            ax.plot(np.arange(len(pairs)), [pair[which][score] for pair in pairs], "o-", ms=4, lw=1.2,
                    color=PALETTE[k], label=name)  # fmt: skip
        if score in chance:
            ax.axhline(chance[score], color="0.6", ls=":", label=f"always {chance['class']}")
        ax.set_xticks(np.arange(len(labels)), labels)
        ax.set(
            xlabel="detections seen",
            title=score.replace("_", " ").replace("roc auc", "AUC, one class against the rest"),
        )
        ax.grid(alpha=0.3)
    axes[0].legend(fontsize=8)
    return figure


def curves_figure(checkpoint, data: TrainingData) -> Figure:
    """A true and a decoded light curve of each coarse class of the test split."""
    long = [s for s in data.test if 15 <= len(s) <= 60]
    kept = physical_metrics(checkpoint, long or data.test, scheme=data.scheme, keep=1)["curves"]
    return light_curves([c for c in kept if c["class"]])


def write_report(out: Path, judged: dict, chance: dict, features: list | None, about: dict) -> Path:
    """README.md of the example's folder; its path."""
    from venom_hw.atomic import write_atomically

    compared = {n: judged[n] for n in COMPARED if n in judged} or judged
    description = about["data"]
    split = "the latest are the test" if about["temporal"] else "split at random, each class alike"
    classes = ", ".join(f"{name} {n}" for name, n in description["classes"].items())
    lines = [
        "# Fingerprints of real light curves\n",
        f"{description['train']} training, {description['val']} validation and {description['test']} test curves "
        f"of the Bright Transient Survey (training: {classes}); first {about['horizon']:g} days; {split}, "
        f"seed {about['seed']}. "
        "The best epoch is chosen on the validation curves; all numbers are of the test curves.\n",
        "Made by:\n\n```\n" + "\n".join(shlex.join(c) for c in about["commands"]) + "\n```\n",
        "## Reconstruction from the fingerprint\n",
        reconstruction_table(judged),
        "Median: over curves of each curve's median; mean and 90th percentile: mean over curves. Days: of each "
        "detection's time since the first. " + _codes(judged) + "\n",
        "## What a linear probe reads from whole curves\n",
        probe_table(judged, chance, features),
        "95 % bootstrap intervals within classes. The weighted probe counts each class alike.\n",
        "## Against the number of detections\n",
        early_table(judged, features),
        "Accuracy (%) / balanced accuracy of the weighted probe (%) / AUC; training and test curves cut alike, shorter "
        "ones whole.\n",
        f"AE, VAE, VQ-VAE: {', '.join(compared)} differ in the bottleneck alone. ![early](early.png)\n",
    ]
    return write_atomically(out / "README.md", "\n".join(lines))


def _codes(judged: dict[str, dict]) -> str:
    """How much of its codebooks a VQ-VAE uses."""
    if "vqvae" not in judged:
        return ""
    used = judged["vqvae"]["training"]["test_metrics"]["codes_used"]
    return f"The test curves use {used:.0f} codes of each of the VQ-VAE's codebooks."


def write_figures(
    out: Path, judged: dict, features: list | None, chance: dict, checkpoints: dict, data
) -> list[Path]:
    """early.png and curves_<run>.png; their paths."""
    paths = [save_figure(early_figure(judged, features, chance), out / "early.png")]
    for name, checkpoint in checkpoints.items():
        paths.append(save_figure(curves_figure(checkpoint, data), out / f"curves_{name}.png", dpi=110))
    return paths
