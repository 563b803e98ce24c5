"""What the network does over time: attention, feature channels, hidden states."""

from __future__ import annotations

import numpy as np

from venom_hw.detector import PulseSet, Window
from venom_hw.model import VenomCheckpoint
from venom_hw.train.inspection import Inspection

from .style import COLUMN, PAGE, colours, styled_figure


def attention_over_time(seen: Inspection):
    """Attention weight of each sample (mean of each line, band: central 68 % of the pulses) under the mean pulse."""
    with styled_figure(COLUMN, 3.4) as figure:
        pulse, weight = figure.subplots(2, 1, sharex=True, gridspec_kw={"height_ratios": [1, 1.3]})
        for k, shade in enumerate(colours(len(seen.labels))):
            before = seen.pulse[k, : max(1, int((seen.time < 0).sum()) // 2)].mean(axis=0)  # clear of the rise
            height = np.hypot(*(seen.pulse[k] - before).T)
            pulse.plot(seen.time, height, color=shade, label=seen.labels[k])
            weight.plot(seen.time, seen.attention[k], color=shade)
            weight.fill_between(seen.time, *seen.attention_spread[k], color=shade, alpha=0.15, lw=0)
        even = 1 / len(seen.time)
        weight.axhline(even, color="0.6", lw=0.6, ls=":")
        weight.text(seen.time[-1], even, "a plain mean", ha="right", va="bottom", fontsize=6, color="0.4")
        pulse.set_ylabel("|IQ - baseline| [counts]")
        pulse.legend(ncols=2 if len(seen.labels) > 5 else 1)
        weight.set(xlabel="time from the trigger [us]", ylabel="attention weight", ylim=(0, None))
        return figure


def feature_channels(seen: Inspection):
    """Every feature channel of the backbone over time, mean of each line."""
    count = seen.features.shape[2]
    columns = min(4, count)
    rows = -(-count // columns)
    with styled_figure(PAGE, 0.5 + 1.05 * rows) as figure:
        panels = figure.subplots(rows, columns, sharex=True, squeeze=False).ravel()
        for axes in panels[count:]:
            axes.remove()
        for channel, axes in zip(range(count), panels, strict=False):
            for k, shade in enumerate(colours(len(seen.labels))):
                axes.plot(seen.time, seen.features[k, :, channel], color=shade, lw=0.8, label=seen.labels[k])
            axes.set_title(f"feature {channel}", fontsize=6.5, pad=2)
            axes.tick_params(labelsize=5.5)
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=min(len(labels), 10))
        figure.supxlabel("time from the trigger [us]", fontsize=8)
        return figure


def state_history(checkpoint: VenomCheckpoint, counts) -> tuple[np.ndarray, np.ndarray]:
    """Hidden states of the first layer, sample by sample as the gateware computes them.

    counts (N, L, 2) -> mean |h| over the pulses (L, E, N) and memory (E, N): the mean time constant of each state in
    samples, -1 / ln(mean of the decay exp(delta A)).
    """
    import torch

    model = checkpoint.model
    layer = model.backbone.layers[0]
    with torch.no_grad():
        x = checkpoint.standardise(counts)
        state, size, decay = model.initial_state(len(x)), [], torch.zeros_like(layer.log_neg_A)
        for t in range(x.shape[1]):
            decay += _decay(layer, model.backbone.input_proj(x[:, t]), state[0]) / x.shape[1]
            _, state = model.backbone.step(x[:, t], state)
            size.append(state[0].h.abs().mean(dim=0))
    return torch.stack(size).numpy(), (-1 / torch.log(decay.clamp(1e-12, 1 - 1e-9))).numpy()


def _decay(layer, r, state):
    """exp(delta A) of one sample, mean over the pulses: (E, N)."""
    import torch
    import torch.nn.functional as F

    x, _ = layer.in_proj(layer.norm(r)).chunk(2, dim=-1)
    taps = torch.cat([state.conv, x.unsqueeze(1)], dim=1)
    x = F.silu((taps * layer.conv.weight[:, 0].T).sum(1) + layer.conv.bias)
    return torch.exp(F.softplus(layer.dt_proj(x)).unsqueeze(-1) * layer.A).mean(dim=0)


def state_features(checkpoint: VenomCheckpoint, pulses: PulseSet, limit: int = 200):
    """Which states hold the pulse, and for how long: |h| over time, sorted by memory, and the memories themselves."""
    window = Window.from_dict(checkpoint.window)
    size, memory = state_history(checkpoint, pulses.counts[:limit])
    flat, tau = size.reshape(len(size), -1), 1e6 * memory.ravel() / window.rate_hz
    order = np.argsort(tau)
    scaled = flat[:, order] / np.maximum(flat[:, order].max(axis=0), 1e-12)
    time = 1e6 * (np.arange(len(size)) - window.n_pre) / window.rate_hz
    with styled_figure(PAGE, 2.8) as figure:
        picture, memories = figure.subplots(1, 2, gridspec_kw={"width_ratios": [2.2, 1]}, sharey=True)
        step = time[1] - time[0] if len(time) > 1 else 1.0
        shown = picture.imshow(scaled.T, aspect="auto", origin="lower", cmap="magma", interpolation="nearest",
                               extent=(time[0] - step / 2, time[-1] + step / 2, -0.5, len(order) - 0.5))  # fmt: skip
        figure.colorbar(shown, ax=picture, label="mean |h|, each state's peak = 1")
        picture.axvline(0, color="w", lw=0.5, ls=":")
        picture.set(xlabel="time from the trigger [us]", ylabel="state, from short to long memory")
        memories.plot(tau[order], np.arange(len(order)), ".", color="#0b6e99", ms=2.5)
        memories.axvline(1e6 * window.tau_s, color="0.5", lw=0.7, ls="--", label="decay time of the pulse")
        memories.set(xscale="log", xlabel="memory [us]")
        memories.legend(loc="lower right")
        return figure
