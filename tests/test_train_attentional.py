"""The attentional recurrent network (spec 4): normalisation, recurrence, sizes of layers and maps."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from unsee.errors import UnseeError
from unsee.train.networks.maps.attentional import AttentionalNetwork, RecurrentConvolution
from unsee.train.networks.maps.mapper_metadata import AttentionalOptions
from unsee.train.networks.zoo import CrossChannelNormalization, build_network

SMALL = AttentionalOptions(widths=(16, 8, 8), recurrent=8, grid=4, block=10)


def parameters(module: torch.nn.Module) -> int:
    return sum(value.numel() for value in module.parameters())


@pytest.mark.parametrize(
    ("beta", "expected"),
    [
        (0.75, [0.7377879465, 1.0372216288, 1.0809927953, 1.5631798856]),
        (1.0, [2 / 3, 5 / 6, 10 / 13, 8 / 7]),
    ],
)
def test_cc_30_normalisation(beta, expected):
    values = torch.tensor([1.0, 2.0, 3.0, 4.0]).reshape(1, 4, 1, 1)
    found = CrossChannelNormalization(3, 0.3, beta, 1.0)(values)
    np.testing.assert_allclose(found.flatten(), expected, rtol=1e-6)
    reference = torch.nn.LocalResponseNorm(3, 0.3, beta, 1.0)(values)
    np.testing.assert_allclose(found, reference, rtol=1e-6)


def test_cc_33_parameters_of_the_default_plan():
    network = AttentionalNetwork("vgg16", AttentionalOptions())
    assert parameters(network.backbone) == 14_714_688
    assert parameters(network) - parameters(network.backbone) == 3_100_549
    assert parameters(network.deepest) == 1_179_904
    attentions = [network.attention, *(level.attention for level in network.levels)]
    assert [parameters(layer) for layer in attentions] == [82_241, 20_641, 5_201, 5_201]
    assert [parameters(level.deconvolution) for level in network.levels] == [524_416, 131_136, 65_600]
    assert [parameters(level.recurrent) for level in network.levels] == [340_160, 188_544, 114_816]
    assert [parameters(level.convolution) for level in network.levels] == [295_040, 73_792, 73_792]
    assert parameters(network.head) == 65
    network.eval()
    with torch.no_grad():
        attended = network.attended(torch.zeros(1, 3, 32, 32))
        (logits,) = network(torch.zeros(1, 3, 32, 32))
    assert [tuple(level.shape[1:]) for level in attended] == [(256, 2, 2), (128, 4, 4), (64, 8, 8), (64, 16, 16)]
    assert logits.shape == (1, 1, 32, 32)


def test_cc_33_parameters_of_the_classifiers():
    with torch.device("meta"):
        vgg16, vgg_s = build_network("vgg16", 1000), build_network("vgg_s", 1000)
    assert parameters(vgg16) == 138_357_544
    assert parameters(vgg_s) == 102_908_520


def test_recurrent_convolution_equals_its_equations():
    torch.manual_seed(0)
    layer = RecurrentConvolution(5, 16, 4, 3)
    image = torch.randn(2, 5, 7, 6)
    conv, norm = torch.nn.functional.conv2d, torch.nn.LocalResponseNorm(3, 1e-3, 0.75, 1.0)
    state = torch.zeros(2, 16, 7, 6)
    for _ in range(4):  # x(-1) = 0: at t = 0 there is only the feed-forward term
        fed = conv(image, layer.feed_forward.weight, layer.feed_forward.bias, padding=1)
        state = norm(torch.relu(fed + conv(state, layer.recurrent.weight, padding=1)))
    expected = conv(state, layer.output.weight, layer.output.bias)
    np.testing.assert_allclose(layer(image).detach(), expected.detach(), atol=1e-5)


def test_cc_34l_without_recurrence_it_is_a_normalised_convolution():
    layer = RecurrentConvolution(3, 8, 4, 3)
    torch.nn.init.zeros_(layer.recurrent.weight)
    image = torch.randn(1, 3, 5, 9)
    once = layer.normalization(torch.relu(layer.feed_forward(image)))
    states = layer.states(image)
    assert len(states) == 4
    assert all(torch.equal(state, once) for state in states)


def test_cc_34k_a_batch_equals_single_runs():
    torch.manual_seed(1)
    network = AttentionalNetwork("unsee_small", SMALL).eval().double()
    for layer in (network.attention, *(level.attention for level in network.levels)):
        torch.nn.init.ones_(layer.gamma)
    images = torch.randn(3, 3, 48, 48, dtype=torch.float64)
    with torch.no_grad():
        together = network(images)[0]
        alone = torch.cat([network(image[None])[0] for image in images])
    np.testing.assert_allclose(together, alone, rtol=1e-9)


def test_deep_supervision_has_a_head_at_every_level_while_training():
    network = AttentionalNetwork("unsee_small", replace(SMALL, deep_supervision=True)).train()
    assert [tuple(logits.shape) for logits in network(torch.zeros(2, 3, 32, 32))] == [
        (2, 1, 32, 32), (2, 1, 2, 2), (2, 1, 4, 4),
    ]  # fmt: skip
    assert len(network.eval()(torch.zeros(2, 3, 32, 32))) == 1


def test_a_width_for_every_level():
    with pytest.raises(UnseeError, match="3 levels, but only 2 widths"):
        AttentionalNetwork("unsee_small", replace(SMALL, widths=(16, 8)))
