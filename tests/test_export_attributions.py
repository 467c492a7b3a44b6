"""Exported gradients and activation maps against captum's."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import unsee
from unsee.export.bundles.attribution_contents import AttributionContents
from unsee.export.bundles.bundle import read_bundle
from unsee.export.graph.layers import over_pixels
from unsee.export.graph.step import PixelClassifier
from unsee.export.parity.levels import relative_error
from unsee.export.runtime.attributor import Attributor

attr = pytest.importorskip("captum.attr")
SIZE, CLOSE, STEPS = 32, 1e-4, 8
SPEC = unsee.InputSpec(SIZE)


class Net(nn.Module):
    """A network with a shortcut round the layer that is looked at, and an activation in place behind it."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.start, self.layer = nn.Conv2d(3, 8, 3, 2, 1), nn.Conv2d(8, 8, 3, 1, 1)
        self.norm, self.act, self.head = nn.BatchNorm2d(8), nn.ReLU(inplace=True), nn.Linear(8, 5)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        values = self.norm(self.start(image))
        return self.head((values + self.act(self.layer(values))).mean((2, 3)))


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (3, SIZE, SIZE, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def pixels(images: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(images.transpose(0, 3, 1, 2).astype(np.float32))


@pytest.fixture(scope="module")
def network() -> PixelClassifier:
    return PixelClassifier(Net(), SPEC).eval()


@pytest.fixture(scope="module")
def gradient(tmp_path_factory: pytest.TempPathFactory) -> Attributor:
    return opened(tmp_path_factory.mktemp("gradient") / "bundle", what="gradient")


def opened(path: Path, **options) -> Attributor:
    unsee.export(Net(), path, input=SPEC, **options)
    return Attributor.of_bundle(read_bundle(path, AttributionContents), "cpu")


def test_the_gradient_is_captums_saliency(gradient, images, pixels, network) -> None:
    target = [1, 0, 4]
    expected = attr.Saliency(network).attribute(pixels, target, abs=False).numpy()
    found = gradient.attribute(images, np.array(target))
    assert relative_error(found.values, expected).max() < CLOSE
    assert relative_error(found.logits, network(pixels).detach().numpy()).max() < CLOSE


def test_integrated_gradients_are_a_loop_of_the_graph(gradient, pixels, network) -> None:
    """The mean gradient on the way from black, times the image: the graph takes any float image."""
    method = attr.IntegratedGradients(network)
    expected = method.attribute(pixels, target=2, n_steps=STEPS, method="riemann_middle").numpy()
    cotangent = np.tile(np.eye(5, dtype=np.float32)[2], (len(pixels), 1))
    total = np.zeros(pixels.shape, np.float32)
    for step in range(STEPS):
        share = np.float32((step + 0.5) / STEPS)
        total += gradient.runner.run({"image": share * pixels.numpy(), "cotangent": cotangent})["gradient"]
    assert relative_error(total / STEPS * pixels.numpy(), expected).max() < CLOSE


def test_grad_cam_is_captums(tmp_path, images, pixels, network) -> None:
    target = [1, 0, 4]
    method = attr.LayerGradCam(network, network.network.layer)
    expected = method.attribute(pixels, target, relu_attributions=True)[:, 0].detach().numpy()
    found = opened(tmp_path / "bundle", what="cam", layer="layer").attribute(images, np.array(target)).values
    assert expected.any() and relative_error(found, expected).max() < CLOSE


def test_layer_cam_weighs_every_pixel(tmp_path, images, pixels, network) -> None:
    activation = attr.LayerActivation(network, network.network.layer).attribute(pixels)
    weights = attr.LayerGradientXActivation(network, network.network.layer, multiply_by_inputs=False)
    slope = weights.attribute(pixels, target=3).clamp(min=0)
    expected = (activation * slope).sum(1).clamp(min=0).detach().numpy()
    found = opened(tmp_path / "bundle", what="cam", layer="layer", cam="layer-cam").attribute(images, np.full(3, 3))
    assert expected.any() and relative_error(found.values, expected).max() < CLOSE


def test_the_top_class_is_taken_where_none_is_named(gradient, images) -> None:
    top = gradient.attribute(images)
    assert (top.targets == top.logits.argmax(1)).all()
    np.testing.assert_array_equal(top.values, gradient.attribute(images, top.targets).values)
    assert gradient.attribute(images[:0]).values.shape == (0, 3, SIZE, SIZE)


@pytest.mark.parametrize(
    "targets", [np.array([0, 1]), np.array([0, 1, 5]), np.array([0, 1, -1]), np.array([0.5, 1, 2])]
)
def test_what_is_no_class_is_refused(gradient, images, targets) -> None:
    with pytest.raises(unsee.UnseeError, match="targets"):
        gradient.attribute(images, targets)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((2, 8, 7, 7), (2, 8, 7, 7)),
        ((2, 7, 7, 8), (2, 8, 7, 7)),
        ((2, 197, 16), (2, 16, 14, 14)),
        ((2, 201, 16), (2, 16, 14, 14)),
    ],
)
def test_layers_of_several_layouts_make_maps(shape, expected) -> None:
    assert over_pixels(torch.zeros(shape)).shape == expected


@pytest.mark.parametrize("shape", [(2, 8), (2, 45, 16)])
def test_layers_that_make_no_map_are_refused(shape) -> None:
    with pytest.raises(unsee.UnseeError, match="belong"):
        over_pixels(torch.zeros(shape))
