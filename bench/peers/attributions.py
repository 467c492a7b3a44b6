"""Captum's attributions of the top class's logit, as its tutorials use them: a batch at a time, magnitudes over channels."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ...extras import require

PASSES_AT_ONCE = 8
"""Forward and backward passes in memory at a time, over all images of a batch."""

SPREAD = 0.15
"""Noise of SmoothGrad as a share of the range of grey levels, within what its paper finds best (0.1 to 0.2)."""

Attribution = Callable[[Tensor, Tensor], Tensor]
"""From pixels [B,3,S,S] and classes [B] to attributions [B,3,S,S]."""


def saliency(network: nn.Module, passes: int) -> Attribution:  # noqa: ARG001
    """Return Simonyan's gradient (spec 5.1), which takes one pass whatever is asked for."""
    method = _captum().Saliency(network)
    return lambda pixels, target: method.attribute(pixels.requires_grad_(), target=target)


def smooth_gradient(network: nn.Module, passes: int) -> Attribution:
    """Return SmoothGrad: the mean of so many gradients of noisy copies (Smilkov et al. 2017), the same for each run."""
    captum = _captum()
    method = captum.NoiseTunnel(captum.Saliency(network))
    sizes = {"nt_samples": passes, "nt_samples_batch_size": 1, "nt_type": "smoothgrad", "stdevs": 255 * SPREAD}

    def attribute(pixels: Tensor, target: Tensor) -> Tensor:
        torch.manual_seed(0)
        return method.attribute(pixels, target=target, **sizes)

    return attribute


def integrated_gradients(network: nn.Module, passes: int) -> Attribution:
    """Return gradients integrated from black in so many steps (Sundararajan et al. 2017)."""
    method = _captum().IntegratedGradients(network)

    def attribute(pixels: Tensor, target: Tensor) -> Tensor:
        size = max(PASSES_AT_ONCE, len(pixels))
        return method.attribute(pixels, target=target, n_steps=passes, internal_batch_size=size)

    return attribute


def attribution_maps(network: nn.Module, attribution: Attribution, images: np.ndarray, device: str) -> np.ndarray:
    """Return maps, float32 [B,S,S] with a maximum of 1, of images, uint8 [B,S,S,3]."""
    pixels = torch.from_numpy(images).to(device).permute(0, 3, 1, 2).float().contiguous()
    with torch.no_grad():
        target = network(pixels).argmax(1)
    maps = attribution(pixels, target).detach().abs().amax(1)
    return (maps / maps.amax((1, 2), keepdim=True).clamp(min=1e-30)).float().cpu().numpy()


def _captum() -> Any:
    return require("captum.attr", "peers", "comparing with captum")
