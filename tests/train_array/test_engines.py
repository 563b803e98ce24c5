"""Both engines against the model's own autograd: loss, gradients, predictions, independence of neighbours."""

import numpy as np
import pytest
import torch

from venom_hw.model import MKIDEnergySSM
from venom_hw.train.losses import LOSSES
from venom_hw.train_array import Layout, TrainArrayError, step_kernel
from venom_hw.train_array.batch import Batch
from venom_hw.train_array.engine import choose_engine
from venom_hw.train_array.grouped import GroupedEngine
from venom_hw.train_array.step_kernel import KernelEngine

PUBLISHED = dict(d_model=16, d_state=8, n_layers=1, d_conv=4, expand=1, d_head_hidden=32)
ODD = dict(d_model=6, d_state=3, n_layers=2, d_conv=3, expand=2, d_head_hidden=5)
TOLERANCE = {torch.float64: 1e-12, torch.float32: 2e-5}  # of the largest gradient


def random_batch(pixels, pulses, length, seed=0) -> Batch:
    g = torch.Generator().manual_seed(seed)
    return Batch(
        torch.randint(-3000, 3000, (pixels, pulses, length, 2), dtype=torch.int16, generator=g),
        100 * torch.randn(pixels, 2, generator=g),
        800 + 1000 * torch.rand(pixels, 2, generator=g),
        torch.randint(1, length + 1, (pixels, pulses), generator=g),
        torch.randn(pixels, pulses, generator=g),
    )


def random_rows(layout, pixels, dtype) -> torch.Tensor:
    g = torch.Generator().manual_seed(5)
    rows = torch.stack([layout.start(s) for s in range(pixels)])
    return (rows + 0.05 * torch.randn(rows.shape, generator=g)).to(dtype)


def by_autograd(layout, row, batch, p, loss):
    model = MKIDEnergySSM(**layout.sizes).to(row.dtype)
    model.load_state_dict({name: v[0] for name, v in layout.views(row[None]).items()})
    x = (batch.counts[p].to(row.dtype) - batch.mean[p].to(row.dtype)) / batch.std[p].to(row.dtype)
    out = model(x, batch.lengths[p])
    value = LOSSES[loss](*out, batch.target[p].to(row.dtype))
    value.backward()
    return (
        value.detach(),
        torch.cat([v.grad.reshape(-1) for v in model.parameters()]),
        torch.stack(out).detach(),
    )


@pytest.fixture(params=["kernel", "torch"])
def engine_class(request):
    if request.param == "kernel" and step_kernel.library() is None:
        pytest.skip("no C++ compiler here")
    return {"kernel": KernelEngine, "torch": GroupedEngine}[request.param]


@pytest.mark.parametrize("loss", ["gaussian_nll", "mse"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["float64", "float32"])
@pytest.mark.parametrize("sizes", [PUBLISHED, ODD], ids=["published", "odd"])
def test_loss_gradient_and_prediction_are_those_of_the_model(engine_class, sizes, dtype, loss):
    layout = Layout.of(sizes)
    batch, rows = random_batch(3, 4, 21), random_rows(layout, 3, dtype)
    engine = engine_class(layout, loss)
    losses, gradients = engine.loss_and_gradient(rows, batch)
    mu, logvar = engine.predict(rows, batch)
    for p in range(3):
        value, gradient, out = by_autograd(layout, rows[p], batch, p, loss)
        scale = TOLERANCE[dtype]
        torch.testing.assert_close(losses[p], value, rtol=scale, atol=scale)
        assert (gradients[p] - gradient).abs().max() <= scale * gradient.abs().max()
        torch.testing.assert_close(torch.stack([mu[p], logvar[p]]), out, rtol=scale, atol=scale)


def test_kernel_bits_depend_neither_on_neighbours_nor_on_threads():
    if step_kernel.library() is None:
        pytest.skip("no C++ compiler here")
    layout = Layout.of(PUBLISHED)
    batch, rows = random_batch(5, 3, 30), random_rows(layout, 5, torch.float32)
    together = KernelEngine(layout, threads=2).loss_and_gradient(rows, batch)
    for p in range(5):
        alone = KernelEngine(layout).loss_and_gradient(rows[p : p + 1], Batch(*(v[p : p + 1] for v in batch)))
        assert torch.equal(alone[0][0], together[0][p]) and torch.equal(alone[1][0], together[1][p])


def test_padding_is_not_looked_at(engine_class):
    layout = Layout.of(PUBLISHED)
    batch, rows = random_batch(2, 3, 20), random_rows(layout, 2, torch.float64)
    outside = torch.arange(20) >= batch.lengths[..., None]
    changed = batch.counts.clone()
    changed[outside] = 30000
    engine = engine_class(layout)
    first, second = engine.predict(rows, batch), engine.predict(rows, batch._replace(counts=changed))
    assert torch.equal(torch.stack(first), torch.stack(second))


@pytest.mark.parametrize(
    "field, value, message",
    [
        ("lengths", torch.zeros(2, 3, dtype=torch.int64), "lengths"),
        ("lengths", torch.full((2, 3), 21), "expected"),
        ("target", torch.zeros(2, 4), "target"),
        ("mean", torch.zeros(1, 2), "mean"),
        ("counts", torch.zeros(2, 3, 20, 2), "int16"),
    ],
    ids=["no-samples", "too-many-samples", "target", "mean", "counts"],
)
def test_kernel_refuses_what_it_cannot_read(field, value, message):
    if step_kernel.library() is None:
        pytest.skip("no C++ compiler here")
    layout = Layout.of(PUBLISHED)
    with pytest.raises(TrainArrayError, match=message):
        KernelEngine(layout).loss_and_gradient(
            random_rows(layout, 2, torch.float32), random_batch(2, 3, 20)._replace(**{field: value})
        )


def test_layout_is_the_model_and_back():
    layout = Layout.of(PUBLISHED)
    assert layout.count == 3314
    row = layout.start(3)
    model = layout.model(row)
    assert torch.equal(layout.flatten(model), row)
    expected = np.concatenate([np.full(p.numel(), float(p.dim() > 1)) for p in model.parameters()])
    assert np.array_equal(layout.decayed().numpy(), expected)


def test_engines_are_chosen_by_name_and_device(monkeypatch):
    layout, cpu = Layout.of(ODD), torch.device("cpu")
    with pytest.raises(TrainArrayError, match="expected one of auto, kernel, torch"):
        choose_engine("fast", layout, "mse", cpu)
    with pytest.raises(TrainArrayError, match="expected the device cpu"):
        choose_engine("kernel", layout, "mse", torch.device("meta"))
    assert choose_engine("auto", layout, "mse", torch.device("meta")).name == "torch"
    monkeypatch.setattr(step_kernel, "library", lambda: None)
    assert choose_engine("auto", layout, "mse", cpu).name == "torch"
    with pytest.raises(TrainArrayError, match="cannot be compiled here"):
        choose_engine("kernel", layout, "mse", cpu)
