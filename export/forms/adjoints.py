"""The adjoint of every operator a classifier may hold, in operators that ONNX has (design section 3).

PyTorch's own backward operators have no ONNX form. Each function here takes the arguments of one of them and returns
the same gradient by convolutions, comparisons, sums and copies only: no indices, no scatter.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch._ops import OpOverload
from torch.nn import functional

from ...errors import UnseeError
from .pool_adjoints import average_matrix, max_pool_adjoint

aten = torch.ops.aten


def convolution_adjoint(
    gradient: Tensor,
    image: Tensor,
    weight: Tensor,
    _bias_sizes: Sequence[int] | None,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    transposed: bool,
    _output_padding: Sequence[int],
    groups: int,
    _mask: Sequence[bool],
) -> tuple[Tensor, None, None]:
    """Return the gradient of a convolution by its image [B,C,H,W] or [B,C,W], as `aten.convolution_backward` does.

    Stride 1 is a plain convolution with the kernel turned round; strides without groups and dilation are one
    convolution per phase of the stride, done as a single one; the rest is a transposed convolution, and the gradient of a
    transposed convolution is a plain one.
    """
    if transposed:
        zeros = [0] * len(stride)
        return aten.convolution(gradient, weight, None, stride, padding, dilation, False, zeros, groups), None, None
    if weight.ndim == 3:
        stretched = [1, *stride], [0, *padding], [1, *dilation]
        rows = gradient.unsqueeze(2), image.unsqueeze(2), weight.unsqueeze(2)
        found, _, _ = convolution_adjoint(*rows, None, *stretched, False, [0, 0], groups, _mask)
        return found.squeeze(2), None, None
    if weight.ndim != 4:
        raise UnseeError(f"convolutions of {weight.ndim - 2} dimensions have no adjoint here")
    kernel = weight.shape[2:]
    if all(step == 1 for step in stride):
        pads = [spread * (side - 1) - pad for spread, side, pad in zip(dilation, kernel, padding, strict=True)]
        image_gradient = _cropped_convolution(gradient, turned(weight, groups), pads, dilation, groups)
    elif groups == 1 and stride[0] == stride[1] and tuple(dilation) == (1, 1) and max(kernel) >= stride[0]:
        image_gradient = _strided_adjoint(gradient, image, weight, stride[0], padding)
    else:
        reach = [spread * (side - 1) + 1 for spread, side in zip(dilation, kernel, strict=True)]
        missing = [
            image.shape[2 + axis] - (gradient.shape[2 + axis] - 1) * stride[axis] + 2 * padding[axis] - reach[axis]
            for axis in range(2)
        ]
        image_gradient = functional.conv_transpose2d(
            gradient, weight, None, tuple(stride), tuple(padding), tuple(missing), groups, tuple(dilation)
        )
    return image_gradient, None, None


def turned(weight: Tensor, groups: int = 1) -> Tensor:
    """Return the kernel [C,O/g,k,l] of the adjoint of a convolution with weight [O,C/g,k,l]: turned by 180 degrees."""
    outputs, inputs, height, width = weight.shape
    grouped = weight.reshape(groups, outputs // groups, inputs, height, width).transpose(1, 2)
    return grouped.reshape(groups * inputs, outputs // groups, height, width).flip(2, 3)


def _cropped_convolution(
    image: Tensor, weight: Tensor, pads: Sequence[int], dilation: Sequence[int], groups: int
) -> Tensor:
    """Convolve with paddings that may be negative: those cut the result."""
    result = functional.conv2d(image, weight, None, 1, tuple(max(pad, 0) for pad in pads), tuple(dilation), groups)
    if min(pads) >= 0:
        return result
    vertical, horizontal = (min(pad, 0) for pad in pads)
    return functional.pad(result, (horizontal, horizontal, vertical, vertical))


def _strided_adjoint(gradient: Tensor, image: Tensor, weight: Tensor, stride: int, padding: Sequence[int]) -> Tensor:
    """Return the gradient by the image of a convolution of equal strides, without zeros between the pixels.

    Pixel stride*q + r of the padded image is reached by the kernel's taps r, r + stride, ...: a convolution of the
    output's size for each r. All r are channels of one convolution, which a pixel shuffle puts in place.
    """
    outputs, inputs = weight.shape[:2]
    taps = [-(-side // stride) for side in weight.shape[2:]]
    padded = functional.pad(weight, (0, taps[1] * stride - weight.shape[3], 0, taps[0] * stride - weight.shape[2]))
    phases = padded.reshape(outputs, inputs, taps[0], stride, taps[1], stride).permute(1, 3, 5, 0, 2, 4)
    kernel = phases.reshape(inputs * stride * stride, outputs, *taps).flip(2, 3)
    shuffled = functional.pixel_shuffle(functional.conv2d(gradient, kernel, padding=(taps[0] - 1, taps[1] - 1)), stride)
    for axis in (2, 3):
        shuffled = fit(shuffled, axis, padding[axis - 2], image.shape[axis])
    return shuffled


def fit(image: Tensor, axis: int, start: int, size: int) -> Tensor:
    """Return `size` elements along an axis from `start` on, zeros where the image has ended."""
    cut = image.narrow(axis, start, min(size, image.shape[axis] - start))
    missing = size - cut.shape[axis]
    return cut if not missing else functional.pad(cut, [0, 0] * (image.ndim - 1 - axis) + [0, missing])


def threshold_adjoint(gradient: Tensor, output: Tensor, threshold: float) -> Tensor:
    """Return the gradient of a ReLU from its output (or input)."""
    return gradient * (output > threshold).to(gradient.dtype)


def leaky_relu_adjoint(gradient: Tensor, image: Tensor, slope: float, _is_result: bool) -> Tensor:
    """Return the gradient of a leaky ReLU; the sign of its input and its output are the same."""
    return torch.where(image > 0, gradient, gradient * slope)


def average_pool_adjoint(
    gradient: Tensor,
    image: Tensor,
    kernel: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    ceil_mode: bool,
    count_include_pad: bool,
    divisor: int | None,
) -> Tensor:
    """Return the gradient of an average pool, as `aten.avg_pool2d_backward` does: two products with fixed matrices."""
    sizes, pooled = image.shape[2:], gradient.shape[2:]
    vertical, horizontal = (
        average_matrix(
            sizes[axis], pooled[axis], kernel[axis], (stride or kernel)[axis], padding[axis],
            ceil_mode, count_include_pad, divisor is None,
        )
        for axis in range(2)
    )  # fmt: skip
    spread = sandwich(vertical, gradient, horizontal)
    return spread if divisor is None else spread / divisor


def adaptive_average_pool(image: Tensor, size: Sequence[int]) -> Tensor:
    """Return the adaptive average pool of [B,C,H,W] as two products with fixed matrices; nothing where sizes agree."""
    vertical, horizontal = (adaptive_matrix(image.shape[2 + axis], size[axis]) for axis in range(2))
    if tuple(image.shape[2:]) == tuple(size):
        return image
    return sandwich(vertical.T, image, horizontal.T)


def adaptive_average_adjoint(gradient: Tensor, image: Tensor) -> Tensor:
    """Return the gradient of an adaptive average pool."""
    if image.shape[2:] == gradient.shape[2:]:
        return gradient
    vertical, horizontal = (adaptive_matrix(image.shape[axis], gradient.shape[axis]) for axis in (2, 3))
    return sandwich(vertical, gradient, horizontal)


def adaptive_matrix(size: int, pooled: int) -> Tensor:
    """Return [size,pooled]: column j holds the weights of the elements that adaptive pooling averages into j."""
    matrix = torch.zeros(size, pooled)
    for column in range(pooled):
        first, end = column * size // pooled, -(-(column + 1) * size // pooled)
        matrix[first:end, column] = 1 / (end - first)
    return matrix


def sandwich(left: Tensor, image: Tensor, right: Tensor) -> Tensor:
    """Return left image right^T for every channel of [B,C,h,w]."""
    return torch.matmul(torch.matmul(left, image), right.T)


def batch_norm_forward(
    image: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    mean: Tensor | None,
    variance: Tensor | None,
    training: bool,
    _momentum: float,
    epsilon: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return batch normalisation with running statistics as one factor and one shift a channel."""
    scale = _batch_norm_scale(weight, variance, epsilon, training)
    assert mean is not None
    shift = -mean * scale if bias is None else bias - mean * scale
    result = image * _over_channels(scale, image) + _over_channels(shift, image)
    return result, mean.new_zeros(0), mean.new_zeros(0)


