"""What a descent can lower: the costs of the papers, each by the derivative that starts the backward pass (spec 1.2, 2.1).

A new cost is a function here and its name in `Cost`. PyTorch is imported by the functions only.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from torch import Tensor

Cost = Literal["clamp", "log-prob", "masked"]


def clamp(logits: "Tensor", reference: "Tensor", is_target: "Tensor", gamma: float) -> "Tensor":
    """Lower the target's logit and hold the others (B1): the derivative is B3."""
    import torch

    return torch.where(is_target, 1.0, 2 * gamma * (logits - reference))


def log_probability(logits: "Tensor", reference: "Tensor", is_target: "Tensor", gamma: float) -> "Tensor":  # noqa: ARG001
    """Lower the target's log probability (A1); 1 - y_l is summed from the other probabilities (spec section 0.3)."""
    import torch

    probability = torch.softmax(logits, 1)
    others = torch.where(is_target, 0.0, probability)
    return torch.where(is_target, others.sum(1, keepdim=True), -probability)


def masked(logits: "Tensor", reference: "Tensor", is_target: "Tensor", gamma: float) -> "Tensor":
    """Raise the target's log probability, the target being a node of a network trained on masked images (A3, A4)."""
    return -log_probability(logits, reference, is_target, gamma)


SIGNALS: dict[Cost, Callable[["Tensor", "Tensor", "Tensor", float], "Tensor"]] = {
    "clamp": clamp,
    "log-prob": log_probability,
    "masked": masked,
}
"""From logits and reference [B,N], where the target is, and gamma, to dF/da [B,N], the derivative by the logits a."""
