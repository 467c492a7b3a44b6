"""Adjoints of pooling without indices and without scatter (design section 3)."""

import torch
from torch import Tensor
from torch.nn import functional


def max_pool_adjoint(
    gradient: Tensor,
    image: Tensor,
    kernel: list[int],
    stride: list[int],
    padding: list[int],
    dilation: list[int],
    ceil_mode: bool,
    _indices: Tensor | None = None,
) -> Tensor:
    """Return the gradient [B,C,H,W] of a max pool: each window's goes to its first maximum in reading order.

    A window's first maximum lies in the first row whose maximum is the window's, so the gradient goes down the columns
    of row maxima first and along the rows after that: 2k comparisons for a window of k x k instead of k^2.
    """
    stride = stride or kernel
    across = ((1, kernel[1]), (1, stride[1]), (0, padding[1]), (1, dilation[1]))
    rows = functional.max_pool2d(image, *across, ceil_mode=ceil_mode)
    pooled = functional.max_pool2d(image, kernel, stride, padding, dilation, ceil_mode)
    gradient, image, rows, pooled = (tensor.permute(0, 2, 3, 1) for tensor in (gradient, image, rows, pooled))
    row_gradient = _winners(gradient, rows, pooled, 1, kernel[0], stride[0], padding[0], dilation[0])
    return _winners(row_gradient, image, rows, 2, kernel[1], stride[1], padding[1], dilation[1]).permute(0, 3, 1, 2)


def _winners(
    gradient: Tensor, image: Tensor, maxima: Tensor, axis: int, kernel: int, stride: int, padding: int, dilation: int
) -> Tensor:
    """Return the gradient of a max pool along one axis.

    gradient, maxima: of m windows along the axis; image: of n elements.
    """
    if kernel == stride == 1:
        return gradient
    size, windows = image.shape[axis], maxima.shape[axis]
    cells = -(-max((windows - 1) * stride + dilation * (kernel - 1) + 1, padding + size) // stride)
    compared = (windows - 1) * stride + dilation * (kernel - 2) + 1
    padded = _padded(image, axis, padding, max(0, compared - padding - size), float("-inf"))
    phases: list[Tensor | None] = [None] * stride
    remaining = gradient
    for tap in range(kernel):
        cell, phase = divmod(tap * dilation, stride)
        if tap < kernel - 1:
            values = _strided(padded, axis, cell * stride + phase, windows, stride)
            wins = values == maxima
            part = remaining * wins.to(remaining.dtype)
            remaining = remaining - part
        else:
            part = remaining  # what no earlier element has won is the last one's
        placed = _padded(part, axis, cell, cells - windows - cell, 0.0)
        before = phases[phase]
        phases[phase] = placed if before is None else before + placed
    return _interleaved(phases, axis).narrow(axis, padding, size)


def _padded(image: Tensor, axis: int, before: int, after: int, value: float) -> Tensor:
    if before == after == 0:
        return image
    return functional.pad(image, [0, 0] * (image.ndim - 1 - axis) + [before, after], value=value)


def _strided(image: Tensor, axis: int, start: int, count: int, stride: int) -> Tensor:
    stop = start + (count - 1) * stride + 1
    return torch.ops.aten.slice.Tensor(image, axis, start, stop, stride)


def _interleaved(phases: list[Tensor | None], axis: int) -> Tensor:
    """Return the elements of the phases in turn along an axis; a missing phase is zeros."""
    template = next(phase for phase in phases if phase is not None)
    filled = [torch.zeros_like(template) if phase is None else phase for phase in phases]
    if len(filled) == 1:
        return template
    shape = list(template.shape)
    shape[axis] *= len(filled)
    return torch.cat([phase.unsqueeze(axis + 1) for phase in filled], axis + 1).reshape(shape)


def average_matrix(
    size: int,
    pooled: int,
    kernel: int,
    stride: int,
    padding: int,
    ceil_mode: bool,
    count_include_pad: bool,
    divide: bool = True,
) -> Tensor:
    """Return [size,pooled]: column j holds the weights of the elements that an average pool sums into window j.

    A window that ceil mode pushes past the padded image is divided by the part within, as in PyTorch.
    """
    matrix = torch.zeros(size, pooled)
    for window in range(pooled):
        first = window * stride - padding
        end = min(first + kernel, size + padding) if ceil_mode or padding else first + kernel
        inside = slice(max(first, 0), min(end, size))
        count = end - first if count_include_pad else inside.stop - inside.start
        matrix[inside, window] = 1 / count if divide else 1.0
    return matrix
