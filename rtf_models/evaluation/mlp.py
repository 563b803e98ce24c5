"""MLP probes: what small networks on frozen fingerprints know about the class, beyond the linear probe."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from rtf_models.classes import ClassScheme
from rtf_models.embedding import Embeddings

from .errors import EvaluationError
from .metrics import balanced_accuracy, classification_metrics
from .probe import LEVELS, labels_of

BATCH = 256
LEARNING_RATE, WEIGHT_DECAY = 1e-3, 1e-4
VALIDATION = 0.2


@dataclass(frozen=True)
class Decoder:
    """A classifier of fingerprints: hidden layer widths (none: linear), dropout, epochs."""

    hidden: tuple[int, ...]
    dropout: float
    epochs: int

    def build(self, inputs: int, classes: int) -> nn.Sequential:
        """Linear, batch norm, ReLU, dropout for each hidden layer; a linear layer at the end."""
        layers: list[nn.Module] = []
        for width in self.hidden:
            layers += [nn.Linear(inputs, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Dropout(self.dropout)]
            inputs = width
        return nn.Sequential(*layers, nn.Linear(inputs, classes))


DECODERS = {
    "linear": Decoder((), 0.0, 100),
    "mlp2": Decoder((256, 128), 0.3, 100),
    "mlp3": Decoder((512, 256, 128), 0.4, 150),
}


def mlp_probe(
    train: Embeddings,
    test: Embeddings,
    scheme: ClassScheme,
    *,
    decoders: dict[str, Decoder] | None = None,
    seed: int = 42,
    bootstrap: int = 0,
    device: str | torch.device = "cpu",
    progress: bool = False,
) -> dict:
    """Train each decoder on 80 % of `train`, keep its best epoch and choose the best one on the other 20 %, by balanced
    accuracy; the test sources are looked at once, at the end.

    Cross-entropy weighs a class by 1 / (its count + 1); AdamW 1e-3, decay 1e-4, cosine, batches of 256. Result for
    coarse and fine: {decoders: {name: {validation, test (as of `classification_metrics`), best_epoch, parameters}},
    best: name}; None for a level with fewer than two classes in training (both: EvaluationError).
    """
    decoders = DECODERS if decoders is None else decoders
    result: dict = {"seed": seed}
    for level in LEVELS:
        labels = [labels_of(part, level, scheme) for part in (train, test)]
        known = [part >= 0 for part in labels]
        fitting = _split(labels[0][known[0]], seed)
        if not known[1].any() or len(np.unique(labels[0][known[0]][fitting[0]])) < 2:
            result[level] = None
            continue
        data = _Data(train, test, labels, known, fitting, device)
        rows = {}
        for name, decoder in decoders.items():
            what = f"{level} {name}"
            rows[name] = _trained(decoder, data, getattr(scheme, level), seed, bootstrap, what, progress)
        best = max(rows, key=lambda name: rows[name]["validation"]["balanced_accuracy"])
        result[level] = {"decoders": rows, "best": best}
    if result["coarse"] is None and result["fine"] is None:
        raise EvaluationError(
            f"{len(train)} training and {len(test)} test fingerprints: expected two labelled classes or more in "
            "training and labelled sources in the test"
        )
    return result


def _split(labels: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows to fit on and rows to choose on: the first fifth of a seeded permutation is for choosing."""
    order = np.random.RandomState(seed).permutation(len(labels))  # noqa: NPY002 - the original's split at seed 42
    n = int(VALIDATION * len(labels))
    return order[n:], order[:n] if n else order


class _Data:
    """Standardised fingerprints (by the rows to fit on) and labels of the three parts, as tensors."""

    def __init__(self, train, test, labels, known, fitting, device):
        x = [np.asarray(part.embeddings, np.float32)[mask] for part, mask in zip((train, test), known, strict=True)]
        y = [part[mask] for part, mask in zip(labels, known, strict=True)]
        if not all(np.isfinite(part).all() for part in x):
            raise EvaluationError("embeddings hold values that are not finite: expected numbers")
        fit, choose = fitting
        mean, std = x[0][fit].mean(0), x[0][fit].std(0)
        std = np.where(std > 1e-8, std, 1.0)
        parts = {"fit": (x[0][fit], y[0][fit]), "validation": (x[0][choose], y[0][choose]), "test": (x[1], y[1])}
        self.device = torch.device(device)
        self.parts = {
            name: (torch.from_numpy((a - mean) / std).to(self.device), torch.from_numpy(b).to(self.device))
            for name, (a, b) in parts.items()
        }
        self.trained = tuple(int(k) for k in np.unique(y[0][fit]))


def _trained(decoder: Decoder, data: _Data, classes, seed: int, bootstrap: int, what: str, progress: bool) -> dict:
    x, y = data.parts["fit"]
    devices = [data.device] if data.device.type == "cuda" else []
    with torch.random.fork_rng(devices):
        torch.manual_seed(seed)
        network = decoder.build(x.shape[1], len(classes)).to(data.device)
        optimiser = torch.optim.AdamW(network.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, max(decoder.epochs, 1))
        loss = nn.CrossEntropyLoss(class_weights(y, len(classes)))
        best, best_epoch, state = -1.0, 0, None
        for epoch in tqdm(range(decoder.epochs), desc=what, unit="epoch", disable=not progress, leave=False):
            _epoch(network, x, y, loss, optimiser)
            schedule.step()
            score = _balanced(network, *data.parts["validation"])
            if score > best:
                best, best_epoch = score, epoch
                state = {name: value.clone() for name, value in network.state_dict().items()}
        if state is not None:
            network.load_state_dict(state)
        return {
            "validation": _judge(network, *data.parts["validation"], classes, data.trained),
            "test": _judge(network, *data.parts["test"], classes, data.trained, bootstrap),
            "best_epoch": best_epoch,
            "parameters": sum(p.numel() for p in network.parameters()),
        }


def class_weights(labels: Tensor, n_classes: int) -> Tensor:
    """(n_classes,) float32 proportional to 1 / (count + 1), their sum n_classes."""
    weights = 1.0 / (torch.bincount(labels, minlength=n_classes).float() + 1.0)
    return weights * n_classes / weights.sum()


def _epoch(network, x, y, loss, optimiser) -> None:
    network.train()
    for rows in torch.randperm(len(x)).to(x.device).split(BATCH):
        if len(rows) == 1:  # batch norm has no statistics of one row
            continue
        optimiser.zero_grad()
        value = loss(network(x[rows]), y[rows])
        value.backward()
        optimiser.step()


@torch.no_grad()
def _balanced(network, x, y) -> float:
    return balanced_accuracy(y.cpu().numpy(), network.eval()(x).argmax(1).cpu().numpy())


@torch.no_grad()
def _judge(network, x, y, classes, trained, bootstrap: int = 0) -> dict:
    probabilities = network.eval()(x).softmax(1).cpu().numpy()
    if not np.isfinite(probabilities).all():
        raise EvaluationError("an MLP probe diverged: expected finite probabilities; are the embeddings sensible?")
    return classification_metrics(y.cpu().numpy(), probabilities, classes, trained=trained, bootstrap=bootstrap)
