"""The codebook: moving averages by hand, health on Gaussian and on clustered input, state that survives a save."""

import copy
import math

import pytest
import torch

from rtf_models.model import LightCurveCompressor, ResidualVectorQuantizer, VectorQuantizer


@pytest.mark.parametrize(("batch", "dim"), [(128, 2), (128, 64), (64, 64), (512, 256)])
def test_over_half_of_the_codes_live_after_200_steps(batch, dim):
    torch.manual_seed(0)
    quantizer = VectorQuantizer(512, dim)
    for _ in range(200):
        quantizer(torch.randn(batch, dim))
    quantizer.eval()
    used = quantizer(torch.randn(8192, dim))[2].unique()
    assert len(used) > 256
    norms = quantizer.codebook.weight.norm(dim=1)
    assert norms.max() < 3 * math.sqrt(dim)  # the original's: median 868 after one step


@pytest.mark.parametrize("share", [0.003, 0.001])
def test_a_rare_cluster_keeps_its_codes(share):
    """One in some hundred vectors, far from all others (a tidal disruption among supernovae): rare, not dead."""

    def draw(n):
        z, rare = torch.randn(n, 8), torch.rand(n) < share
        return torch.where(rare[:, None], 0.3 * z + 15, z), rare

    torch.manual_seed(0)
    quantizer = VectorQuantizer(64, 8)
    for _ in range(600):
        quantizer(draw(512)[0])
    quantizer.eval()
    z, rare = draw(40_000)
    error = (quantizer(z)[0].detach() - z).square().mean(1)
    assert rare.sum() > 10
    assert error[rare].mean() < 1.0  # 114 and 173 with codes restarted below 0.3 of the mean size
    assert error[~rare].mean() < 0.5
    assert len(quantizer(z)[2].unique()) > 56


def test_error_falls_well_below_the_variance():
    """Data on 8 dimensions of 64: quantisation must explain most of it, and a second codebook more."""
    torch.manual_seed(0)
    mixing = torch.randn(8, 64) / math.sqrt(8)
    errors = []
    for stages in (1, 2, 4):
        quantizer = ResidualVectorQuantizer(stages, 256, 64)
        for _ in range(200):
            quantizer(torch.randn(128, 8) @ mixing)
        quantizer.eval()
        z = torch.randn(2000, 8) @ mixing
        errors.append(float((quantizer(z)[0] - z).square().mean() / z.square().mean()))
    assert errors[0] < 0.5
    assert errors[1] < 0.6 * errors[0]
    assert errors[2] < 0.6 * errors[1]


def test_moving_averages_by_hand():
    quantizer = VectorQuantizer(2, 1, commitment_cost=0.25, ema_decay=0.9)
    quantizer.codebook.weight.data = torch.tensor([[0.0], [10.0]])
    quantizer.ema_embed_sum.copy_(quantizer.codebook.weight)
    quantizer._fresh = False
    z = torch.tensor([[1.0], [2.0], [12.0]], requires_grad=True)
    z_q, loss, indices = quantizer(z)
    assert indices.tolist() == [0, 0, 1]
    torch.testing.assert_close(z_q.detach(), torch.tensor([[0.0], [0.0], [10.0]]))
    torch.testing.assert_close(loss.detach(), torch.tensor(0.25 * (1 + 4 + 4) / 3))
    size = torch.tensor([0.9 + 0.1 * 2, 0.9 + 0.1 * 1])
    total = torch.tensor([[0.9 * 0 + 0.1 * 3], [0.9 * 10 + 0.1 * 12]])
    smooth = (size + 1e-5) / (size.sum() + 2e-5) * size.sum()
    torch.testing.assert_close(quantizer.ema_cluster_size, size)
    torch.testing.assert_close(quantizer.ema_embed_sum, total)
    torch.testing.assert_close(quantizer.codebook.weight.detach(), total / smooth[:, None])


