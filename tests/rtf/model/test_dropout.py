"""Our dropout has the distribution of torch's, and its gradient."""

import pytest
import torch

from rtf_models.model.dropout import Dropout, dropout


@pytest.mark.parametrize("p", [0.1, 0.3, 0.5, 0.998])
def test_distribution(p):
    torch.manual_seed(0)
    x = torch.ones(1000, 1001)  # no multiple of 8
    out = dropout(x, p, True)
    rounded = round(p * 256) / 256
    n = x.numel()
    assert abs((out == 0).double().mean() - rounded) < 4 * (rounded * (1 - rounded) / n) ** 0.5
    torch.testing.assert_close(out[out != 0].unique(), torch.tensor([1 / (1 - rounded)]))
    dropped = (out == 0).float()
    for shift in (1, 2, 7, 8, 64):  # bytes of a number, and numbers, are independent
        pair = (dropped.flatten()[shift:] * dropped.flatten()[:-shift]).double().mean()
        assert abs(pair - rounded**2) < 6 * rounded / n**0.5
    by_byte = dropped.flatten()[: n // 8 * 8].view(-1, 8).double().mean(0)
    assert (by_byte - rounded).abs().max() < 6 * (8 * rounded * (1 - rounded) / n) ** 0.5


def test_seeded_and_off_in_evaluation():
    x = torch.randn(5, 7)
    module = Dropout(0.4)
    torch.manual_seed(1)
    first = module(x)
    torch.manual_seed(1)
    assert torch.equal(first, module(x)) and not torch.equal(first, module(x))
    assert module.eval()(x) is x and not module.state_dict()
    assert dropout(x, 0.0, True) is x
    assert torch.equal(dropout(x, 1.0, True), torch.zeros_like(x))  # torch's own


def test_gradient_and_half_precision():
    x = torch.ones(100, dtype=torch.bfloat16, requires_grad=True)
    out = dropout(x, 0.5, True)
    assert out.dtype == torch.bfloat16
    out.sum().backward()
    assert torch.equal(x.grad, out.detach())


def test_small_probability_is_not_lost():
    torch.manual_seed(0)
    assert 0 < (dropout(torch.ones(200_000), 0.001, True) == 0).float().mean() < 0.002
