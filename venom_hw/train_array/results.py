"""One row a pixel: how it fared and how well it resolves, as CSV, JSON and text."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import torch

from venom_hw.atomic import write_atomically
from venom_hw.detector.energy_calibration import EnergyCalibration
from venom_hw.detector.filter_baseline import fit_filter_baseline
from venom_hw.detector.resolving_power_table import resolving_power_table
from venom_hw.train.data import TrainingData

from .trainer import ArrayTrainer

VENOM, FILTER = "VENOM", "filter"
CALIBRATION_PULSES = 2000  # of each line
METRIC = "scott"  # the fixed-width kernel: thousands of pixels have to be estimated
FEW_ENERGIES = 20  # fewer than these to train on, and a network may learn to tell them apart
SUSPICIOUS = 2.0  # ratio of R to R by rms above which the row warns
COLUMNS = (
    "pixel",
    "status",
    "R",
    "R_low",
    "R_high",
    "R_gaussian",
    "R_filter",
    "worst_bias_meV",
    "attempts",
    "lr",
    "epochs",
    "train_loss",
    "training_pulses",
    "training_energies",
    "synthetic_pulses",
    "held_out_pulses",
    "seed",
    "seconds",
    "engine",
    "group",
    "reason",
    "warning",
)


def evaluate_pixel(trainer: ArrayTrainer, k: int, data: TrainingData, n_boot: int) -> dict:
    """R (kernel density of a fixed width, and Gaussian), its interval, bias of each line, the shared-template optimal
    filter beside it; held-out pulses, both calibrated to energy on training pulses.
    """
    lines, scale = data.lines, data.normalisation
    ids = lines.wl_ids[data.train_idx]
    some = np.concatenate([data.train_idx[ids == line][:CALIBRATION_PULSES] for line in np.unique(ids)])

    def energies(index) -> np.ndarray:
        mu, _ = trainer.predict(
            k, torch.from_numpy(lines.counts[index]), torch.from_numpy(lines.lengths[index]).long()
        )
        return scale["energy_offset"] + scale["energy_scale"] * mu.double().numpy()

    held = lines.select(data.val_idx)
    out: dict = {}
    try:
        calibration = EnergyCalibration.fit(energies(some), lines.energies[some])
        estimates = {VENOM: calibration(energies(data.val_idx))}
    except ValueError as error:  # a network that has learnt nothing does not rise with energy
        return {"reason": f"energy calibration: {error}"}
    try:
        estimates[FILTER] = fit_filter_baseline(lines, data.train_idx).predict(held.counts)
    except ValueError as error:
        out["filter_reason"] = str(error)
    tables = {
        m: resolving_power_table(
            estimates,
            held.energies,
            held.wl_ids,
            held.wl_labels,
            metric=m,
            n_boot=n_boot if m == METRIC else 2,
        )
        for m in (METRIC, "gaussian")
    }
    table = tables[METRIC]
    mean = table.mean(VENOM)
    out |= {
        "R": mean.value,
        "R_low": mean.low,
        "R_high": mean.high,
        "R_gaussian": tables["gaussian"].mean(VENOM).value,
        "worst_bias_meV": 1e3 * float(np.abs(table.bias[VENOM]).max()),
        "lines": {
            label: {"R": float(r), "bias_meV": 1e3 * float(b)}
            for label, r, b in zip(table.labels, table.value[VENOM], table.bias[VENOM], strict=True)
        },
    }
    if FILTER in estimates:
        out["R_filter"] = table.mean(FILTER).value
    out = _finite(out)
    if out["R"] is None:
        out["reason"] = "R: a line with fewer than 10 held-out pulses, or without spread"
    elif out["R"] > SUSPICIOUS * out["R_gaussian"]:
        out["reason"] = (
            "R is much larger than R by rms: biased or collapsed onto few energies; train longer or on more"
        )
    return out


def few_energies(row: dict) -> str:
    """A warning where a pixel was trained on few energies alone, else ""."""
    if row["synthetic_pulses"] or row["training_energies"] >= FEW_ENERGIES:
        return ""
    return (
        f"trained on {row['training_energies']} energies: the network may tell lines apart instead of measuring "
        "energy, and R is then no resolving power"
    )


def notes(rows: list[dict]) -> list[str]:
    """What the reader of the table has to know: pixels of few energies, a slow engine, failures."""
    out = []
    few = [row for row in rows if row.get("warning")]
    if few:
        out.append(
            f"WARNING: {len(few)} of {len(rows)} pixels were trained on few energies "
            f"({min(r['training_energies'] for r in few)} to {max(r['training_energies'] for r in few)}): a network "
            "may learn to tell the lines apart instead of measuring energy, and its R at the lines is then no "
            "resolving power. --n-synthetic 20000 adds fresh pulses at energies between the lines; column 'warning'"
        )
    if slow := sum(row.get("engine") == "torch on cpu" for row in rows):
        out.append(
            f"NOTE: {slow} of {len(rows)} pixels were trained by the torch engine on the CPU, which is slower than "
            "venom_hw.train one by one; a C++ compiler where the training runs gives the fast one (--engine kernel)"
        )
    if failed := sum(row["status"] == "failed" for row in rows):
        out.append(f"{failed} pixels failed; the same command tries them again and keeps the others")
    return out


def _finite(value):
    """None for numbers that are not finite, which JSON does not know."""
    if isinstance(value, dict):
        return {name: _finite(v) for name, v in value.items()}
    return None if isinstance(value, float) and not np.isfinite(value) else value


def write_table(folder: Path, rows: list[dict]) -> None:
    """results.csv (a line a pixel), results.json (with R and bias of every line)."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, extrasaction="ignore", restval="")
    writer.writeheader()
    writer.writerows(rows)
    write_atomically(folder / "results.csv", text.getvalue())
    write_atomically(folder / "results.json", json.dumps(rows, indent=1))


def text_table(rows: list[dict], most: int = 20) -> str:
    """The first pixels, every pixel that failed, and a summary."""

    def number(row: dict, name: str) -> str:
        return f"{row[name]:.2f}" if row.get(name) is not None else "-"

    shown = rows[:most] + [row for row in rows[most:] if row["status"] != "ok"]
    lines = [
        f"{'pixel':<14}{'status':<9}{'R [95 %]':>22}{'R rms':>8}{'R filter':>10}{'bias meV':>10}{'seconds':>9}"
    ]
    for row in shown:
        interval = f"{number(row, 'R')} [{number(row, 'R_low')}, {number(row, 'R_high')}]"
        lines.append(
            f"{row['pixel']:<14}{row['status']:<9}{interval:>22}{number(row, 'R_gaussian'):>8}"
            f"{number(row, 'R_filter'):>10}{number(row, 'worst_bias_meV'):>10}{row.get('seconds', 0):>9.1f}"
            + (f"  {row['reason']}" if row.get("reason") else "")
        )
    if len(rows) > len(shown):
        lines.append(f"... {len(rows) - len(shown)} more in results.csv")
    counts = {s: sum(r["status"] == s for r in rows) for s in ("ok", "retried", "failed")}
    good = [row["R"] for row in rows if row.get("R") is not None]
    quartiles = (
        ""
        if not good
        else "; R: "
        + ", ".join(
            f"{n} {v:.2f}"
            for n, v in zip(("lowest", "median", "highest"), np.percentile(good, (0, 50, 100)), strict=True)
        )
    )
    lines.append(
        f"{len(rows)} pixels: {counts['ok']} ok, {counts['retried']} ok after a retry, {counts['failed']} "
        f"failed{quartiles}"
    )
    return "\n".join(lines)
