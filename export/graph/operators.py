"""The operators that a classifier may hold: each has an adjoint that is tested against autograd."""

from collections.abc import Sequence
from typing import Any

import torch
from torch._ops import OpOverload

aten = torch.ops.aten

PACKETS = {
    aten.convolution, aten.conv2d, aten.relu, aten.relu_, aten.leaky_relu, aten.leaky_relu_, aten.hardtanh,
    aten.hardtanh_, aten.elu, aten.silu, aten.hardswish, aten.hardsigmoid, aten.sigmoid, aten.tanh,
    aten.max_pool2d_with_indices, aten.avg_pool2d, aten._adaptive_avg_pool2d, aten.native_batch_norm, aten.mean,
    aten.sum, aten._native_batch_norm_legit_no_training, aten.cat, aten.add, aten.add_, aten.sub, aten.mul, aten.mul_,
    aten.div, aten.neg, aten.pow, aten.exp, aten.sqrt, aten.rsqrt, aten.addmm, aten.mm, aten.bmm, aten._log_softmax,
    aten._softmax, aten.view, aten._unsafe_view, aten.flatten, aten.reshape, aten.t, aten.transpose, aten.permute,
    aten.expand, aten.unsqueeze, aten.squeeze, aten.slice, aten.flip, aten.constant_pad_nd, aten.detach, aten.alias,
    aten.clone, aten.zeros, aten.empty, aten.split, aten.split_with_sizes, aten.rsub, aten.scalar_tensor, aten.lift_fresh,
    aten._to_copy, aten.ones, aten.full,
}  # fmt: skip
"""Operators by name, whatever their overload."""

IMAGE_ONLY = {aten.convolution: "only convolutions of images are", aten.max_pool2d_with_indices: "only 2-D pools are"}


def unsupported(operator: OpOverload, arguments: Sequence[Any]) -> str | None:
    """Return why an operator with these arguments has no adjoint here, or None where it has one."""
    packet = operator.overloadpacket
    if operator.namespace != "prim" and packet not in PACKETS:
        return "it has no adjoint here"
    if packet in IMAGE_ONLY and arguments[0].ndim != 4:
        return f"{IMAGE_ONLY[packet]} supported, got {arguments[0].ndim} dimensions"
    if packet is aten.convolution and arguments[6]:
        return "transposed convolutions are not supported"
    if packet is aten.slice and len(arguments) > 4 and arguments[4] != 1:
        return "slices with a step are not supported"
    if packet is aten.native_batch_norm and arguments[5]:
        return "batch normalisation must be in eval mode"
    return None
