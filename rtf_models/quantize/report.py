"""Report of a quantisation: a text table and one page of plots (the JSON is written by the toolkit's own)."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from venom_hw.atomic import write_atomically

from .evaluate import FLOAT, PTQ, QAT, SCORES

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ROWS = (FLOAT, PTQ, QAT)


def _number(value: float | None) -> str:
    return f"{value:7.4f}" if value is not None else f"{'-':>7s}"


def text_table(report: dict[str, Any]) -> str:
    """What a person wants to see at the end of the command."""
    rows = []
    for case, entry in report["evaluation"].items():
        rows.append(f"{case}: probe (coarse, {report['data']['test']} test light curves) and fidelity of fingerprints")
        rows.append(
            f"{'':>12s} {'accuracy':>9s} {'balanced':>9s} {'AUC':>9s} {'cosine':>9s} {'1 %':>9s} "
            f"{'centred':>9s} {'error %':>9s} {'same 10':>9s}"
        )
        for name in ROWS:
            if name not in entry:
                continue
            probe = (entry[name]["probe"] or {}).get("coarse") or dict.fromkeys(SCORES)
            near = entry[name].get("fidelity")
            row = f"{name:>12s} " + " ".join(f"{_number(probe[s]):>9s}" for s in SCORES)
            if near:
                row += (
                    f" {near['cosine_mean']:9.5f} {near['cosine_1_per_cent']:9.5f} {near['cosine_centred_mean']:9.5f}"
                    f" {100 * near['relative_error']:9.2f} {100 * near.get('neighbours', np.nan):8.1f}%"
                )
            rows.append(row)
    if cut := report["data"].get("cut"):
        rows.append(
            f"{cut['light_curves']} light curves (train and test) were cut to their first {cut['max_len']} detections"
        )
    check = report["verification"]
    rows.append(
        f"file against network: {check['mismatches']} of {check['compared']:,} integers differ "
        f"({', '.join(check['cases'])}); {check['padding_mismatches']} depend on the padding"
    )
    count = report["quantisers"]
    rows.append(f"quantisers: {count['network']} in the network, {count['file']} Quant nodes in the file")
    far = sum(v["saturated"] for name, v in check["saturations"].items() if name.endswith(".q_u"))
    others = {name: v for name, v in check["saturations"].items() if not name.endswith(".q_u")}
    worst = sorted(others.items(), key=lambda kv: -kv[1]["saturated"] / kv[1]["values"])[:4]
    rows.append(
        f"saturated integers: {sum(v['saturated'] for v in others.values()):,}"
        + "".join(f"; {name} {100 * v['saturated'] / v['values']:.2g} %" for name, v in worst)
        + f"; and {far:,} scores so far below the largest that exp gives 0 (by design)"
    )
    size = report["sizes"]
    rows.append(
        f"parameters {size['parameters']:,} in {size['parameter_bytes']:,} bytes (float32: {size['float_bytes']:,}); "
        f"tables {size['table_bytes']:,} bytes; a fingerprint {size['fingerprint_bytes']} bytes "
        f"(float32: {size['float_fingerprint_bytes']})"
    )
    return "\n".join(rows)


def plot(
    path: Path, title: str, report: dict[str, Any], cosines: dict[str, np.ndarray], losses: list[float]
) -> Path:
    """Write :func:`draw` as a PNG below 150 kB; its path."""
    buffer = io.BytesIO()
    draw(title, report, cosines, losses).savefig(buffer, format="png", metadata={"Software": None})
    return write_atomically(path, buffer.getvalue())


def draw(title: str, report: dict[str, Any], cosines: dict[str, np.ndarray], losses: list[float]) -> Figure:
    """Probe accuracy by case, distribution of 1 - cosine, training loss; one legend, below, where nothing is drawn."""
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    figure = Figure(figsize=(11, 3.6), dpi=90, layout="constrained")
    probes, spread, training = figure.subplots(1, 3)
    cases = list(report["evaluation"])
    colours = dict(zip(ROWS, ("tab:grey", "tab:orange", "tab:blue"), strict=True))
    for k, name in enumerate(ROWS):
        values = [
            ((report["evaluation"][c].get(name) or {}).get("probe") or {}).get("coarse", {}).get("accuracy")
            for c in cases
        ]
        if any(v is not None for v in values):
            heights = [100 * v if v is not None else 0 for v in values]
            probes.bar(np.arange(len(cases)) + 0.27 * (k - 1), heights, 0.25, color=colours[name])
    probes.set_xticks(range(len(cases)), cases, fontsize=8)
    probes.set(ylabel="coarse probe accuracy, per cent", title=title)
    for name, values in cosines.items():
        away = np.log10(np.maximum(1 - values, 1e-7))
        spread.hist(away, bins=50, histtype="step", color=colours[name])
    spread.set(xlabel="log10(1 - cosine to the float fingerprint)", ylabel="test light curves", title="fidelity")
    if losses:
        training.semilogy(losses, lw=0.7, color="tab:blue")
    training.set(xlabel="step", ylabel="loss", title="fine-tuning")
    labels = {name: f"{name} (mean cosine {values.mean():.5f})" for name, values in cosines.items()}
    keys = [Patch(color=colours[name], label=labels.get(name, name)) for name in (FLOAT, *cosines)]
    figure.legend(handles=keys, loc="outside lower center", ncols=len(keys), fontsize=8)
    return figure
