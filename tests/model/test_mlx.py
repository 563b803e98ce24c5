"""The MLX network against the PyTorch one: the same numbers from the same weights, both executions."""

import importlib
import sys

import numpy as np
import pytest
import torch

from venom_hw.backend import BackendError
from venom_hw.flow.model_files import PRETRAINED
from venom_hw.model import CheckpointError, MKIDEnergySSM, ModelError, load_checkpoint
from venom_hw.model.inference import on_chosen_backend

mx = pytest.importorskip("mlx.core", reason="MLX is not installed (pip install 'venom-hw[mlx]')")
from venom_hw.model import mlx_network, mlx_scan  # noqa: E402  (needs MLX)

SIZES = [
    {},
    {"d_model": 8, "d_state": 3, "n_layers": 2, "d_conv": 3, "expand": 2, "d_head_hidden": 5},
    {"d_model": 4, "d_state": 1, "n_layers": 1, "d_conv": 1, "expand": 1, "d_head_hidden": 7},
]
# MLX's exp, erf and rsqrt have the precision of float32 (1e-7) in float64 too. Measured: 5e-7 at most over all sizes
# here and windows of up to 426 samples; one changed decay rate makes 2e-3.
CLOSE = 3e-6


def twins(sizes, seed=0):
    """A PyTorch network with weights far from their start, and its MLX twin, both in float64."""
    torch.manual_seed(seed)
    reference = MKIDEnergySSM(**sizes).double()
    with torch.no_grad():
        for value in reference.parameters():
            value.add_(0.3 * torch.randn_like(value))
    twin = mlx_network.MKIDEnergySSM(**sizes)
    twin.set_dtype(mx.float64)
    return reference, mlx_network.copy_weights(reference, twin)


def windows(batch=5, length=70, seed=1):
    return np.random.default_rng(seed).normal(size=(batch, length, 2))


def numbers(outputs):
    return [np.array(v) for v in outputs]


@pytest.mark.parametrize("sizes", SIZES, ids=["winner", "two layers", "smallest"])
@pytest.mark.parametrize("path", ["parallel", "recurrent"])
@pytest.mark.parametrize("length", [1, 2, 70, 130])
def test_both_paths_equal_pytorch_in_double(sizes, path, length):
    reference, twin = twins(sizes)
    x = windows(length=length)
    with mx.stream(mx.cpu), torch.no_grad():
        run = (reference.recurrent, twin.recurrent) if path == "recurrent" else (reference, twin)
        wanted = [v.numpy() for v in run[0](torch.from_numpy(x))]
        found = numbers(run[1](mx.array(x, dtype=mx.float64)))
    np.testing.assert_allclose(found, wanted, rtol=CLOSE, atol=CLOSE)


@pytest.mark.parametrize("path", ["parallel", "recurrent"])
def test_padding_is_not_read(path):
    reference, twin = twins({})
    x, lengths = windows(), np.array([70, 1, 33, 2, 69])
    changed = x.copy()
    for row, length in enumerate(lengths):
        changed[row, length:] = 9.0
    with mx.stream(mx.cpu), torch.no_grad():
        run = twin.recurrent if path == "recurrent" else twin
        found = numbers(run(mx.array(changed, dtype=mx.float64), lengths))
        wanted = [v.numpy() for v in reference(torch.from_numpy(x), torch.from_numpy(lengths))]
    np.testing.assert_allclose(found, wanted, rtol=CLOSE, atol=CLOSE)


