"""Backbones: names of parameters, sizes of features, dilation, weights of classifiers."""

import numpy as np
import pytest
import torch

from unsee.train.networks.checkpoints import Classifier
from unsee.train.networks.maps.backbones import PLANS, Backbone
from unsee.train.networks.metadata import InputSpec, Metadata
from unsee.train.networks.zoo import build_network

NAMES = tuple(PLANS)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dilated", [False, True])
def test_features_are_exact_parts_of_the_input(name, dilated):
    backbone = Backbone(name, dilated)
    with torch.no_grad():
        outputs = backbone(torch.zeros(1, 3, 64, 80))
    for output, (channels, stride) in zip(outputs, backbone.taps, strict=True):
        assert output.shape == (1, channels, 64 // stride, 80 // stride)
    finest = {"vgg16": 1, "squeezenet1_1": 2, "unsee_small": 4}[name]
    coarsest = {"vgg16": 4, "squeezenet1_1": 8, "unsee_small": 8}[name] if dilated else 16
    assert (backbone.taps[0][1], backbone.taps[-1][1]) == (finest, coarsest)


def test_blocks_finer_than_asked_are_left_out():
    assert Backbone("vgg16", dilated=False, finest=2).taps == ((128, 2), (256, 4), (512, 8), (512, 16))


def test_vgg16_is_dilated_as_in_the_paper():
    backbone = Backbone("vgg16", dilated=True)
    assert backbone.taps == ((64, 1), (128, 2), (256, 4), (512, 4), (512, 4))
    dilations = [layer.dilation[0] for layer in backbone.features if isinstance(layer, torch.nn.Conv2d)]
    assert dilations == [1] * 7 + [2] * 3 + [4] * 3


@pytest.mark.parametrize("name", NAMES)
def test_weights_come_from_a_classifier_by_name(name):
    torch.manual_seed(0)
    with torch.device("meta"):
        expected = {key for key in build_network(name, 3).state_dict() if key.startswith("features.")}
    if name != "vgg16":
        network = build_network(name, 3)
        backbone = Backbone(name, dilated=True)
        backbone.start_from(Classifier(network, Metadata(name, InputSpec(), 3), ()))
        for key, value in backbone.state_dict().items():
            np.testing.assert_array_equal(value, network.state_dict()[key])
    assert set(Backbone(name, dilated=False).state_dict()) == expected


def test_undilated_features_are_the_classifiers():
    torch.manual_seed(0)
    network, image = build_network("unsee_small", 2), torch.randn(1, 3, 32, 48)
    backbone = Backbone("unsee_small", dilated=False)
    backbone.start_from(Classifier(network, Metadata("unsee_small", InputSpec(), 2), ()))
    assert torch.equal(backbone(image)[-1], network.features(image))


def test_blocks_of_vgg16_end_with_their_last_rectifier():
    backbone, image = Backbone("vgg16", dilated=False), torch.randn(1, 3, 32, 48)
    for place, output in zip((3, 8, 15, 22, 29), backbone(image), strict=True):
        assert torch.equal(output, backbone.features[: place + 1](image))
        assert isinstance(backbone.features[place], torch.nn.ReLU)
