"""The custom scan against the Brevitas quantiser called once a sample: bitwise equal values and gradients."""

import numpy as np
import pytest
import torch

from venom_hw.quantize.formats import TensorFormat
from venom_hw.quantize.quantisers import brevitas_quantiser
from venom_hw.quantize.scan import quantised_scan

T, B, D, N = 40, 5, 3, 4


def problem(dtype, fmt_bits, rounding="half_even", seed=0):
    rng = np.random.default_rng(seed)
    fmt = TensorFormat(fmt_bits, rng.integers(5, 9, (1, D, N)), True, rounding)
    g = torch.from_numpy(rng.integers(0, 256, (T, B, D, N)) / 1024).to(dtype)
    b = torch.from_numpy(np.rint(rng.normal(0, 2.0, (T, B, D, N)) * 2**11) / 2**11).to(dtype)
    return fmt, g, b


def by_samples(fmt, g, b):
    q_h = brevitas_quantiser(fmt).to(g.dtype)
    h, out = torch.zeros_like(b[0]), []
    for t in range(len(g)):
        h = q_h(h - g[t] * h + b[t])
        out.append(h)
    return torch.stack(out)


@pytest.mark.parametrize("rounding", ["half_even", "floor"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("bits", [16, 10])  # 10 bits: many states saturate
def test_values_are_bitwise_equal(dtype, bits, rounding):
    fmt, g, b = problem(dtype, bits, rounding)
    fast, slow = quantised_scan(g, b, fmt), by_samples(fmt, g, b)
    assert torch.equal(fast, slow)
    low, high = fmt.code_range
    codes = fast.double() / torch.as_tensor(fmt.lsb)
    saturated = ((codes == low) | (codes == high)).double().mean()
    assert (saturated > 0.02) if bits == 10 else (saturated == 0)


@pytest.mark.parametrize("bits", [16, 10])
def test_gradients_are_bitwise_equal_where_float64_is_exact(bits):
    fmt, g, b = problem(torch.float64, bits, seed=1)
    g, b = g[:4], b[:4]  # four steps of 10-bit decays: every product fits in 53 bits
    weight = torch.from_numpy(np.random.default_rng(2).integers(-4, 5, b.shape).astype(float))
    results = []
    for scan in (lambda g, b: quantised_scan(g, b, fmt), lambda g, b: by_samples(fmt, g, b)):
        gg, bb = g.clone().requires_grad_(), b.clone().requires_grad_()
        (scan(gg, bb) * weight).sum().backward()
        results.append((gg.grad, bb.grad))
    assert torch.equal(results[0][0], results[1][0]) and torch.equal(results[0][1], results[1][1])
    assert results[0][0].abs().max() > 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gradients_of_a_long_window(dtype):
    fmt, g, b = problem(dtype, 10, seed=3)
    weight = torch.randn(b.shape, dtype=dtype, generator=torch.Generator().manual_seed(0))
    results = []
    for scan in (lambda g, b: quantised_scan(g, b, fmt), lambda g, b: by_samples(fmt, g, b)):
        gg, bb = g.clone().requires_grad_(), b.clone().requires_grad_()
        (scan(gg, bb) * weight).sum().backward()
        results.append((gg.grad, bb.grad))
    tolerance = 1e-5 if dtype == torch.float32 else 1e-13
    for fast, slow in zip(*results, strict=True):
        assert torch.allclose(fast, slow, rtol=tolerance, atol=tolerance * slow.abs().max())
        assert torch.equal(fast == 0, slow == 0)  # the same states pass no gradient
