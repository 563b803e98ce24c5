"""Backend and device: by name, by environment, by detection; what cannot be had is said."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from venom_hw import backend
from venom_hw.backend import BackendError, choose_backend, choose_device, require_torch
from venom_hw.train import TrainConfig
from venom_hw.train.__main__ import main
from venom_hw.train.run import train


@pytest.fixture(autouse=True)
def nothing_chosen(monkeypatch):
    monkeypatch.delenv("VENOM_BACKEND", raising=False)
    monkeypatch.delenv("VENOM_DEVICE", raising=False)


@pytest.mark.parametrize("cuda, mps, expected", [
    (False, False, "cpu"), (True, False, "cuda"), (False, True, "mps"), (True, True, "cuda"),
])
def test_device_by_detection(monkeypatch, cuda, mps, expected):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    assert choose_device() == expected
    assert choose_device("cpu") == "cpu"
    for name, there in (("cuda", cuda), ("mps", mps)):
        if not there:
            with pytest.raises(BackendError, match=f"device = '{name}': not available here; expected one of"):
                choose_device(name)


def test_device_by_environment_and_number(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert choose_device("cuda:1") == "cuda:1"
    with pytest.raises(BackendError, match="there are 2 CUDA devices"):
        choose_device("cuda:2")
    monkeypatch.setenv("VENOM_DEVICE", "cpu")
    assert choose_device() == "cpu" and choose_device("cuda") == "cuda"  # a name wins
    monkeypatch.setenv("VENOM_DEVICE", "tpu")
    with pytest.raises(BackendError, match="VENOM_DEVICE = 'tpu': expected one of auto, cpu, cuda, mps"):
        choose_device()
    with pytest.raises(BackendError, match="cpu:1"):
        choose_device("cpu:1")


@pytest.mark.parametrize("apple, runs, expected", [
    (True, True, "mlx"), (True, False, "torch"), (False, True, "torch"), (False, False, "torch"),
])
def test_backend_by_detection(monkeypatch, apple, runs, expected):
    monkeypatch.setattr(backend, "on_apple_silicon", lambda: apple)
    monkeypatch.setattr(backend, "mlx_runs", lambda: runs)
    assert choose_backend() == expected
    assert choose_backend("torch") == "torch"


def test_backend_by_environment(monkeypatch):
    monkeypatch.setattr(backend, "mlx_runs", lambda: True)
    monkeypatch.setenv("VENOM_BACKEND", "mlx")
    assert choose_backend() == "mlx" and choose_backend("torch") == "torch"
    with pytest.raises(BackendError, match="training runs on PyTorch"):
        require_torch("training")
    monkeypatch.setattr(backend, "mlx_runs", lambda: False)
    with pytest.raises(BackendError, match="VENOM_BACKEND = 'mlx': MLX cannot run here"):
        choose_backend()
    monkeypatch.setenv("VENOM_BACKEND", "jax")
    with pytest.raises(BackendError, match="VENOM_BACKEND = 'jax': expected one of torch, mlx"):
        choose_backend()


def test_training_says_so(monkeypatch, capsys):
    monkeypatch.setattr(backend, "mlx_runs", lambda: True)
    monkeypatch.setenv("VENOM_BACKEND", "mlx")
    assert main(["--ptsi", "--quiet"]) == 2
    assert "error: VENOM_BACKEND = 'mlx'" in capsys.readouterr().err


def test_every_way_into_training_says_so(monkeypatch, tmp_path):
    """Sweeps and leave-one-out call `train` themselves; nothing is simulated or written first."""
    monkeypatch.setattr(backend, "mlx_runs", lambda: True)
    monkeypatch.setenv("VENOM_BACKEND", "mlx")
    with pytest.raises(BackendError, match="VENOM_BACKEND = 'mlx': training runs on PyTorch"):
        train(TrainConfig(), tmp_path / "run", tmp_path / "simulated", "command", quiet=True)
    assert not list(tmp_path.iterdir())


def test_the_module_is_light():
    code = "import sys, venom_hw.backend; sys.exit(bool({'torch', 'mlx', 'numpy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