def test_gradient_passes_straight_through():
    quantizer = VectorQuantizer(8, 3).eval()
    z = torch.randn(5, 3, requires_grad=True)
    z_q, loss, indices = quantizer(z)
    assert torch.equal(z_q, quantizer.codebook.weight[indices])  # to the bit: equal codes are equal fingerprints
    (z_q.sum() * 2).backward(retain_graph=True)
    torch.testing.assert_close(z.grad, torch.full((5, 3), 2.0))
    z.grad = None
    loss.backward()
    torch.testing.assert_close(z.grad, 0.25 * 2 * (z - z_q).detach() / 15)
    assert quantizer.codebook.weight.grad is None


def test_dead_code_takes_half_of_a_busy_ones_share():
    torch.manual_seed(0)
    quantizer = VectorQuantizer(4, 2)
    quantizer._fresh = False
    codes = torch.tensor([[0.0, 0], [1, 0], [0, 1], [50, 50]])
    quantizer.codebook.weight.data = codes.clone()
    quantizer.ema_cluster_size.copy_(torch.tensor([40.0, 10, 10, 1e-3]))
    quantizer.ema_embed_sum.copy_(codes * quantizer.ema_cluster_size[:, None])
    total = quantizer.ema_cluster_size[:3].sum() * 0.99 + 0.01 * 100
    quantizer(0.1 * torch.randn(100, 2))
    assert quantizer.codebook.weight[3].norm() < 1
    assert torch.isclose(quantizer.ema_cluster_size[3], quantizer.ema_cluster_size[0])
    torch.testing.assert_close(quantizer.ema_cluster_size.sum(), total)  # halves, none made


def test_evaluation_changes_nothing():
    quantizer = VectorQuantizer(16, 4)
    quantizer(torch.randn(32, 4))
    before = copy.deepcopy(quantizer.state_dict())
    quantizer.eval()
    quantizer(torch.randn(32, 4))
    for name, tensor in quantizer.state_dict().items():
        assert torch.equal(tensor, before[name])


def test_goes_on_bit_for_bit_from_its_state_dict():
    torch.manual_seed(0)
    data = torch.randn(12, 40, 6)
    first = VectorQuantizer(32, 6)
    for z in data[:6]:
        first(z)
    second = VectorQuantizer(32, 6)
    second.load_state_dict(first.state_dict())
    for quantizer in (first, second):
        torch.manual_seed(5)
        for z in data[6:]:
            quantizer(z)
    for name, tensor in first.state_dict().items():
        assert torch.equal(tensor, second.state_dict()[name]), name


def test_untrained_state_still_starts_from_data():
    quantizer = VectorQuantizer(8, 2)
    quantizer.load_state_dict(VectorQuantizer(8, 2).state_dict())
    quantizer(100 + torch.randn(64, 2))
    assert (quantizer.codebook.weight > 90).all()


def test_mixed_precision_chooses_and_follows_the_same():
    """Codes 1e-3 apart around 10 are one number in bfloat16."""
    found = []
    for mixed in (False, True):
        torch.manual_seed(0)
        quantizer = VectorQuantizer(16, 2)
        with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
            for _ in range(3):
                indices = quantizer(10 + 1e-3 * torch.randn(256, 2))[2]
        found.append((indices, quantizer.state_dict()))
    assert torch.equal(found[0][0], found[1][0])
    assert torch.equal(found[0][1]["codebook.weight"], found[1][1]["codebook.weight"])


def test_one_codebook_keeps_the_keys():
    assert "vq.codebook.weight" in LightCurveCompressor("vqvae").state_dict()
    several = LightCurveCompressor("vqvae", n_codebooks=3, num_codes=16)
    assert "vq.stages.2.codebook.weight" in several.state_dict()
    x = torch.randn(4, 6, 7)
    assert several(x)[2]["indices"].shape == (4, 3)
    assert several.compression_info()["compressed_bytes"] == 2  # 3 x 4 bits
    assert several.compute_loss(x, None, several(x))["codebook_usage"] <= 4
