"""Self-attention over all positions of a feature map, exact and in blocks of queries (paper D, spec 4.2).

One map of all queries by all keys takes 600 MB at 112x112. Here only a block of it exists at a time: forward keeps none,
and backward computes each block anew.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable


def dense_attention(query_BNc: Tensor, key_BMc: Tensor, value_BMC: Tensor) -> Tensor:
    """Return softmax(query key^T) value [B,N,C], the softmax over the M keys, without a scale (D1-D3)."""
    return torch.softmax(query_BNc @ key_BMc.transpose(1, 2), 2) @ value_BMC


def blocked_attention(query_BNc: Tensor, key_BMc: Tensor, value_BMC: Tensor, block: int) -> Tensor:
    """Return `dense_attention` with at most `block` queries at a time; gradients too take no more memory."""
    if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in (query_BNc, key_BMc, value_BMC)):
        return _BlockedAttention.apply(query_BNc, key_BMc, value_BMC, block)  # pyright: ignore[reportReturnType]
    return _in_blocks(query_BNc, key_BMc, value_BMC, block)


def _in_blocks(query: Tensor, key: Tensor, value: Tensor, block: int) -> Tensor:
    """Attend block by block: a plain unrolled loop where it is exported."""
    parts = [slice(start, start + block) for start in range(0, query.shape[1], block)]
    if torch.compiler.is_compiling():
        return torch.cat([dense_attention(query[:, part], key, value) for part in parts], 1)
    attended = query.new_empty(*query.shape[:2], value.shape[2])
    for part in parts:  # results kept between the blocks would leave holes in the heap, as large as the whole map
        attended[:, part] = dense_attention(query[:, part], key, value)
    return attended


class _BlockedAttention(Function):
    """Keeps what comes in and goes out only; the softmax's gradient needs no more than their rows."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, block: int) -> Tensor:
        attended = _in_blocks(query, key, value, block)
        ctx.save_for_backward(query, key, value, attended)
        ctx.block = block
        return attended

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, gradient_BNC: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, None]:
        query, key, value, attended = ctx.saved_tensors
        mean_slope = (gradient_BNC * attended).sum(2, keepdim=True)
        query_gradient, key_gradient, value_gradient = (torch.zeros_like(tensor) for tensor in (query, key, value))
        for start in range(0, query.shape[1], ctx.block):
            part = slice(start, start + ctx.block)
            gradient = gradient_BNC[:, part]
            weight = torch.softmax(query[:, part] @ key.transpose(1, 2), 2)
            value_gradient += weight.transpose(1, 2) @ gradient
            slope = (gradient @ value.transpose(1, 2)).sub_(mean_slope[:, part]).mul_(weight)
            query_gradient[:, part] = slope @ key
            key_gradient += slope.transpose(1, 2) @ query[:, part]
        return query_gradient, key_gradient, value_gradient, None


class SelfAttention(nn.Module):
    """y = gamma o + x, where o attends from every position to all (D1-D4); gamma starts at 0.

    pooled: side of the cells that keys and values are averaged over; 1 attends to every position.
    """

    def __init__(self, channels: int, block: int, pooled: int = 1) -> None:
        super().__init__()
        self.query = nn.Conv2d(channels, channels // 8, 1)
        self.key = nn.Conv2d(channels, channels // 8, 1)
        self.value = nn.Conv2d(channels, channels, 1)
        self.gamma = nn.Parameter(torch.zeros(1))
        self.block, self.pooled = block, pooled

    def forward(self, image: Tensor) -> Tensor:
        """Map [B,C,H,W] to the same shape."""
        source = image if self.pooled == 1 else nn.functional.avg_pool2d(image, self.pooled)
        query, key, value = self.query(image), self.key(source), self.value(source)
        query, key, value = (tensor.flatten(2).transpose(1, 2) for tensor in (query, key, value))
        attended = blocked_attention(query, key, value, self.block)
        return self.gamma * attended.transpose(1, 2).reshape(image.shape) + image
