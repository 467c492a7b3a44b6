"""Operators and adjoints written in operators that ONNX has, where PyTorch's own decomposition has none or a slow one."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch._ops import OpOverload
from torch.nn import functional

from ...errors import UnseeError

aten = torch.ops.aten


def layer_norm(
    values: Tensor, shape: Sequence[int], weight: Tensor | None, bias: Tensor | None, epsilon: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Return layer normalisation over the last axes, the means and the inverse deviations."""
    axes = list(range(values.ndim - len(shape), values.ndim))
    mean = values.mean(axes, keepdim=True)
    centred = values - mean
    inverse = _inverse_root((centred * centred).mean(axes, keepdim=True) + epsilon)
    return _scaled(centred * inverse, weight, bias), mean, inverse


def layer_norm_adjoint(
    gradient: Tensor,
    values: Tensor,
    shape: Sequence[int],
    mean: Tensor,
    inverse: Tensor,
    weight: Tensor | None,
    _bias: Tensor | None,
    _mask: Sequence[bool],
) -> tuple[Tensor, None, None]:
    """Return the gradient of layer normalisation by its input."""
    axes = list(range(values.ndim - len(shape), values.ndim))
    return _norm_adjoint(_scaled(gradient, weight, None), (values - mean) * inverse, inverse, axes), None, None


