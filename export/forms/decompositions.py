"""The one table of what operators are written as: PyTorch's own decompositions, ours on top of them (design section 3)."""

from collections.abc import Callable
from typing import Any

import torch
from torch._decomp import core_aten_decompositions, get_decompositions
from torch._ops import OpOverload

from .adjoints import OURS
from .closed_forms import CLOSED_FORMS
from .resizes import PADDINGS

aten = torch.ops.aten

FROM_PYTORCH = (
    aten._log_softmax_backward_data, aten._softmax_backward_data, aten.sigmoid_backward, aten.tanh_backward,
    aten.hardtanh_backward, aten.silu_backward, aten.hardswish_backward, aten.hardsigmoid_backward,
    aten.elu_backward, aten.gelu_backward, aten._prelu_kernel_backward, aten.softplus_backward, aten.mish_backward,
    aten.glu_backward, aten._scaled_dot_product_flash_attention_for_cpu,
)  # fmt: skip
"""Operators whose decomposition in PyTorch is plain arithmetic already, besides the core ones."""

KEPT = {
    aten.upsample_bilinear2d, aten.upsample_nearest2d, aten.upsample_bicubic2d, aten.avg_pool2d, aten.addmm, aten.elu,
    aten.leaky_relu, aten.gelu, aten.hardtanh, aten.clamp, aten.split, aten.split_with_sizes, aten.softplus,
    aten._softmax, aten._log_softmax, aten.pad, aten.reflection_pad2d, aten.replication_pad2d,
    aten.baddbmm, aten.expand, aten.t, aten.zeros_like,
    aten.ones_like, aten.full_like, aten.transpose, aten.std, aten.embedding, aten.pixel_shuffle,
}  # fmt: skip
"""Operators that ONNX has in a good form, and that are not to be taken apart."""


def decompositions() -> dict[OpOverload, Callable[..., Any]]:
    """Return the table of decompositions that a step is traced with: PyTorch's core ones, ours on top of them."""
    core = {key: form for key, form in core_aten_decompositions().items() if _packet(key) not in KEPT}
    more = get_decompositions(FROM_PYTORCH)  # pyright: ignore[reportArgumentType]
    return {**core, **more, **CLOSED_FORMS, **PADDINGS, **OURS}  # pyright: ignore[reportReturnType]


def _packet(operator: Any) -> Any:
    return getattr(operator, "overloadpacket", operator)
