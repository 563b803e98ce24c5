"""Holds exported files to the network they came from: every integer of every output and state, and counts
saturations.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from brevitas.nn import QuantIdentity
from torch import nn

from venom_hw.interchange.execute import Executor

from .formats import TensorFormat
from .network import QuantVenom


class VerifyError(RuntimeError):
    """The files do not compute what the network computes."""


@dataclass
class Comparison:
    """Integers compared, differing integers, the first difference, saturated integers by tensor."""

    compared: int = 0
    mismatches: int = 0
    first: str = ""
    saturations: dict[str, dict[str, int]] = field(default_factory=dict)

    def compare(self, where: str, name: str, ours: np.ndarray, theirs: np.ndarray) -> None:
        """Count the differences of one tensor, network's and file's; ``where`` it was, for the message."""
        wrong = ours != theirs
        self.compared += wrong.size
        if wrong.any():
            self.mismatches += int(wrong.sum())
            if not self.first:
                at = tuple(int(i) for i in np.argwhere(wrong)[0])
                self.first = f"{where}, tensor '{name}' {at}: network {ours[at]!r}, file {theirs[at]!r}"

    def to_dict(self) -> dict[str, Any]:
        return dict(self.__dict__)


@dataclass
class Verification(Comparison):
    """Outcome of :func:`verify_files`: a comparison over windows, and of the whole-window form."""

    windows: int = 0
    window_form_mismatches: int = 0


def quantisers(network: nn.Module) -> dict[str, QuantIdentity]:
    """The Brevitas quantisers of a network by module path."""
    return {n: m for n, m in network.named_modules() if isinstance(m, QuantIdentity)}


def compare_quantisers(
    network: nn.Module, file: Executor, feeds: Mapping[str, np.ndarray], result: Comparison, where: str
) -> dict[str, np.ndarray]:
    """Run network (in float64 already) and file on the same inputs; compare the output of every quantiser and every
    output of the graph.  ``feeds``: by the file's input names, which are the network's arguments in order.

    Returns the file's outputs.  Raises VerifyError when the file lacks a quantiser of the network, or has another.
    """
    modules = quantisers(network)
    found = set(file.quants.values())
    if found != set(modules):
        missing, extra = sorted(set(modules) - found), sorted(found - set(modules))
        raise VerifyError(f"quantisers that the file lacks: {missing[:5]}; that only the file has: {extra[:5]}")
    ours: dict[str, np.ndarray] = {}
    handles = [
        module.register_forward_hook(lambda _m, _i, out, name=name: ours.__setitem__(name, out.numpy()))
        for name, module in modules.items()
    ]
    try:
        with torch.no_grad():
            answer = network(*(torch.from_numpy(np.asarray(feeds[n], np.float64)) for n in file.inputs))
    finally:
        for handle in handles:
            handle.remove()
    theirs = file.run(feeds, intermediate=True)
    for tensor, name in file.quants.items():
        shape = np.broadcast_shapes(ours[name].shape, theirs[tensor].shape)
        if shape != ours[name].shape:
            raise VerifyError(f"{where}, tensor '{name}': network {ours[name].shape}, file {theirs[tensor].shape}")
        result.compare(where, name, ours[name], theirs[tensor])
    answers = answer if isinstance(answer, tuple) else (answer,)
    for name, value in zip(file.outputs, answers, strict=True):
        result.compare(where, name, value.numpy(), theirs[name])
    return {name: theirs[name] for name in file.outputs}


class SaturationCounter:
    """Counts, by quantiser, how many values lay outside the range (after rounding).  A context manager of
    forward hooks; entered again, it goes on counting.
    """

    def __init__(self, network: nn.Module, formats: Mapping[str, TensorFormat]) -> None:
        self.counts: dict[str, dict[str, int]] = {}
        self._modules = {n: m for n, m in quantisers(network).items() if n in formats}
        self._formats = formats
        self._handles: list[Any] = []

    def __enter__(self) -> SaturationCounter:
        for name, module in self._modules.items():
            self.counts.setdefault(name, {"values": 0, "saturated": 0})
            self._handles.append(module.register_forward_hook(self._hook(name)))
        return self

    def __exit__(self, *_: object) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

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
    result = Verification(windows=len(counts))
    samples = torch.from_numpy(np.asarray(counts, dtype=np.float64))
    names = step_file.outputs

    with torch.no_grad(), SaturationCounter(network, formats) as saturation:
        states = network.step.initial_state(len(counts))
        feeds = step_file.initial_state(len(counts))
        steps = range(counts.shape[1])
        for t in progress(steps) if progress else steps:
            ours = network.step(samples[:, t], *states)
            theirs = step_file.run({"sample": counts[:, t], **feeds})
            for name, value in zip(names, ours, strict=True):
                result.compare(f"sample {t}", name, value.numpy(), theirs[name])
            states = ours[3:]
            feeds = {name: theirs[target] for name, target in step_file.states.items()}
        answers = network.head(*states[-2:])
        executed = head_file.run({name: feeds[name] for name in head_file.inputs})
        for name, value in zip(head_file.outputs, answers, strict=True):
            result.compare("sample end", name, value.numpy(), executed[name])
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
