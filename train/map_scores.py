"""Scores of maps against labels while a network is trained (spec 0.5b); `unsee eval` is what tables are made with."""

import torch
from torch import Tensor

from .networks.scaling import min_max

BETA_SQUARED = 0.3


def mean_absolute_error(maps: Tensor, labels: Tensor) -> Tensor:
    """Return the mean absolute error [B] of maps [B,1,H,W], stretched to 0..1, against labels of 0 and 1."""
    return (min_max(maps, (1, 2, 3)) - labels).abs().mean((1, 2, 3))


def adaptive_f_measure(maps: Tensor, labels: Tensor) -> Tensor:
    """Return F [B] of stretched maps [B,1,H,W] cut at twice their mean, at most 1."""
    maps = min_max(maps, (1, 2, 3))
    chosen = (maps >= (2 * maps.mean((1, 2, 3), keepdim=True)).clamp(max=1)).float()
    found, predicted, wanted = ((values).sum((1, 2, 3)) for values in (chosen * labels, chosen, labels))
    return (1 + BETA_SQUARED) * found / (BETA_SQUARED * wanted + predicted).clamp(min=torch.finfo(maps.dtype).eps)
