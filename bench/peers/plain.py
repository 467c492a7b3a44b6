"""The script a user would write instead: Pillow, an eager autograd loop, scikit-image, one image at a time."""

import copy
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from ...engine.cleanup.presets import Preset
from ...export.bundles.descent_config import DescentConfig
from ...export.graph.step import PixelClassifier
from ...extras import require
from ...train.networks.checkpoints import Classifier
from ...train.networks.scaling import min_max
from .scikit_image import background_map, finished_map


def plain_network(classifier: Classifier, device: str = "cpu") -> nn.Module:
    """Return a copy of the classifier on pixels, laid out as PyTorch does by default."""
    module = copy.deepcopy(classifier.module)  # `to` would change the caller's
    return PixelClassifier(module, classifier.metadata.input).eval().requires_grad_(False).to(device)


def plain_descent(network: nn.Module, image: Tensor, config: DescentConfig, iterations: int) -> Tensor:
    """Return X(0) - X(T) [B,3,H,W] as one writes it down: plain autograd, one call an iteration (A1, B1 to B3)."""
    start, original, target = image, None, None
    for iteration in range(iterations):
        image = image.detach().requires_grad_()
        logits = network(image)
        if original is None or target is None:
            original, target = logits.detach(), logits.argmax(1, keepdim=True)
        (gradient,) = torch.autograd.grad(_cost(logits, original, target, config), image)
        image = image.detach() - config.step_at(iteration) * min_max(gradient.clamp(min=0), (2, 3))
    return start - image


def _cost(logits: Tensor, original: Tensor, target: Tensor, config: DescentConfig) -> Tensor:
    if config.cost == "log-prob":
        return logits.log_softmax(1).gather(1, target).sum()
    others = torch.ones_like(original).scatter(1, target, 0)
    return logits.gather(1, target).sum() + config.gamma * (others * (logits - original) ** 2).sum()


def plain_map(network: nn.Module, path: Path, size: int, preset: Preset, output: Path) -> None:
    """Make and save the map of one photograph."""
    picture = Image.open(path).convert("RGB")
    small = np.asarray(picture.resize((size, size), Image.Resampling.BILINEAR))
    levels = np.uint8(255 * plain_saliency(network, small, preset))
    Image.fromarray(levels).resize(picture.size, Image.Resampling.BILINEAR).save(output)


def plain_saliency(network: nn.Module, image: np.ndarray, preset: Preset, device: str = "cpu") -> np.ndarray:
    """Return the map [S,S], 0 to 1, of an image, uint8 [S,S,3], as presets `reference` and `best` make it."""
    pixels = torch.from_numpy(image.copy()).to(device).permute(2, 0, 1)[None].float().contiguous()
    config, post = preset.descent, preset.post
    raw = min_max(plain_descent(network, pixels, config, config.iterations), (2, 3)).mean(1)[0].cpu().numpy()
    if post.background:
        found = background_map(image, raw, post.segments, post.compactness, post.affinity_floor)
        parted = 1 / (1 + np.exp(post.steepness * (post.middle - found)))
        return (parted - parted.min()) / max(parted.max() - parted.min(), 1e-12)
    level = require("skimage.filters", "peers", "the plain script").threshold_otsu(raw)
    finished = finished_map(image, raw * (raw > 1.3 * level), segments=100, compactness=10.0)
    bright = np.minimum(1.7 * finished / max(finished.max(), 1e-12), 1)
    return bright * (bright > 0.2)
