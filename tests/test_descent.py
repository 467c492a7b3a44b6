"""The descent against the worked cases CC-01 to CC-08 and the properties CC-34 of the specification."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional

from unsee.engine.methods.models import open_descender
from unsee.errors import DeviceUnavailableError, ExitCode, UnseeError
from unsee.export.bundles.descent_config import DescentConfig
from unsee.export.graph.step import FROM_LOGITS, PixelClassifier, build_step, error_signal
from unsee.train.networks.checkpoints import load_checkpoint
from unsee.train.networks.metadata import InputSpec
from unsee.train.networks.scaling import min_max

REFERENCE = DescentConfig()
LOG_PROB = DescentConfig(cost="log-prob", gradient="raw", step=10.0, step_decay=1.0, iterations=2)


def row(*values, dtype=torch.float64):
    return torch.tensor([values], dtype=dtype)


def signal(logits, config, reference=None, target=0):
    return error_signal(logits, logits if reference is None else reference, torch.tensor([target]), config)


def descended(network, image, config, target=FROM_LOGITS):
    """All images X(0)..X(T) of a descent."""
    step, images = build_step(network, config), [image]
    reference, target = network(image) * 0, torch.full((len(image),), target)
    for iteration in range(config.iterations):
        size = torch.tensor(config.step_at(iteration), dtype=image.dtype)
        image, reference, target, _ = step(image, reference, target, torch.tensor(iteration), size)
        images.append(image)
    return images


def linear(image):
    """The two-class model of CC-03."""
    weights = torch.tensor([(1, 0, -1), (2, 0, 1)], dtype=image.dtype).T.reshape(1, 3, 1, 2)
    return torch.stack([0.1 * (weights * image).sum((1, 2, 3)), image.new_zeros(len(image))], 1)


def linear_image():
    return torch.tensor([(1, 2, 3), (4, 5, 6)], dtype=torch.float64).T.reshape(1, 3, 1, 2)


def test_cc_01_error_signals_of_the_log_probability_costs():
    logits, expected = row(2, 1, 0), row(0.3347590442, -0.2447284711, -0.0900305732)
    torch.testing.assert_close(signal(logits, LOG_PROB), expected, rtol=1e-8, atol=0)
    torch.testing.assert_close(signal(logits, replace(LOG_PROB, cost="masked")), -expected, rtol=1e-8, atol=0)


def test_cc_01b_certain_predictions_keep_their_gradient():
    error = signal(row(30, 0, dtype=torch.float32), LOG_PROB)
    torch.testing.assert_close(error, row(9.3576230e-14, -9.3576230e-14, dtype=torch.float32), rtol=1e-6, atol=0)


def test_cc_03_update_on_the_linear_model():
    images = descended(linear, linear_image(), LOG_PROB)
    first = torch.tensor([(0.7685247835, 2, 3), (3.5370495670, 5, 5.7685247835)]).T.reshape(1, 3, 1, 2)
    second = torch.tensor([(0.5114283243, 2, 3), (3.0228566485, 5, 5.5114283243)]).T.reshape(1, 3, 1, 2)
    torch.testing.assert_close(images[1], first.double(), rtol=1e-7, atol=0)
    torch.testing.assert_close(images[2], second.double(), rtol=1e-7, atol=0)
    difference = (images[0] - images[2]).mean(1)
    torch.testing.assert_close(difference, torch.tensor([[[0.1628572252, 0.4885716757]]]).double(), rtol=1e-6, atol=0)


def test_cc_06_largest_channel_of_the_gradient():
    signed = DescentConfig(gradient="raw", gradient_floor=-np.inf, step=1.0, iterations=1)
    before, after = descended(linear, linear_image(), signed, target=0)
    torch.testing.assert_close((before - after).abs().amax(1), torch.tensor([[[0.1, 0.2]]]).double())


def test_cc_07_convolutional_network():
    def network(image):
        kernel = torch.tensor([[[[1.0, -1], [0, 1]]]], dtype=image.dtype)
        pooled = torch.relu(functional.conv2d(image, kernel)).mean((2, 3))
        return pooled * torch.tensor([[2.0, -1]], dtype=image.dtype)

    image = torch.tensor([[[[1.5, 2, 0], [0, 1, 3], [2, 0, 1]]]], dtype=torch.float64)
    pattern = torch.tensor([[[[1.0, 0, -1], [0, 1, 1], [0, 0, 0]]]], dtype=torch.float64)
    torch.testing.assert_close(network(image), row(2.75, -1.375))
    config = replace(LOG_PROB, gradient_floor=-np.inf, step=1.0, iterations=1)
    before, after = descended(network, image, config)
    torch.testing.assert_close(before - after, 0.0119297938 * pattern, rtol=1e-7, atol=1e-15)
    clamp = descended(network, image, replace(config, cost="clamp"))
    torch.testing.assert_close(clamp[0] - clamp[1], 0.5 * pattern)


@pytest.mark.parametrize(("gamma", "expected"), [(1, (1, 1, -2)), (100, (1, 100, -200))])
def test_cc_08_clamped_error_signal(gamma, expected):
    config = DescentConfig(gamma=gamma)
    error = signal(row(3, 1, -2), config, reference=row(4, 0.5, -1))
    torch.testing.assert_close(error, row(*expected).double())


@pytest.mark.parametrize("cost", ["clamp", "log-prob", "masked"])
def test_error_signal_is_the_derivative_of_the_cost(cost):
    def value(logits):
        if cost == "clamp":
            others = torch.arange(5) != 3
            return logits[0, 3] + 7.0 * ((logits - reference)[0, others] ** 2).sum()
        sign = 1 if cost == "log-prob" else -1
        return sign * torch.log_softmax(logits, 1)[0, 3]

    logits, reference = torch.randn(1, 5, dtype=torch.float64), torch.randn(1, 5, dtype=torch.float64)
    error = signal(logits, DescentConfig(cost=cost, gamma=7.0), reference, target=3)
    (expected,) = torch.autograd.functional.jacobian(value, (logits,))
    torch.testing.assert_close(error, expected)


def test_cc_34a_pixels_never_increase():
    images = descended(linear, linear_image(), LOG_PROB)
    assert all((later <= earlier).all() for earlier, later in itertools.pairwise(images))


def test_cc_34b_first_step_does_not_depend_on_gamma():
    config = DescentConfig(gradient="raw", iterations=1)
    maps = [descended(linear, linear_image(), replace(config, gamma=gamma))[1] for gamma in (0, 1, 100)]
    torch.testing.assert_close(maps[0], maps[1], rtol=0, atol=0)
    torch.testing.assert_close(maps[0], maps[2], rtol=0, atol=0)
    gradient = torch.tensor([(0.1, 0, 0), (0.2, 0, 0.1)], dtype=torch.float64).T.reshape(1, 3, 1, 2)
    torch.testing.assert_close(maps[0], linear_image() - 20 * gradient)


def test_cc_34d_constant_network_leaves_the_image_alone():
    for config in (REFERENCE, replace(REFERENCE, gradient="raw")):
        image = torch.rand(2, 3, 5, 4) * 255
        last = descended(lambda x: x.mean((2, 3)) * 0 + 1, image, config)[-1]
        torch.testing.assert_close(last, image, rtol=0, atol=0)


def test_cc_34e_flipping_image_and_weights_flips_the_map():
    def flipped(image):
        return linear(image.flip(3))

    plain = descended(linear, linear_image(), LOG_PROB)[-1]
    mirrored = descended(flipped, linear_image().flip(3), LOG_PROB)[-1]
    torch.testing.assert_close(mirrored.flip(3), plain, rtol=0, atol=0)


def test_clip_keeps_pixels_in_range():
    images = descended(linear, linear_image(), replace(REFERENCE, clip=True))
    assert min(image.min() for image in images) == 0


def test_min_max_of_constant_channels_is_zero():
    image = torch.stack([torch.full((3, 2), 5.0), torch.arange(6.0).reshape(3, 2)])[None]
    scaled = min_max(image, (2, 3))
    assert scaled[0, 0].abs().max() == 0
    torch.testing.assert_close(scaled[0, 1].flatten(), torch.arange(6.0) / 5)


def test_bgr_input_specification_is_applied():
    spec = InputSpec(4, "BGR", 255, (104, 117, 123), (1, 2, 4))
    image = torch.tensor([10.0, 20, 30]).reshape(1, 3, 1, 1)
    seen = PixelClassifier(torch.nn.Identity(), spec)(image)
    torch.testing.assert_close(seen.flatten(), torch.tensor([30.0 - 104, (20 - 117) / 2, (10 - 123) / 4]))


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(1).integers(0, 256, (5, 48, 48, 3), np.uint8)


def test_cc_34k_a_batch_equals_single_runs_in_any_order(tiny_model, images):
    session = open_descender(str(tiny_model), replace(REFERENCE, iterations=4), "cpu", "torch")
    batch = session.descend(images)
    for place in (3, 0, 4):
        single = session.descend(images[place : place + 1])
        assert single.targets[0] == batch.targets[place]
        np.testing.assert_array_equal(single.logits[0], batch.logits[place])
        np.testing.assert_array_equal(single.delta[0], batch.delta[place])


def test_logits_are_those_of_the_original_image(tiny_model, images):
    descent = open_descender(str(tiny_model), replace(REFERENCE, iterations=3), "cpu", "torch").descend(images)
    classifier = load_checkpoint(tiny_model)
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2).float()
    expected = PixelClassifier(classifier.module, classifier.metadata.input)(pixels)
    np.testing.assert_allclose(descent.logits, expected, rtol=1e-3, atol=1e-4)
    np.testing.assert_array_equal(descent.targets, expected.argmax(1))


def test_given_targets_are_unseen_and_minus_one_is_the_top_1(tiny_model, images):
    session = open_descender(str(tiny_model), replace(REFERENCE, iterations=1), "cpu", "torch")
    top = session.descend(images)
    given = session.descend(images, targets=np.array([2, -1, 3, -1, -1]))
    np.testing.assert_array_equal(given.targets, [2, top.targets[1], 3, top.targets[3], top.targets[4]])
    assert not np.array_equal(given.delta[0], top.delta[0])


def test_bad_arguments_are_user_errors(tiny_model, images):
    session = open_descender(str(tiny_model), REFERENCE, "cpu", "torch")
    with pytest.raises(UnseeError, match=r"images must be uint8 \[B,48,48,3\], got float32"):
        session.descend(images.astype(np.float32))
    with pytest.raises(UnseeError, match="targets must be 5 classes below 7"):
        session.descend(images, targets=np.full(5, 7))
    with pytest.raises(UnseeError, match="iterations must be at least 1"):
        session.descend(images, iterations=0)
    assert session.descend(images[:0]).delta.shape == (0, 3, 48, 48)


def test_a_device_that_is_not_there_is_an_error(tiny_model):
    with pytest.raises(DeviceUnavailableError, match="PyTorch sees"):
        open_descender(str(tiny_model), REFERENCE, "cuda:99", "torch")


@pytest.mark.parametrize("device", ["tpu", "meta", "cuda:-1", "cuda:²"])
def test_a_word_that_names_no_device_is_wrong_usage(tiny_model, device):
    with pytest.raises(UnseeError, match="unknown device") as raised:
        open_descender(str(tiny_model), REFERENCE, device, "torch")
    assert raised.value.exit_code == ExitCode.USAGE


@pytest.mark.parametrize(
    "wrong", [{"cost": "hinge"}, {"gradient": "unit"}, {"iterations": 0}, {"step": 0.0}, {"gamma": -1.0}]
)
def test_configuration_is_checked(wrong):
    with pytest.raises(UnseeError):
        DescentConfig(**wrong)
