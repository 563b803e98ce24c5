"""Holds exported files to the network they came from: every integer of every output and state, and counts
saturations.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from brevitas.nn import QuantIdentity

from venom_hw.interchange.execute import Executor

from .formats import TensorFormat
from .network import QuantVenom


class VerifyError(RuntimeError):
    """The files do not compute what the network computes."""


@dataclass
class Verification:
    """Outcome: windows and integers compared, differing integers, first difference, saturated integers by
    tensor.
    """

    windows: int
    compared: int = 0
    mismatches: int = 0
    first: str = ""
    window_form_mismatches: int = 0
    saturations: dict[str, dict[str, int]] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        return dict(self.__dict__)


class SaturationCounter:
    """Counts, by quantiser, how many values lay outside the range (after rounding).  A context manager of
    forward hooks.
    """

    def __init__(self, network: QuantVenom, formats: dict[str, TensorFormat]) -> None:
        self.counts: dict[str, dict[str, int]] = {}
        self._modules = {
            n: m for n, m in network.named_modules() if isinstance(m, QuantIdentity) and n in formats
        }
        self._formats = formats
        self._handles: list[Any] = []

    def __enter__(self) -> SaturationCounter:
        for name, module in self._modules.items():
            self.counts[name] = {"values": 0, "saturated": 0}
            self._handles.append(module.register_forward_hook(self._hook(name)))
        return self

    def __exit__(self, *_: object) -> None:
        for handle in self._handles:
            handle.remove()

    def _hook(self, name: str) -> Callable[..., None]:
        fmt, count = self._formats[name], self.counts[name]
        low, high = fmt.code_range
        lsb = torch.as_tensor(fmt.lsb, dtype=torch.float64)

        def hook(_module: torch.nn.Module, inputs: tuple[torch.Tensor, ...], _output: torch.Tensor) -> None:
            codes = inputs[0] / lsb
            codes = codes.round() if fmt.rounding == "half_even" else codes.floor()
            count["values"] += codes.numel()
            count["saturated"] += int(((codes < low) | (codes > high)).sum())

        return hook


def verify_files(
    network: QuantVenom,
    formats: dict[str, TensorFormat],
    step: str | os.PathLike,
    head: str | os.PathLike,
    counts: np.ndarray,
    progress: Callable[[range], Any] | None = None,
) -> Verification:
    """Run the Brevitas network (float64, sample by sample) and the files side by side on counts (windows, L,
    2).

    Compares all outputs and states after every sample, the head's outputs, and the whole-window form.  The
    network comes back in float32.
    """
    step_file, head_file = Executor(step), Executor(head)
    network = network.double().eval()
    result = Verification(len(counts))
    samples = torch.from_numpy(np.asarray(counts, dtype=np.float64))
    names = step_file.outputs

    def compare(name: str, t: int | str, ours: torch.Tensor, theirs: np.ndarray) -> None:
        wrong = ours.numpy() != theirs
        result.compared += wrong.size
        if wrong.any():
            result.mismatches += int(wrong.sum())
            if not result.first:
                at = tuple(int(i) for i in np.argwhere(wrong)[0])
                result.first = (
                    f"sample {t}, tensor '{name}' {at}: network {ours.numpy()[at]!r}, file {theirs[at]!r}"
                )

    with torch.no_grad(), SaturationCounter(network, formats) as saturation:
        states = network.step.initial_state(len(counts))
        feeds = step_file.initial_state(len(counts))
        steps = range(counts.shape[1])
        for t in progress(steps) if progress else steps:
            ours = network.step(samples[:, t], *states)
            theirs = step_file.run({"sample": counts[:, t], **feeds})
            for name, value in zip(names, ours, strict=True):
                compare(name, t, value, theirs[name])
            states = ours[3:]
            feeds = {name: theirs[target] for name, target in step_file.states.items()}
        answers = network.head(*states[-2:])
        executed = head_file.run({name: feeds[name] for name in head_file.inputs})
        for name, value in zip(head_file.outputs, answers, strict=True):
            compare(name, "end", value, executed[name])
        result.saturations = {k: v for k, v in saturation.counts.items() if v["saturated"]}
    with torch.no_grad():
        for start in range(0, len(counts), 64):
            whole = network.window(network.embed(samples[start : start + 64]))
            for name, value in zip(head_file.outputs, whole, strict=True):
                result.window_form_mismatches += int(
                    (value.numpy() != executed[name][start : start + 64]).sum()
                )
    network.float()
    return result