@pytest.mark.parametrize("name", ["ptsi", "inhf"])
def test_shipped_checkpoints_agree_in_float32(name):
    """To 0.2 % of each pulse's sigma, both executions, pulse-like windows (on simulated pulses measured: 0.013 %)."""
    path = PRETRAINED / f"{name}.safetensors"
    reference, twin = load_checkpoint(path), mlx_network.load_checkpoint(path)
    assert twin.model.parameter_count() == reference.model.parameter_count()
    assert (twin.window, twin.normalisation) == (reference.window, reference.normalisation)
    rng = np.random.default_rng(3)
    length = reference.window["length"]
    time = np.arange(length) - reference.window["n_pre"]
    shape = np.where(time >= 0, np.exp(-np.maximum(time, 0) / (length / 5)), 0)[None, :, None]
    mean, std = (np.array(reference.normalisation[k]) for k in ("iq_mean", "iq_std"))
    height = rng.uniform(-4, 4, (24, 1, 2))
    counts = np.clip(mean + std * (height * shape + 0.2 * rng.normal(size=(24, length, 2))), -32768, 32767)
    counts = np.rint(counts).astype(np.int16)
    lengths = np.full(24, length)
    lengths[:4] = [1, 7, length // 2, length - 1]
    energy, logvar = reference.predict(counts, lengths=lengths)
    sigma = np.exp(0.5 * logvar)
    for recurrent in (False, True):
        e, v = twin.predict(counts, recurrent=recurrent, lengths=lengths, batch=16)
        assert e.dtype == v.dtype == np.float64
        assert (np.abs(e - energy) < 0.002 * sigma).all()
        assert np.abs(e - energy).max() < 1e-4 * np.ptp(energy)
        np.testing.assert_allclose(v, logvar, atol=2e-3)


def test_a_changed_weight_is_seen():
    reference, twin = twins({})
    x = windows()
    with torch.no_grad():
        reference.backbone.layers[0].log_neg_A[3, 2] += 0.5
        wanted = reference(torch.from_numpy(x))[0].numpy()
    found = np.array(twin(mx.array(x, dtype=mx.float64))[0])
    assert np.abs(found - wanted).max() > 100 * CLOSE


@pytest.mark.parametrize("length", [1, 2, 7, 8, 9, 40])
def test_scan_is_the_recurrence(length):
    rng = np.random.default_rng(length)
    a, b = rng.uniform(0, 1, (2, length, 3, 2)), rng.normal(size=(2, length, 3, 2))
    a[:, length // 2] = 0.0  # a decay that has underflown
    h, wanted = np.zeros((2, 3, 2)), []
    for t in range(length):
        h = a[:, t] * h + b[:, t]
        wanted.append(h)
    found = mlx_scan.linear_scan(mx.array(a, dtype=mx.float64), mx.array(b, dtype=mx.float64), segment=8)
    np.testing.assert_allclose(np.array(found), np.stack(wanted, 1), rtol=1e-13, atol=1e-13)


def test_legacy_weights_load(tmp_path):
    """The original's older files: a PyTorch zip under the name of safetensors, delta as x_proj then dt_proj."""
    torch.manual_seed(5)
    reference = MKIDEnergySSM()
    tensors = {f"model.{k}": v for k, v in reference.state_dict().items()}
    low, high = torch.randn(8, 16) * 0.2, torch.randn(16, 8) * 0.2
    layer = "model.backbone.layers.0"
    tensors[f"{layer}.x_proj.weight"], tensors[f"{layer}.dt_proj.weight"] = low, high
    path = tmp_path / "old.safetensors"
    with path.open("wb") as file:
        torch.save(tensors, file)
    reference.load_weights(path)
    twin = mlx_network.MKIDEnergySSM().load_weights(path)
    x = windows().astype(np.float32)
    with torch.no_grad():
        wanted = [v.numpy() for v in reference(torch.from_numpy(x))]
    np.testing.assert_allclose(numbers(twin(mx.array(x))), wanted, atol=2e-5)
    report = mlx_network.load_weights(mlx_network.MKIDEnergySSM(), path)
    assert any("folded into dt_proj" in line for line in report.folded)


def test_the_environment_chooses(monkeypatch):
    checkpoint = load_checkpoint(PRETRAINED / "ptsi.safetensors")
    counts = np.zeros((3, 126, 2), np.int16)
    monkeypatch.setenv("VENOM_BACKEND", "torch")
    assert on_chosen_backend(checkpoint) is checkpoint
    monkeypatch.setenv("VENOM_BACKEND", "mlx")
    twin = on_chosen_backend(checkpoint)
    assert isinstance(twin, mlx_network.MlxCheckpoint) and isinstance(twin, type(checkpoint))
    np.testing.assert_allclose(twin.predict(counts)[0], checkpoint.predict(counts)[0], rtol=1e-5)
    monkeypatch.setenv("VENOM_BACKEND", "jax")
    with pytest.raises(BackendError, match="VENOM_BACKEND = 'jax'"):
        on_chosen_backend(checkpoint)


def test_without_mlx_the_import_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "mlx.core", None)
    monkeypatch.delitem(sys.modules, "venom_hw.model.mlx_network")
    with pytest.raises(ModelError, match=r"pip install 'venom-hw\[mlx\]', or VENOM_BACKEND=torch"):
        importlib.import_module("venom_hw.model.mlx_network")


@pytest.mark.parametrize("call, message", [
    (lambda m: m(mx.zeros((3, 4))), "shape (3, 4)"),
    (lambda m: m.recurrent(mx.zeros((3, 0, 2))), "shape (3, 0, 2)"),
    (lambda m: m(mx.zeros((3, 4, 2)), [4, 5, 4]), "lengths from 4 to 5: expected 1 to 4"),
    (lambda m: m(mx.zeros((3, 4, 2)), [4]), "expected (3,)"),
    (lambda m: mlx_network.MKIDEnergySSM(d_state=0), "d_state = 0"),
    (lambda m: mlx_network.copy_weights(MKIDEnergySSM(d_state=4), m), "expected those of the weights"),
], ids=["two dimensions", "no sample", "too long", "too few", "size", "other sizes"])  # fmt: skip
def test_what_is_refused(call, message):
    with pytest.raises(ModelError) as refused:
        call(mlx_network.MKIDEnergySSM())
    assert message in str(refused.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(CheckpointError, match="no such file"):
        mlx_network.load_checkpoint(tmp_path / "none.safetensors")
    with pytest.raises(CheckpointError, match="no such file"):
        mlx_network.MKIDEnergySSM().load_weights(tmp_path / "none.safetensors")
