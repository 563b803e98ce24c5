"""Our transformer layers against torch.nn.TransformerEncoder."""

import pytest
import torch
from torch import nn

from rtf_models.model import ModelError, Time2Vec, TransformerStack


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
