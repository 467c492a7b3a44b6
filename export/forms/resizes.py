"""Resizes and paddings as products with fixed matrices, which their gradients are, too."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch._ops import OpOverload
from torch._subclasses.fake_tensor import unset_fake_temporarily
from torch.fx.experimental.proxy_tensor import disable_proxy_modes_tracing
from torch.nn import functional

from .adjoints import sandwich

aten = torch.ops.aten

COLUMNS = 8
"""Of the images that matrices are found by: resizes without aliasing are wrong on a single one (PyTorch 2.13)."""
Line = Callable[[Tensor], Tensor]
"""A linear map of the columns of [N,1,h,w]."""


def padding_adjoint(mode: str) -> Callable[..., Tensor]:
    """Return the adjoint of a padding in a mode of `functional.pad`, with the arguments of PyTorch's own."""

    def adjoint(gradient: Tensor, image: Tensor, padding: Sequence[int]) -> Tensor:
        left, right, top, bottom = padding

        def line(before: int, after: int) -> Line:
            return lambda basis: functional.pad(basis, (0, 0, before, after), mode=mode)

        vertical = _matrix(int(image.shape[2]), int(gradient.shape[2]), line(top, bottom))
        horizontal = _matrix(int(image.shape[3]), int(gradient.shape[3]), line(left, right))
        return sandwich(vertical.T, gradient, horizontal.T)

    return adjoint


def resize_matrices(
    resize: OpOverload, image: Tensor, result: Tensor, arguments: Sequence[Any]
) -> tuple[Tensor, Tensor]:
    """Return what a resize multiplies an image by from the left, [H,h], and its transpose from the right, [W,w].

    resize: one of `RESIZES`. image, result: [B,C,h,w] and [B,C,H,W], of which the shapes are used. arguments: of the call.
    """
    plain = resize.overloadpacket.default
    _, size, *corners, scales = [*arguments, *[None] * (RESIZES[resize] - len(arguments))]

    def line(axis: int) -> Line:
        scale = scales[axis] if size is None and scales else None
        return lambda basis: plain(basis, [int(result.shape[2 + axis]), COLUMNS], *corners, scale, None)

    vertical, horizontal = (
        _matrix(int(image.shape[2 + axis]), int(result.shape[2 + axis]), line(axis)) for axis in (0, 1)
    )
    return vertical, horizontal


def _matrix(inputs: int, outputs: int, line: Line) -> Tensor:
    """The matrix [outputs,inputs] of a linear map of one axis, from what it makes of the unit vectors."""
    with disable_proxy_modes_tracing(), unset_fake_temporarily():
        basis = torch.eye(inputs, dtype=torch.float64).reshape(inputs, 1, inputs, 1)
        found = line(basis.expand(-1, -1, -1, COLUMNS).contiguous())[..., 0]
        return found.reshape(inputs, outputs).T.float().contiguous()


PADDINGS: dict[OpOverload, Callable[..., Any]] = {
    aten.reflection_pad2d_backward.default: padding_adjoint("reflect"),
    aten.replication_pad2d_backward.default: padding_adjoint("replicate"),
}

RESIZES = {
    aten.upsample_nearest2d.vec: 3,
    aten._upsample_nearest_exact2d.vec: 3,
    aten.upsample_bilinear2d.vec: 4,
    aten._upsample_bilinear2d_aa.vec: 4,
    aten.upsample_bicubic2d.vec: 4,
    aten._upsample_bicubic2d_aa.vec: 4,
}
"""Resizes as the forward pass holds them, and the number of their arguments: image, size, corners, scales."""
