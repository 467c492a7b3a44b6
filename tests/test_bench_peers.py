"""The peers: what they compute, against plain twins, and that those not installed are skipped with a reason."""

import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from unsee.bench.peers.peer_list import PEERS, find_peer
from unsee.bench.peers.plain import plain_network, plain_saliency
from unsee.bench.peers.scoring import scored_by_peer
from unsee.engine.cleanup.postprocess import finish
from unsee.engine.cleanup.presets import PRESETS
from unsee.errors import MissingExtraError, UnseeError
from unsee.export.bundles.descent_config import DescentConfig
from unsee.export.graph.eager import eager_descender
from unsee.tests.export_models import classifier, images

DESCENT = DescentConfig(iterations=3)


@pytest.fixture(scope="module")
def network():
    return classifier("squeezenet1_1", size=67)


def gradients(network, pixels):
    """The gradient of every image's top logit, as autograd gives it."""
    start = torch.from_numpy(pixels).permute(0, 3, 1, 2).float().requires_grad_()
    logits = plain_network(network)(start)
    (gradient,) = torch.autograd.grad(logits.max(1).values.sum(), start)
    return gradient


def scaled(maps):
    return (maps / maps.amax((1, 2), keepdim=True)).numpy()


def test_captum_saliency_is_the_gradients_largest_magnitude(network):
    pytest.importorskip("captum")
    pixels = images(5)
    expected = scaled(gradients(network, pixels).abs().amax(1))
    found = PEERS["captum-saliency"].open(network, DESCENT, "cpu")(pixels)
    assert found.shape == (5, 67, 67)
    # By the median: on some processors rounding flips a gate of a single image.
    assert np.median(np.abs(found - expected).max((1, 2))) < 1e-4


@pytest.mark.parametrize("name", ["captum-smoothgrad", "captum-integrated-gradients"])
def test_captum_takes_as_many_passes_as_the_descent(network, name, monkeypatch):
    pytest.importorskip("captum")
    passed = []
    maps = PEERS[name].open(network, DESCENT, "cpu")
    original = torch.nn.Conv2d.forward

    def counted(self, pixels):
        passed.append(len(pixels)) if self.in_channels == 3 else None
        return original(self, pixels)

    monkeypatch.setattr(torch.nn.Conv2d, "forward", counted)
    found = maps(images(2))
    assert sum(passed) - 2 * DESCENT.iterations in range(5)  # naming the class and, at times, a check of shapes
    assert found.shape == (2, 67, 67)
    assert found.max((1, 2)) == pytest.approx([1, 1])
    np.testing.assert_array_equal(maps(images(2)), found)


def test_integrated_gradients_are_the_mean_gradient_times_the_image(network):
    """By the Gauss-Legendre rule, captum's default, on the straight line from black."""
    pytest.importorskip("captum")
    pixels = images(1)
    places, weights = np.polynomial.legendre.leggauss(3)
    plain, start = plain_network(network), torch.from_numpy(pixels).permute(0, 3, 1, 2).float()
    target = plain(start).argmax(1).item()
    total = torch.zeros_like(start)
    for place, weight in zip(places, weights, strict=True):
        point = ((1 + place) / 2 * start).float().requires_grad_()
        (gradient,) = torch.autograd.grad(plain(point)[0, target], point)
        total += weight / 2 * gradient
    found = PEERS["captum-integrated-gradients"].open(network, DESCENT, "cpu")(pixels)
    np.testing.assert_allclose(found, scaled((total * start).abs().amax(1)), atol=1e-3)


@pytest.mark.parametrize("name", ["reference", "best"])
def test_plain_script_makes_the_maps_of_the_preset(network, name):
    """Else its speed would be that of something else; superpixels differ a little."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (1, 4, 5, 3), np.uint8).repeat(17, 1)[:, :67].repeat(14, 2)[:, :, :67]
    preset = replace(PRESETS[name], descent=replace(PRESETS[name].descent, iterations=1))
    plain = plain_saliency(plain_network(network), pixels[0], preset)
    delta = eager_descender(network, preset.descent).descend(pixels).delta
    ours = finish(delta, pixels, preset.post).final[0]
    assert plain.shape == (67, 67)
    assert np.abs(plain - ours).mean() < 0.1
    assert np.corrcoef(plain.ravel(), ours.ravel())[0, 1] > 0.8


def test_spectral_residual_finds_the_odd_one_out():
    cv2 = pytest.importorskip("cv2")
    if not hasattr(cv2, "saliency"):
        pytest.skip("the installed OpenCV has no contributed modules")
    stripes = np.zeros((2, 64, 96, 3), np.uint8)
    stripes[:, ::4] = 200
    stripes[0, 20:36, 60:76] = (255, 0, 0)
    found = PEERS["spectral-residual"].open(None, DESCENT, "cpu")(stripes)
    assert found.shape == (2, 64, 96)
    assert found.max((1, 2)) == pytest.approx([1, 1])
    inside = np.zeros((64, 96), bool)
    inside[18:38, 58:78] = True
    assert found[0][inside].mean() > 3 * found[0][~inside].mean()


def test_scoring_peer_scores_a_perfect_map():
    pytest.importorskip("py_sod_metrics")
    mask = np.zeros((30, 40), np.uint8)
    mask[5:20, 10:33] = 255
    (error,) = scored_by_peer([(mask, mask), (255 - mask, mask)], ["MAE"])
    assert error["mae"] == 0.5


@pytest.mark.parametrize(
    ("name", "package"),
    [("plain-loop", "skimage"), ("captum-saliency", "captum"), ("spectral-residual", "cv2")],
)
def test_missing_packages_are_named(network, name, package, monkeypatch):
    for module in [module for module in sys.modules if module.split(".")[0] == package]:
        monkeypatch.delitem(sys.modules, module)
    real = sys.meta_path
    monkeypatch.setattr(sys, "meta_path", [_Without(package), *real])
    with pytest.raises(MissingExtraError, match=r"pip install 'unsee\[peers\]'"):
        find_peer(name).open(network, DESCENT, "cpu")


def test_opencv_without_contributed_modules_is_told(monkeypatch):
    cv2 = pytest.importorskip("cv2")
    monkeypatch.delattr(cv2, "saliency", raising=False)
    with pytest.raises(MissingExtraError, match="pip install --force-reinstall opencv-contrib-python-headless"):
        find_peer("spectral-residual").open(None, DESCENT, "cpu")


def test_unknown_peer_is_told():
    with pytest.raises(UnseeError, match="unknown peer 'magic'; known: plain-loop, captum-saliency"):
        find_peer("magic")


class _Without:
    """Stands for an environment in which a package is not installed."""

    def __init__(self, package):
        self.package = package

    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == self.package:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
