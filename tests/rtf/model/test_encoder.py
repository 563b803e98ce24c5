"""Our transformer layers against torch.nn.TransformerEncoder."""

import pytest
import torch
from torch import nn

from rtf_models.model import ModelError, Time2Vec, TransformerStack
from rtf_models.model import encoder as encoder_module


@pytest.fixture
def both():
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(32, 4, 48, 0.1, batch_first=True, norm_first=True)
    theirs = nn.TransformerEncoder(layer, 3, enable_nested_tensor=False).eval()
    for parameter in theirs.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    ours = TransformerStack(3, 32, 4, 48, 0.1).eval()
    ours.load_state_dict(theirs.state_dict())
    return ours, theirs


def test_same_numbers_with_padding(both):
    ours, theirs = both
    h, padding = torch.randn(3, 11, 32), torch.arange(11) >= torch.tensor([[11], [4], [1]])
    expected = theirs(h, src_key_padding_mask=padding)
    found = ours(h, ~padding)
    torch.testing.assert_close(found[~padding], expected[~padding], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(ours(h), theirs(h), atol=1e-5, rtol=1e-5)


def test_first_position_alone_is_the_first_of_all(both):
    ours, _ = both
    h, visible = torch.randn(3, 11, 32), torch.arange(11) < torch.tensor([[11], [4], [1]])
    torch.testing.assert_close(ours(h, visible, first_only=True), ours(h, visible)[:, :1], atol=1e-5, rtol=1e-5)


def test_training_computes_the_same_attention(both):
    """The path with our own dropout, at a probability that drops nothing, against the one of evaluation."""
    stack, _ = both
    h, visible = torch.randn(3, 11, 32), torch.arange(11) < torch.tensor([[11], [4], [1]])
    expected = [stack(h, visible)[visible], stack(h)]
    stack.train()
    for layer in stack.layers:
        layer.self_attn.dropout = layer.dropout.p = 1e-12
    torch.testing.assert_close(stack(h, visible)[visible], expected[0], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(stack(h), expected[1], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("first_only", [False, True])
def test_packed_and_padded_agree_with_gradients(both, monkeypatch, first_only):
    stack, _ = both
    visible = torch.arange(30) < torch.tensor([[30], [4], [1], [9]])
    results = []
    for packing in (True, False):
        monkeypatch.setattr(encoder_module, "worth_packing", lambda visible, answer=packing: answer)
        torch.manual_seed(1)
        h = torch.randn(4, 30, 32, requires_grad=True)
        out = stack(h, visible, first_only)
        out = out if first_only else out[visible]
        stack.zero_grad()
        out.square().sum().backward()
        results.append([out.detach(), h.grad[visible], *(p.grad.clone() for p in stack.parameters())])
    for packed, padded in zip(*results, strict=True):
        torch.testing.assert_close(packed, padded, atol=1e-4, rtol=1e-4)


def test_padding_is_not_computed(both):
    """The perceptron sees the visible positions alone, where there is padding enough to pay."""
    stack, rows = both[0], []
    stack.layers[0].linear1.register_forward_hook(lambda module, args, out: rows.append(out.numel() // 48))
    visible = torch.arange(30) < torch.tensor([[30], [4], [1]])
    stack(torch.randn(3, 30, 32), visible)
    visible = torch.arange(30) < torch.tensor([[30], [29]])
    stack(torch.randn(2, 30, 32), visible)
    assert rows == [35, 60]


def test_dropout_is_on_attention_residuals_and_perceptron():
    """Each of the places drops in training: with it alone switched on, two passes differ."""
    torch.manual_seed(0)
    stack, h = TransformerStack(1, 32, 4, 48, 0.5).train(), torch.randn(2, 5, 32)
    assert not torch.equal(stack(h), stack(h))
    stack.layers[0].dropout.p = 0.0
    assert not torch.equal(stack(h), stack(h))  # attention's
    stack.layers[0].self_attn.dropout = 0.0
    assert torch.equal(stack(h), stack(h))


def test_time2vec_known_answer_and_gradient():
    layer = Time2Vec(4)
    state = {"w0": [2.0], "b0": [0.5], "w": [1.0, 2.0, 3.0], "b": [0.0, 0.1, 0.2]}
    layer.load_state_dict({name: torch.tensor(value) for name, value in state.items()})
    t = torch.tensor([[0.0, 1.5]], requires_grad=True)
    expected = torch.tensor([[[0.5, 0.0, 0.1, 0.2], [3.5, 1.5, 3.1, 4.7]]])
    expected[..., 1:] = expected[..., 1:].sin()
    torch.testing.assert_close(layer(t), expected)
    layer(t).sum().backward()
    assert (t.grad != 0).all()


def test_impossible_sizes_are_named():
    from rtf_models.model import LightCurveCompressor

    with pytest.raises(ModelError, match="d_model is 100, expected a multiple of n_heads = 8"):
        LightCurveCompressor(d_model=100)
