"""Every adjoint against autograd: odd and unequal sizes, ties, batches of 1, 2 and 7, two inputs a traced graph."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from unsee.export.forms.adjoints import adaptive_matrix
from unsee.export.graph.tracing import trace
from unsee.train.networks.zoo import CrossChannelNormalization

HEIGHT, WIDTH, CHANNELS = 11, 14, 6

LAYERS: dict[str, Callable[[], Callable[[Tensor], Tensor]]] = {
    "convolution": lambda: nn.Conv2d(6, 5, 3, padding=1),
    "convolution_no_padding": lambda: nn.Conv2d(6, 5, (3, 4)),
    "convolution_1x1": lambda: nn.Conv2d(6, 5, 1),
    "convolution_1x1_padded": lambda: nn.Conv2d(6, 5, 1, padding=2),
    "convolution_dilated": lambda: nn.Conv2d(6, 5, 3, padding=2, dilation=2),
    "convolution_grouped": lambda: nn.Conv2d(6, 4, 3, padding=1, groups=2),
    "convolution_depthwise": lambda: nn.Conv2d(6, 12, 3, padding=1, groups=6),
    "convolution_stride": lambda: nn.Conv2d(6, 5, 3, stride=2),
    "convolution_stride_padded": lambda: nn.Conv2d(6, 5, 7, stride=2, padding=3),
    "convolution_stride_4": lambda: nn.Conv2d(6, 5, 8, stride=4, padding=2),
    "convolution_stride_3": lambda: nn.Conv2d(6, 5, 4, stride=3, padding=1),
    "convolution_stride_over_kernel": lambda: nn.Conv2d(6, 5, 1, stride=2),
    "convolution_unequal_strides": lambda: nn.Conv2d(6, 5, 3, stride=(2, 1), padding=1),
    "convolution_stride_dilated": lambda: nn.Conv2d(6, 5, 3, stride=2, dilation=2, padding=1),
    "convolution_stride_grouped": lambda: nn.Conv2d(6, 4, 3, stride=2, padding=1, groups=2),
    "relu": lambda: torch.relu,
    "leaky_relu": lambda: nn.LeakyReLU(0.1),
    "relu6": lambda: nn.ReLU6(),
    "silu": lambda: nn.SiLU(),
    "elu": lambda: nn.ELU(),
    "hardswish": lambda: nn.Hardswish(),
    "hardsigmoid": lambda: nn.Hardsigmoid(),
    "sigmoid": lambda: torch.sigmoid,
    "tanh": lambda: torch.tanh,
    "max_pool": lambda: nn.MaxPool2d(2),
    "max_pool_overlapping": lambda: nn.MaxPool2d(3, 2),
    "max_pool_overlapping_ceil": lambda: nn.MaxPool2d(3, 2, ceil_mode=True),
    "max_pool_gaps": lambda: nn.MaxPool2d(2, 3),
    "max_pool_ceil": lambda: nn.MaxPool2d(2, ceil_mode=True),
    "max_pool_3_ceil": lambda: nn.MaxPool2d(3, ceil_mode=True),
    "max_pool_padded": lambda: nn.MaxPool2d(3, 2, 1),
    "max_pool_padded_ceil": lambda: nn.MaxPool2d(3, 2, 1, ceil_mode=True),
    "max_pool_stride_1": lambda: nn.MaxPool2d(3, 1, 1),
    "max_pool_dilated": lambda: nn.MaxPool2d(3, 2, 1, dilation=2),
    "max_pool_oblong": lambda: nn.MaxPool2d((1, 3), (1, 2)),
    "max_pool_large": lambda: nn.MaxPool2d(5, 3, 2),
    "average_pool": lambda: nn.AvgPool2d(2),
    "average_pool_overlapping": lambda: nn.AvgPool2d(3, 2, 1),
    "average_pool_ceil": lambda: nn.AvgPool2d(3, 2, 1, ceil_mode=True),
    "average_pool_ceil_unpadded": lambda: nn.AvgPool2d(3, 2, ceil_mode=True),
    "average_pool_without_pads": lambda: nn.AvgPool2d(3, 2, 1, ceil_mode=True, count_include_pad=False),
    "average_pool_divisor": lambda: nn.AvgPool2d(3, 2, divisor_override=5),
    "adaptive_pool": lambda: nn.AdaptiveAvgPool2d(1),
    "adaptive_pool_uneven": lambda: nn.AdaptiveAvgPool2d((4, 5)),
    "adaptive_pool_same": lambda: nn.AdaptiveAvgPool2d((11, 14)),
    "adaptive_pool_larger": lambda: nn.AdaptiveAvgPool2d((13, 20)),
    "batch_norm": lambda: _batch_norm(affine=True),
    "batch_norm_plain": lambda: _batch_norm(affine=False),
    "local_response": lambda: CrossChannelNormalization(5, 1e-2, 0.75, 2.0),
    "dropout_off": lambda: nn.Dropout().eval(),
    "residual": lambda: lambda image: torch.relu(image * 2 - 1) + image,
    "concat": lambda: lambda image: torch.cat([image * image, torch.relu(image)], 1),
    "split": lambda: lambda image: torch.cat(list(image.split([1, 2, 3], 1))[::-1], 2 - 1),
    "log_softmax": lambda: lambda image: functional.log_softmax(image, 1),
    "softmax": lambda: lambda image: functional.softmax(image.flatten(1), 1),
    "linear": lambda: nn.Sequential(nn.Flatten(), nn.Linear(HEIGHT * WIDTH * CHANNELS, 3)),
    "slice": lambda: lambda image: image[:, 1:4, 2:, :-3] * 3,
    "pad": lambda: nn.ZeroPad2d((1, 2, 0, 3)),
}


def _batch_norm(affine: bool) -> nn.Module:
    layer = nn.BatchNorm2d(CHANNELS, affine=affine).eval()
    assert layer.running_mean is not None and layer.running_var is not None
    nn.init.normal_(layer.running_mean)
    nn.init.uniform_(layer.running_var, 0.5, 2)
    if affine:
        nn.init.normal_(layer.weight)
        nn.init.normal_(layer.bias)
    return layer


def _images(batch: int, seed: int, ties: bool) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    shape = (batch, CHANNELS, HEIGHT, WIDTH)
    if ties:
        return torch.randint(-1, 2, shape, generator=generator).float()
    return torch.randn(shape, generator=generator)


def _gradient(layer: Callable[[Tensor], Tensor], image: Tensor, cotangent: Tensor) -> Tensor:
    image = image.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(layer(image), image, cotangent)
    return gradient


@pytest.mark.parametrize("name", LAYERS)
def test_adjoint_equals_autograd(name: str) -> None:
    torch.manual_seed(1)
    layer = LAYERS[name]()
    if isinstance(layer, nn.Module):
        layer.requires_grad_(False)
    traced_image = _images(5, 0, ties=False)

    def pull(image: Tensor, cotangent: Tensor) -> Tensor:
        return torch.func.vjp(layer, image)[1](cotangent)[0]

    graph = trace(pull, (traced_image, torch.ones_like(layer(traced_image))))
    assert not [node for node in graph.graph.nodes if "backward" in str(node.target)]
    for batch, seed, ties in [(1, 1, False), (2, 2, True), (7, 3, True), (7, 4, False)]:
        image = _images(batch, seed, ties)
        cotangent = torch.randn_like(layer(image))
        expected = _gradient(layer, image, cotangent)
        torch.testing.assert_close(graph(image, cotangent), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kernel", [2, 3])
def test_only_the_first_of_equal_maxima_gets_the_gradient(kernel: int) -> None:
    layer = nn.MaxPool2d(kernel)

    def pull(image: Tensor, cotangent: Tensor) -> Tensor:
        return torch.func.vjp(layer, image)[1](cotangent)[0]

    constant = torch.zeros(2, 1, 6, 6)
    graph = trace(pull, (constant, torch.ones_like(layer(constant))))
    gradient = graph(constant, torch.ones_like(layer(constant)))
    expected = torch.zeros(6, 6)
    expected[::kernel, ::kernel] = 1
    assert torch.equal(gradient[0, 0], expected)


def test_adaptive_windows_cover_every_element_and_sum_to_one() -> None:
    matrix = adaptive_matrix(7, 3)
    assert torch.allclose(matrix.sum(0), torch.ones(3))
    assert (matrix.sum(1) > 0).all()