def group_norm(
    image: Tensor, weight: Tensor | None, bias: Tensor | None, batch: Any, channels: int, _pixels: Any, groups: int,
    epsilon: float,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """Return group normalisation of [B,C,...], the means and the inverse deviations [B,groups]."""
    grouped = image.reshape(batch, groups, -1)
    mean = grouped.mean(-1, keepdim=True)
    centred = grouped - mean
    inverse = _inverse_root((centred * centred).mean(-1, keepdim=True) + epsilon)
    result = (centred * inverse).reshape(image.shape)
    sides = [channels] + [1] * (image.ndim - 2)
    weight, bias = (None if one is None else one.reshape(sides) for one in (weight, bias))
    return _scaled(result, weight, bias), mean.squeeze(-1), inverse.squeeze(-1)


def group_norm_adjoint(
    gradient: Tensor, image: Tensor, mean: Tensor, inverse: Tensor, weight: Tensor | None, batch: Any, channels: int,
    _pixels: Any, groups: int, _mask: Sequence[bool],
) -> tuple[Tensor, None, None]:  # fmt: skip
    """Return the gradient of group normalisation by its input."""
    sides = [channels] + [1] * (image.ndim - 2)
    weighed = _scaled(gradient, None if weight is None else weight.reshape(sides), None).reshape(batch, groups, -1)
    inverse = inverse.unsqueeze(-1)
    normal = (image.reshape(batch, groups, -1) - mean.unsqueeze(-1)) * inverse
    return _norm_adjoint(weighed, normal, inverse, [-1]).reshape(image.shape), None, None


def _norm_adjoint(gradient: Tensor, normal: Tensor, inverse: Tensor, axes: list[int]) -> Tensor:
    shifted = gradient - gradient.mean(axes, keepdim=True)
    return inverse * (shifted - normal * (gradient * normal).mean(axes, keepdim=True))


def _scaled(values: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    values = values if weight is None else values * weight
    return values if bias is None else values + bias


def _inverse_root(values: Tensor) -> Tensor:
    """1 / sqrt: ONNX has no inverse root, and TensorRT no reciprocal."""
    return torch.ones((), dtype=values.dtype) / torch.sqrt(values)


def select_adjoint(gradient: Tensor, sizes: Sequence[Any], axis: int, index: int) -> Tensor:
    """Return the gradient of picking one place of an axis: zeros on both sides, not a scatter."""
    axis %= len(sizes)
    index %= sizes[axis]
    around = [0, 0] * (len(sizes) - 1 - axis) + [index, sizes[axis] - 1 - index]
    return functional.pad(gradient.unsqueeze(axis), around)


def slice_adjoint(gradient: Tensor, sizes: Sequence[Any], axis: int, start: int, end: int, step: int) -> Tensor:
    """Return the gradient of a slice: zeros on both sides, and between its elements where it has a step."""
    axis %= len(sizes)
    size = sizes[axis]
    if isinstance(size, torch.SymInt):
        if start or step != 1:
            raise UnseeError("a part of the batch has no adjoint here: a result may depend on its own image only")
        return gradient
    first, last, _ = slice(start, min(end, 1 << 60)).indices(int(size))
    if step != 1:
        gradient = _spread(gradient, axis, step)
        last = first + int(gradient.shape[axis])
    return functional.pad(gradient, [0, 0] * (len(sizes) - 1 - axis) + [first, size - last])


def _spread(values: Tensor, axis: int, step: int) -> Tensor:
    """Put step - 1 zeros between the elements of an axis."""
    count = int(values.shape[axis])
    values = functional.pad(values.unsqueeze(axis + 1), [0, 0] * (values.ndim - 1 - axis) + [0, step - 1])
    shape = list(values.shape)
    shape[axis : axis + 2] = [count * step]
    return values.reshape(shape).narrow(axis, 0, (count - 1) * step + 1)


def select(values: Tensor, axis: int, index: Any) -> Tensor:
    """Return one place of an axis as a slice of it."""
    axis %= values.ndim
    if isinstance(index, int) and index < 0:
        index = values.shape[axis] + index
    return values.narrow(axis, index, 1).squeeze(axis)


def squeeze(values: Tensor, axes: Sequence[int]) -> Tensor:
    """Return values without those of some axes that have one place."""
    gone = {axis % values.ndim for axis in axes if values.shape[axis] == 1}
    return values.reshape([side for axis, side in enumerate(values.shape) if axis not in gone])


def roll(values: Tensor, shifts: Sequence[int], axes: Sequence[int] = ()) -> Tensor:
    """Return an array whose axes are rolled, as two slices put together."""
    if not axes:
        return roll(values.reshape(-1), shifts, [0]).reshape(values.shape)
    for shift, axis in zip(shifts, axes, strict=True):
        size = values.shape[axis]
        moved = shift % size
        if moved:
            parts = [values.narrow(axis, size - moved, moved), values.narrow(axis, 0, size - moved)]
            values = torch.cat(parts, axis)
    return values


def stack(tensors: Sequence[Tensor], axis: int = 0) -> Tensor:
    """Return tensors along a new axis."""
    axis %= tensors[0].ndim + 1
    return torch.cat([one.unsqueeze(axis) for one in tensors], axis)


def hard_swish(values: Tensor) -> Tensor:
    """x clip(x + 3, 0, 6) / 6."""
    return values * (values + 3).clamp(0, 6) / 6


def hard_sigmoid(values: Tensor) -> Tensor:
    """clip(x + 3, 0, 6) / 6."""
    return (values + 3).clamp(0, 6) / 6


def filled(value: float | None) -> Callable[..., Tensor]:
    """Return what makes a tensor of one value that depends on no other, so that what is made of it is a constant."""

    def made(like: Tensor, size: Sequence[Any], *given: Any, dtype: torch.dtype | None = None, **_: Any) -> Tensor:
        return torch.full(tuple(size), given[0] if value is None else value, dtype=dtype or like.dtype)

    return made


CLOSED_FORMS: dict[OpOverload, Callable[..., Any]] = {
    aten.new_zeros.default: filled(0),
    aten.new_ones.default: filled(1),
    aten.new_full.default: filled(None),
    aten.native_layer_norm.default: layer_norm,
    aten.native_layer_norm_backward.default: layer_norm_adjoint,
    aten.native_group_norm.default: group_norm,
    aten.native_group_norm_backward.default: group_norm_adjoint,
    aten.select_backward.default: select_adjoint,
    aten.slice_backward.default: slice_adjoint,
    aten.hardswish.default: hard_swish,
    aten.hardsigmoid.default: hard_sigmoid,
    aten.roll.default: roll,
    aten.stack.default: stack,
    aten.select.int: select,
    aten.squeeze.dims: squeeze,
    aten.rsqrt.default: _inverse_root,
    aten.reciprocal.default: lambda values: torch.ones((), dtype=values.dtype) / values,
}
