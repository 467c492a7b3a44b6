"""The script a user would write instead: Pillow, an eager autograd loop, scikit-image, one image at a time."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from ..export.config import DescentConfig
from ..export.descent import PixelClassifier
from ..train.checkpoints import Classifier
from .peers import finished_map


def plain_network(classifier: Classifier) -> nn.Module:
    """Return the classifier on pixels, laid out as PyTorch does by default."""
    return (
        PixelClassifier(classifier.module, classifier.metadata.input).eval().to(memory_format=torch.contiguous_format)
    )  # pyright: ignore[reportCallIssue]


def plain_descent(network: nn.Module, image: Tensor, config: DescentConfig) -> Tensor:
    """Return X(0) - X(T) [B,3,H,W] of the clamp cost with a normalised gradient, by plain autograd."""
    start = image
    reference = target = torch.empty(0)
    for iteration in range(config.iterations):
        image = image.detach().requires_grad_()
        logits = network(image)
        if iteration == 0:
            reference, target = logits.detach(), logits.argmax(1)
        own = logits.gather(1, target[:, None])
        cost = own.sum() + config.gamma * ((logits - reference) ** 2).sum()
        cost = cost - config.gamma * ((own - reference.gather(1, target[:, None])) ** 2).sum()
        (gradient,) = torch.autograd.grad(cost, image)
        gradient = gradient.clamp(min=0)
        low, high = gradient.amin((2, 3), keepdim=True), gradient.amax((2, 3), keepdim=True)
        image = image - config.step_at(iteration) * (gradient - low) / (high - low).clamp(min=1e-12)
    return (start - image).detach()


def plain_map(network: nn.Module, path: Path, size: int, config: DescentConfig, output: Path) -> None:
    """Make and save the map of one photograph."""
    picture = Image.open(path).convert("RGB")
    small = np.asarray(picture.resize((size, size), Image.Resampling.BILINEAR))
    pixels = torch.from_numpy(small.copy()).permute(2, 0, 1)[None].float().contiguous()
    raw = plain_descent(network, pixels, config).mean(1)[0].numpy()
    finished = finished_map(small, raw, segments=100, compactness=10.0)
    levels = np.uint8(255 * finished / max(finished.max(), 1e-12))
    Image.fromarray(levels).resize(picture.size, Image.Resampling.BILINEAR).save(output)
