"""The descent step: one pure function of tensors, the same for every runtime (spec sections 1.2, 1.3, 2.1, 2.5)."""

import copy
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ...train.networks.logits import logits_of
from ...train.networks.metadata import InputSpec
from ...train.networks.scaling import min_max
from ..bundles.costs import SIGNALS
from ..bundles.descent_config import DescentConfig, Precision

if TYPE_CHECKING:
    from ...train.networks.checkpoints import Classifier

Network = Callable[[Tensor], Tensor]
Step = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor], tuple[Tensor, Tensor, Tensor, Tensor]]

DTYPES: dict[Precision, torch.dtype] = {
    "fp32": torch.float32,
    "fp16": torch.float16,
    "bf16": torch.bfloat16,
    "fp64": torch.float64,
}

FROM_LOGITS = -1
"""A target of -1 stands for the top-1 class of the first pass."""


class PixelClassifier(nn.Module):
    """A classifier on RGB pixels in 0..255, so that input gradients are in cost per grey level for every input."""

    scale: Tensor
    shift: Tensor

    def __init__(self, network: nn.Module, spec: InputSpec, precision: Precision = "fp32") -> None:
        super().__init__()
        self.precision: Precision = precision
        self.network = network.to(DTYPES[precision])
        self.reverse = spec.channel_order == "BGR"
        std = torch.tensor(spec.std).reshape(1, 3, 1, 1)
        self.register_buffer("scale", spec.range / 255 / std)
        self.register_buffer("shift", torch.tensor(spec.mean).reshape(1, 3, 1, 1) / std)

    def forward(self, image: Tensor) -> Tensor:
        """Return logits [B,N] of RGB pixels [B,3,H,W]."""
        ordered = image.flip(1) if self.reverse else image
        pixels = (ordered * self.scale - self.shift).to(DTYPES[self.precision])
        return logits_of(self.network(pixels)).to(image.dtype)


def pixel_classifier(classifier: "Classifier", precision: Precision = "fp32") -> PixelClassifier:
    """Return a frozen copy of a classifier that takes pixels: `to` would change the caller's."""
    module = copy.deepcopy(classifier.module)
    return PixelClassifier(module, classifier.metadata.input, precision).eval().requires_grad_(False)


def error_signal(logits: Tensor, reference: Tensor, target: Tensor, config: DescentConfig) -> Tensor:
    """Return dF/da [B,N], the derivative of the cost by the logits a; see `costs`.

    logits, reference: [B,N], those of the current and of the original image. target: [B] int64.
    """
    is_target = torch.nn.functional.one_hot(target, logits.shape[1]).bool()
    return SIGNALS[config.cost](logits, reference, is_target, config.gamma)


def build_step(network: Network, config: DescentConfig, scaled: bool = False) -> Step:
    """Return step(image, reference, target, iteration, step_size) -> (next image, reference, target, logits).

    network maps image [B,3,H,W] to logits [B,N]. image: RGB, 0..255. reference: [B,N], ignored and replaced by the
    logits at iteration 0. target: [B] int64; at iteration 0 a `FROM_LOGITS` becomes the top-1. iteration: int64 [],
    step_size: float []. scaled: pull the error signal back at a size of 1 and scale the gradient afterwards, so that
    it stays within the range of half precision.
    """

    def step(
        image: Tensor, reference: Tensor, target: Tensor, iteration: Tensor, step_size: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        logits, pull_back = torch.func.vjp(network, image)  # pyright: ignore[reportAssignmentType]  # has_aux is off
        reference = torch.where(iteration == 0, logits, reference)
        target = torch.where(target == FROM_LOGITS, logits.argmax(1), target)
        signal = error_signal(logits, reference, target, config)
        size = signal.abs().amax(1, keepdim=True) if scaled else None
        (gradient,) = pull_back(signal if size is None else signal / torch.where(size > 0, size, 1.0))
        if size is not None:
            gradient = gradient * size[:, :, None, None]
        return descend_pixels(image, gradient, step_size, config), reference, target, logits

    return step


def descend_pixels(image: Tensor, gradient: Tensor, step_size: Tensor, config: DescentConfig) -> Tensor:
    """Return X - eps max(dF/dX, floor) (A2, B2), with the gradient normalised where the configuration says so."""
    gradient = gradient.clamp(min=config.gradient_floor)
    if config.gradient == "normalized":
        gradient = min_max(gradient, (2, 3))
    image = image - step_size * gradient
    return image.clamp(0, 255) if config.clip else image