def batch_norm_adjoint(
    gradient: Tensor,
    _image: Tensor,
    weight: Tensor | None,
    _mean: Tensor | None,
    variance: Tensor | None,
    _saved_mean: Tensor | None,
    _saved_scale: Tensor | None,
    training: bool,
    epsilon: float,
    _mask: Sequence[bool],
) -> tuple[Tensor, None, None]:
    """Return the gradient of batch normalisation with running statistics."""
    return gradient * _over_channels(_batch_norm_scale(weight, variance, epsilon, training), gradient), None, None


def _batch_norm_scale(weight: Tensor | None, variance: Tensor | None, epsilon: float, training: bool) -> Tensor:
    if training or variance is None:
        raise UnseeError("normalisation by the statistics of the batch: a result may depend on its own image only")
    scale = torch.rsqrt(variance + epsilon)
    return scale if weight is None else scale * weight


def _over_channels(values: Tensor, image: Tensor) -> Tensor:
    """Return values [C] in a shape that meets the channels of [B,C,...]."""
    return values.reshape([-1] + [1] * (image.ndim - 2))


def _batch_norm_of_inference(
    image: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    mean: Tensor,
    variance: Tensor,
    momentum: float,
    epsilon: float,
) -> tuple[Tensor, Tensor, Tensor]:
    return batch_norm_forward(image, weight, bias, mean, variance, False, momentum, epsilon)


OURS: dict[OpOverload, Callable[..., Any]] = {
    aten.convolution_backward.default: convolution_adjoint,
    aten.threshold_backward.default: threshold_adjoint,
    aten.leaky_relu_backward.default: leaky_relu_adjoint,
    aten.max_pool2d_with_indices_backward.default: max_pool_adjoint,
    aten.avg_pool2d_backward.default: average_pool_adjoint,
    aten._adaptive_avg_pool2d.default: adaptive_average_pool,
    aten._adaptive_avg_pool2d_backward.default: adaptive_average_adjoint,
    aten.native_batch_norm.default: batch_norm_forward,
    aten._native_batch_norm_legit_no_training.default: _batch_norm_of_inference,
    aten.native_batch_norm_backward.default: batch_norm_adjoint,
}
