"""Raw saliency maps of teachers by a short descent on the pixels (spec 2.1, 2.5), for distillation."""

from collections.abc import Callable

import torch
from torch import Tensor

from .networks.scaling import min_max

Network = Callable[[Tensor], Tensor]

GAMMA = 100.0
"""Weight of the clamp in the cost (B1)."""


def clamped_cost(logits: Tensor, reference: Tensor, target: Tensor) -> Tensor:
    """Return F [B] = a_l + gamma sum over k != l of (a_k - o_k)^2 (B1); logits a, reference o: [B,N]; target l: [B]."""
    others = torch.nn.functional.one_hot(target, logits.shape[1]) == 0
    return logits.gather(1, target[:, None])[:, 0] + GAMMA * ((logits - reference) * others).square().sum(1)


def descend(network: Network, pixels: Tensor, iterations: int, step: float) -> Tensor:
    """Return the images [B,3,H,W] after `iterations` steps along the positive gradient, scaled to 0..`step` grey levels."""
    with torch.no_grad():
        reference = network(pixels)
    target = reference.argmax(1)
    edited = pixels
    for _ in range(iterations):
        edited = edited.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(clamped_cost(network(edited), reference, target).sum(), edited)
        gradient = gradient.clamp(min=0)
        edited = edited.detach() - step * gradient / gradient.amax((2, 3), keepdim=True).clamp(min=1e-30)
    return edited


def change_map(original: Tensor, edited: Tensor) -> Tensor:
    """Return the raw saliency [B,H,W]: each channel of the change [B,3,H,W] scaled to 0..1, then the mean over them."""
    return min_max(original - edited, (2, 3)).mean(1)
