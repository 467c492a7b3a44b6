"""Networks: parameter counts, shapes and names (CC-30, CC-33)."""

import pytest
import torch
from torch import nn

from unsee.errors import UnseeError
from unsee.train.networks.zoo import CLASSIFIER_WEIGHTS, NETWORKS, CrossChannelNormalization, VggS, build_network

PARAMETERS = {
    "vgg16": 138_357_544,
    "vgg_s": 102_908_520,
    "squeezenet1_1": 1_235_496,
    "tiny_darknet": 1_042_104,
    "resnet18": 11_689_512,
}


def on_meta(name, classes=1000):
    with torch.device("meta"):
        return build_network(name, classes)


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameter_count(name):
    assert sum(parameter.numel() for parameter in on_meta(name).parameters()) == PARAMETERS[name]


@pytest.mark.parametrize("name", NETWORKS)
def test_class_count_sets_the_classifier_layer_and_the_logits(name):
    network = on_meta(name, 7).eval()
    assert network.state_dict()[CLASSIFIER_WEIGHTS[name]].shape[0] == 7
    assert network(torch.empty(2, 3, 224, 224, device="meta")).shape == (2, 7)


def test_vgg16_convolutions_have_the_known_count():
    assert sum(parameter.numel() for parameter in on_meta("vgg16").features.parameters()) == 14_714_688


def test_vgg_s_sizes():
    sizes, image = [], torch.empty(1, 3, 224, 224, device="meta")
    with torch.device("meta"):
        network = VggS()
    for layer in network.features:
        image = layer(image)
        if isinstance(layer, (nn.Conv2d, nn.MaxPool2d)) and image.shape[-1] not in sizes[-1:]:
            sizes.append(image.shape[-1])
    assert sizes == [109, 37, 33, 17, 6]


def test_names_are_torchvisions():
    vgg, resnet = on_meta("vgg16").state_dict(), on_meta("resnet18").state_dict()
    assert [name for name in vgg if name.endswith("weight")][-4:] == [
        "features.28.weight", "classifier.0.weight", "classifier.3.weight", "classifier.6.weight",
    ]  # fmt: skip
    assert len(vgg) == 32
    assert len(resnet) == 122
    for name in (
        "bn1.running_var",
        "layer2.0.downsample.0.weight",
        "layer2.0.downsample.1.bias",
        "layer4.1.conv2.weight",
    ):
        assert name in resnet
    assert "features.12.expand3x3.bias" in on_meta("squeezenet1_1").state_dict()


def test_local_response_normalisation_equals_torch_and_cc_30():
    image = torch.randn(2, 11, 4, 3)
    ours, theirs = CrossChannelNormalization(5, 5e-4, 0.75, 2.0), nn.LocalResponseNorm(5, 5e-4, 0.75, 2.0)
    torch.testing.assert_close(ours(image), theirs(image))
    case = CrossChannelNormalization(3, 0.3, 0.75, 1.0)(torch.tensor([1.0, 2, 3, 4]).reshape(1, 4, 1, 1))
    torch.testing.assert_close(case.flatten(), torch.tensor([0.7377879465, 1.0372216288, 1.0809927953, 1.5631798856]))


def test_unknown_network_is_named():
    with pytest.raises(UnseeError, match="unknown network 'alexnet'; known: vgg16"):
        build_network("alexnet", 10)
