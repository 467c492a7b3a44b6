"""Scaling of tensors to 0..1 (spec 0.1)."""

import torch
from torch import Tensor


def min_max(values: Tensor, dims: tuple[int, ...]) -> Tensor:
    """Scale values to 0..1 over some dimensions; where all are the same they become 0."""
    low = values.amin(dims, keepdim=True)
    extent = values.amax(dims, keepdim=True) - low
    return (values - low) / torch.where(extent > 0, extent, 1.0)
