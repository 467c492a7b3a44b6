"""Changes of an image that leave its object alone."""

import torch
from torch import Generator, Tensor


def vary_colors(pixels: Tensor, generator: Generator) -> Tensor:
    """Change brightness, contrast and saturation of pixels [B,3,H,W] by up to 40 per cent each; stays in 0..255."""
    factors = 0.6 + 0.8 * torch.rand(3, len(pixels), 1, 1, 1, generator=generator)
    gray = pixels.mean(1, keepdim=True)
    saturated = gray + factors[0] * (pixels - gray)
    mean = gray.mean((2, 3), keepdim=True)
    return (factors[1] * (mean + factors[2] * (saturated - mean))).clamp(0, 255)
