"""The network: sizes, the published parameter count, parallel against recurrent, variable lengths, errors."""

from __future__ import annotations

import pytest
import torch

from venom_hw.model import EnergyHead, MKIDEnergySSM, ModelError, SSMBackbone


def perturbed(seed=0, **sizes) -> MKIDEnergySSM:
    """A network whose parameters are all away from their starting values (norms, biases, decays)."""
    torch.manual_seed(seed)
    model = MKIDEnergySSM(**sizes)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.2 * torch.randn_like(p))
    return model.eval()


@pytest.fixture(scope="module")
def windows():
    return torch.randn(6, 126, 2, generator=torch.Generator().manual_seed(1))


def test_published_configuration_has_3314_parameters():
    model = MKIDEnergySSM(d_model=16, d_state=8, n_layers=1, d_conv=4, expand=1, d_head_hidden=32)
    assert model.parameter_count() == 3314
    assert sum(p.numel() for p in model.backbone.parameters()) == 1632
    assert sum(p.numel() for p in model.head.parameters()) == 1682
    assert MKIDEnergySSM().config == model.config


def test_parameter_names_and_shapes():
    shapes = {name: tuple(p.shape) for name, p in MKIDEnergySSM().state_dict().items()}
    assert shapes == {
        "backbone.input_proj.weight": (16, 2), "backbone.input_proj.bias": (16,),
        "backbone.layers.0.norm.weight": (16,), "backbone.layers.0.norm.bias": (16,),
        "backbone.layers.0.in_proj.weight": (32, 16),
        "backbone.layers.0.conv.weight": (16, 1, 4), "backbone.layers.0.conv.bias": (16,),
        "backbone.layers.0.B_proj.weight": (8, 16), "backbone.layers.0.C_proj.weight": (8, 16),
        "backbone.layers.0.dt_proj.weight": (16, 16), "backbone.layers.0.dt_proj.bias": (16,),
        "backbone.layers.0.log_neg_A": (16, 8), "backbone.layers.0.D": (16,),
        "backbone.layers.0.out_proj.weight": (16, 16),
        "backbone.norm.weight": (16,), "backbone.norm.bias": (16,),
        "head.query": (16,), "head.fc1.weight": (32, 16), "head.fc1.bias": (32,),
        "head.fc2.weight": (32, 32), "head.fc2.bias": (32,), "head.fc3.weight": (2, 32), "head.fc3.bias": (2,),
    }


def test_starting_decays_are_s4d_real():
    torch.testing.assert_close(MKIDEnergySSM().backbone.layers[0].A, -torch.arange(1.0, 9.0).repeat(16, 1))


SIZES = [{}, {"n_layers": 2, "expand": 2}, {"d_model": 8, "d_state": 3, "d_conv": 2}, {"d_conv": 1}]


@pytest.mark.parametrize("sizes", SIZES)
def test_recurrent_equals_parallel(sizes, windows):
    model = perturbed(**sizes).double()
    with torch.no_grad():
        for parallel, recurrent in zip(model(windows.double()), model.recurrent(windows.double()), strict=True):
            torch.testing.assert_close(parallel, recurrent, rtol=1e-11, atol=1e-11)


def test_recurrent_equals_parallel_in_float32(windows):
    """The specification allows 5 % of sigma; float32 rounding is a thousand times smaller."""
    model = perturbed()
    long = torch.randn(3, 426, 2, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        for x in (windows, long):
            (mu, logvar), (mu_step, logvar_step) = model(x), model.recurrent(x)
            assert ((mu - mu_step).abs() / torch.exp(logvar / 2)).max() < 5e-5
            torch.testing.assert_close(logvar, logvar_step, rtol=1e-4, atol=1e-4)


def test_step_gives_the_features_of_the_window(windows):
    model = perturbed()
    with torch.no_grad():
        features, state = model.backbone(windows), model.initial_state(len(windows))
        assert [tuple(s.h.shape) for s in state] == [(6, 16, 8)] and tuple(state[0].conv.shape) == (6, 3, 16)
        for t in range(windows.shape[1]):
            feature, state = model.backbone.step(windows[:, t], state)
            torch.testing.assert_close(feature, features[:, t], rtol=1e-4, atol=1e-5)


def test_features_are_causal(windows):
    model, changed = perturbed(), windows.clone()
    changed[:, 60:] += 1.0
    with torch.no_grad():
        before, after = model.backbone(windows), model.backbone(changed)
    assert torch.equal(before[:, :60], after[:, :60]) and not torch.equal(before[:, 60:], after[:, 60:])


def test_padding_has_no_influence(windows):
    model, lengths = perturbed(), torch.tensor([1, 2, 3, 50, 125, 126])
    padded = windows.clone()
    for row, length in enumerate(lengths):
        padded[row, length:] = 1e3
    with torch.no_grad():
        masked, stepped = model(padded, lengths), model.recurrent(padded, lengths)
        for row, length in enumerate(lengths):
            alone = model(windows[row:row + 1, :length])
            for k in (0, 1):
                torch.testing.assert_close(masked[k][row], alone[k][0], rtol=1e-4, atol=1e-5)
                torch.testing.assert_close(stepped[k][row], alone[k][0], rtol=1e-4, atol=1e-5)


def test_streaming_pool_survives_large_scores():
    head = EnergyHead(4, 8)
    with torch.no_grad():
        head.query.fill_(60.0)
        features = torch.randn(3, 20, 4, generator=torch.Generator().manual_seed(0))
        state = head.initial_pool(3)
        for t in range(20):
            state = head.pool_step(features[:, t], state)
        torch.testing.assert_close(state.numerator / state.denominator, head.pool(features), rtol=1e-5, atol=1e-6)


def test_every_parameter_gets_a_gradient(windows):
    model = perturbed()
    mu, logvar = model(windows)
    (mu.square() + logvar).sum().backward()
    assert [n for n, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0] == []


@pytest.mark.parametrize("sizes", [{"d_model": 0}, {"d_state": 2.0}, {"n_layers": True}])
def test_impossible_sizes(sizes):
    with pytest.raises(ModelError, match=next(iter(sizes))):
        MKIDEnergySSM(**sizes)


def test_impossible_inputs(windows):
    model = MKIDEnergySSM()
    for run in (model, model.recurrent):
        with pytest.raises(ModelError, match=r"\(6, 126, 3\)"):
            run(torch.zeros(6, 126, 3))
        with pytest.raises(ModelError, match="1 sample or more"):
            run(windows[:, :0])
        with pytest.raises(ModelError, match="expected 1 to 126"):
            run(windows, torch.tensor([0, 1, 2, 3, 4, 5]))
        with pytest.raises(ModelError, match="lengths has shape"):
            run(windows, torch.tensor([5]))
    with pytest.raises(ModelError, match="expected 1"):
        SSMBackbone().step(windows[:, 0], ())
    with pytest.raises(ModelError, match="expected \\(batch, 2\\)"):
        SSMBackbone().step(windows, SSMBackbone().initial_state(6))
