"""Self-attention (spec 4.2): the worked case, blocks against the dense form, memory, positions in any order."""

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from unsee.train.networks.maps.attention import SelfAttention, blocked_attention, dense_attention


def attention_picking(channel: int, channels: int = 8, block: int = 1) -> SelfAttention:
    """Query and key pick one channel, the value is the input."""
    layer = SelfAttention(channels, block)
    with torch.no_grad():
        for convolution in (layer.query, layer.key, layer.value):
            convolution.weight.zero_()
            convolution.bias.zero_()
        layer.query.weight[0, channel] = layer.key.weight[0, channel] = 1
        layer.value.weight[:, :, 0, 0] = torch.eye(channels)
    return layer


def randomised(layer: torch.nn.Module, seed: int = 0) -> torch.nn.Module:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for value in layer.parameters():
            value.copy_(torch.randn(value.shape, generator=generator) * 0.5)
    return layer


def test_cc_29_two_positions():
    image = torch.zeros(1, 8, 1, 2)
    image[0, 0, 0] = torch.tensor([1.0, 2.0])
    image[0, 1, 0, 1] = 1
    layer = attention_picking(0)
    assert torch.equal(layer(image), image)  # gamma starts at 0
    with torch.no_grad():
        layer.gamma.fill_(0.5)
        found = layer(image)[0, :2, 0].T.numpy()
    np.testing.assert_allclose(found, [[1.8655292893, 0.3655292893], [2.9403985390, 1.4403985390]], rtol=1e-6)
    query = torch.tensor([[[1.0], [2.0]]])
    attended = dense_attention(query, query, image[0, :2, 0].T[None])
    expected = [[1.7310585786, 0.7310585786], [1.8807970780, 0.8807970780]]
    np.testing.assert_allclose(attended[0].numpy(), expected, rtol=1e-6)


def naive_attention(query: np.ndarray, key: np.ndarray, value: np.ndarray) -> np.ndarray:
    rows = []
    for one in query:
        weights = [np.exp(np.dot(one, other)) for other in key]
        rows.append(sum(weight * row for weight, row in zip(weights, value, strict=True)) / sum(weights))
    return np.array(rows)


def test_dense_attention_equals_loops():
    random = np.random.default_rng(0)
    query, key, value = (random.normal(size=shape) for shape in ((5, 2), (7, 2), (7, 3)))
    found = dense_attention(*(torch.from_numpy(values)[None] for values in (query, key, value)))[0]
    np.testing.assert_allclose(found.numpy(), naive_attention(query, key, value), rtol=1e-12)


@pytest.mark.parametrize("block", [1, 5, 23, 100])
def test_cc_34j_blocks_give_dense_values_and_gradients(block):
    generator = torch.Generator().manual_seed(1)
    inputs = [
        torch.randn(shape, generator=generator, requires_grad=True) for shape in ((2, 23, 3), (2, 17, 3), (2, 17, 5))
    ]
    slope = torch.randn((2, 23, 5), generator=generator)
    dense, blocked = dense_attention(*inputs), blocked_attention(*inputs, block)
    np.testing.assert_allclose(blocked.detach(), dense.detach(), atol=1e-5)
    with torch.no_grad():
        np.testing.assert_allclose(blocked_attention(*inputs, block), dense.detach(), atol=1e-5)
    for one, other in zip(*(torch.autograd.grad(result, inputs, slope) for result in (dense, blocked)), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_gradients_pass_a_numerical_check():
    inputs = [
        torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in ((1, 5, 2), (1, 4, 2), (1, 4, 3))
    ]
    assert torch.autograd.gradcheck(lambda *tensors: blocked_attention(*tensors, 2), inputs)


def test_cc_34i_permuted_positions_give_permuted_results():
    layer = randomised(SelfAttention(16, block=7))
    image = torch.randn(1, 16, 5, 6)
    order = torch.randperm(30)
    shuffled = image.flatten(2)[:, :, order].reshape(1, 16, 5, 6)
    with torch.no_grad():
        expected = layer(image).flatten(2)[:, :, order]
        np.testing.assert_allclose(layer(shuffled).flatten(2), expected, atol=1e-5)


class LargestTensor(TorchDispatchMode):
    """Notes the size in elements of the largest tensor that any operator makes."""

    def __init__(self) -> None:
        super().__init__()
        self.largest = 0

    def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
        result = function(*arguments, **(keywords or {}))
        for value in torch.utils._pytree.tree_leaves(result):
            if isinstance(value, torch.Tensor):
                self.largest = max(self.largest, value.numel())
        return result


@pytest.mark.parametrize("side", [56, pytest.param(112, marks=pytest.mark.slow)])
def test_no_map_of_all_queries_by_all_keys_is_made(side):
    layer = randomised(SelfAttention(8, block=64))
    image = torch.randn(1, 8, side, side, requires_grad=True)
    with LargestTensor() as seen:
        layer(image).sum().backward()
    assert seen.largest == 64 * side**2


def test_pooled_keys_are_means_of_cells():
    layer = randomised(SelfAttention(8, block=10, pooled=2))
    exact = SelfAttention(8, block=10)
    exact.load_state_dict(layer.state_dict())
    blocks = torch.randn(1, 8, 3, 2).repeat_interleave(2, 2).repeat_interleave(2, 3)
    with torch.no_grad():  # on cells of equal values, means lose nothing
        np.testing.assert_allclose(layer(blocks), exact(blocks), atol=1e-5)
