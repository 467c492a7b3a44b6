"""The anchor network and the nearest-anchor classifier (spec 3): worked cases, properties, layers."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn.functional import logsigmoid

from unsee.train.networks.maps.mapper_metadata import PromoterOptions
from unsee.train.networks.maps.promoter import (
    AnchorNetwork,
    SubpixelUpsampling,
    distance,
    region_weights,
    weighted_mean,
)

SMALL = PromoterOptions(channels=4, embedding=6, grid=4)
KINDS = [("paper", "conv"), ("paper", "fc"), ("release", "conv"), ("release", "fc")]


def anchor_network(preset="paper", **changes) -> AnchorNetwork:
    torch.manual_seed(0)
    return AnchorNetwork("unsee_small", preset, replace(SMALL, **changes)).eval().double()


def samples(count: int, side: int = 48) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    shape = (count, 1, side, side)
    images = torch.randn((count, 3, side, side), generator=generator, dtype=torch.float64)
    return images, torch.rand(shape, generator=generator, dtype=torch.float64)


def parameters(module: torch.nn.Module) -> int:
    return sum(value.numel() for value in module.parameters())


def test_cc_23_nearest_anchor():
    pixel = torch.zeros(1, 2, 1, 1, dtype=torch.float64)
    to_salient, to_background = (
        distance(pixel, torch.tensor([anchor], dtype=torch.float64)) for anchor in ((3.0, 4.0), (0.0, 6.0))
    )
    np.testing.assert_allclose([float(to_salient), float(to_background)], [5, 6], rtol=1e-9)
    logit = to_background - to_salient
    assert float(torch.sigmoid(logit)) == pytest.approx(0.7310585786, rel=1e-6)
    assert float(logsigmoid(logit)) == pytest.approx(-0.3132616875, rel=1e-6)
    assert float(logsigmoid(-logit)) == pytest.approx(-1.3132616875, rel=1e-6)


@pytest.mark.parametrize(("rectified", "conv", "fc"), [(True, (2, 0.5), (2, 0)), (False, (2, -1), (2, -1))])
def test_cc_26_averaging_after_or_before_the_layer(rectified, conv, fc):
    network = AnchorNetwork("unsee_small", "release", replace(SMALL, embedding=2))
    network.regions = layer = torch.nn.Sequential(
        torch.nn.Conv2d(2, 2, 1), torch.nn.ReLU() if rectified else torch.nn.Identity()
    )
    with torch.no_grad():
        layer[0].weight.copy_(torch.tensor([[1.0, 1.0], [0.0, 2.0]])[:, :, None, None])
        layer[0].bias.copy_(torch.tensor([0.0, -1.0]))
        features = torch.tensor([[1.0, -1.0], [3.0, 1.0]]).T.reshape(1, 2, 1, 2)
        weight = torch.ones(1, 1, 1, 2)
        np.testing.assert_allclose(network.anchor(layer(features), weight)[0], conv)
        assert tuple(layer(weighted_mean(features, weight)[:, :, None, None]).flatten()) == fc


def test_fully_connected_anchor_is_the_layer_of_the_mean():
    network = anchor_network("release", region="fc")
    images, prior = samples(1)
    _, features = network.embed(images)
    small = torch.nn.functional.avg_pool2d(prior, 4)
    mean = (
        sum(small[0, 0, row, column] * features[0, :, row, column] for row in range(12) for column in range(12))
        / small.sum()
    )
    np.testing.assert_allclose(
        network.anchor(features, small)[0].detach(), network.regions(mean[None])[0].detach(), rtol=1e-9
    )


def test_cc_27_pixel_shuffle():
    upsampling = SubpixelUpsampling(8, 2, 2, rectified=False).eval()
    with torch.no_grad():
        upsampling.convolution.weight.copy_(torch.eye(8)[:, :, None, None])
        found = upsampling(torch.arange(8.0).reshape(1, 8, 1, 1))[0] * (1 + upsampling.normalization.eps) ** 0.5
    np.testing.assert_allclose(found, [[[0, 1], [2, 3]], [[4, 5], [6, 7]]], rtol=1e-6)


def test_upsampling_starts_without_a_checkerboard():
    upsampling = SubpixelUpsampling(5, 3, 4, rectified=True).eval()
    found = upsampling(torch.randn(1, 5, 2, 2)).detach()
    corners = found[:, :, ::4, ::4].repeat_interleave(4, 2).repeat_interleave(4, 3)
    np.testing.assert_allclose(found, corners, atol=1e-6)
    assert len({float(value) for value in found[0, :, 0, 0]}) > 1


def test_cc_33_parameters():
    network = AnchorNetwork("vgg16", "release", PromoterOptions())
    convolutions = [parameters(layer.convolution) for layer in network.upsampling]
    assert convolutions == [4_160, 33_024, 263_168, 525_312, 525_312]
    assert sum(parameters(layer.normalization) for layer in network.upsampling) == 6_784
    assert parameters(network.pixels) == 164_352
    assert network.regions is None  # shared with the pixels
    assert parameters(network.backbone) == 14_714_688
    total = 14_714_688 + 1_350_976 + 6_784 + 164_352
    assert parameters(network) == total
    with torch.no_grad():
        pixels, regions = network.eval().embed(torch.zeros(1, 3, 32, 32))
    assert pixels.shape == (1, 512, 32, 32)
    assert regions is pixels


@pytest.mark.parametrize(("preset", "region"), KINDS)
def test_cc_34g_swapped_regions_give_swapped_maps(preset, region):
    network = anchor_network(preset, region=region)
    images, prior = samples(1)
    with torch.no_grad():
        one, other = network.promote(images, prior), network.promote(images, 1 - prior)
    np.testing.assert_allclose(one, 1 - other, atol=1e-9)


def test_cc_34h_a_shift_of_every_embedding_changes_nothing():
    network = anchor_network("release")
    images, prior = samples(1)
    with torch.no_grad():
        before = network.promote(images, prior)
        network.pixels.bias += torch.linspace(-2, 3, 6, dtype=torch.float64)
        np.testing.assert_allclose(network.promote(images, prior), before, atol=1e-9)


@pytest.mark.parametrize(("preset", "region"), KINDS)
def test_cc_34k_a_batch_equals_single_runs(preset, region):
    network = anchor_network(preset, region=region, iterations=2)
    images, prior = samples(3)
    with torch.no_grad():
        together = network.promote(images, prior)
        alone = [network.promote(images[i : i + 1], prior[i : i + 1]) for i in range(3)]
    np.testing.assert_allclose(together, torch.cat(alone), rtol=1e-9)


def test_passes_are_weighted_as_in_c5_and_the_first_replaces_the_prior():
    images, prior = samples(1)
    networks = [anchor_network(iterations=count) for count in (1, 2, 3)]
    with torch.no_grad():
        found = [network.promote(images, prior) for network in networks]
        embedded = networks[0].embed(images)
        current, expected = prior, []
        for t in range(3):
            nearest = torch.sigmoid(networks[0].logits(*embedded, current))
            current = t / (t + 1) * current + 1 / (t + 1) * nearest
            expected.append(current)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9)


@pytest.mark.parametrize("level", [0.0, 1.0])
def test_an_empty_region_gives_no_nan_in_map_or_gradient(level):
    network = anchor_network()
    images, prior = samples(2)
    logits = network(images, torch.full_like(prior, level))
    logits.sum().backward()
    assert logits.isfinite().all()
    assert all(value.grad.isfinite().all() for value in network.parameters() if value.grad is not None)


def test_embeddings_on_the_anchor_have_a_finite_gradient():
    pixels = torch.ones(1, 3, 2, 2, requires_grad=True)
    distance(pixels, torch.ones(1, 3)).sum().backward()
    assert torch.equal(pixels.grad, torch.zeros(1, 3, 2, 2))


def test_hard_regions():
    prior = torch.tensor([[[[0.0, 0.2, 0.5, 0.9]]], [[[0.8, 1.0, 0.9, 0.9]]]])
    assert region_weights(prior, "soft") is prior
    assert region_weights(prior, "half").flatten(1).tolist() == [[0, 0, 1, 1], [1, 1, 1, 1]]
    assert region_weights(prior, "adaptive").flatten(1).tolist() == [[0, 0, 0, 1], [0, 1, 0, 0]]  # at .8; at most 1


def test_a_grid_of_cells_equals_cells_repeated_over_their_pixels():
    network = anchor_network()
    images, prior = samples(1)
    with torch.no_grad():
        _, regions = network.embed(images)
        small = network.anchor(regions, torch.nn.functional.avg_pool2d(prior, 4))
        large = weighted_mean(regions.repeat_interleave(4, 2).repeat_interleave(4, 3), prior)
    np.testing.assert_allclose(small, large, rtol=1e-9)
