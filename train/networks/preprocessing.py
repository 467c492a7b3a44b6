"""From RGB pixels to what a network sees (spec 0.2)."""

import torch
from torch import Tensor, nn

from .metadata import InputSpec


class Preprocessing(nn.Module):
    """Turns RGB pixels in 0..255 into a network's input: channels in its order, range, mean and deviation."""

    mean: Tensor
    std: Tensor

    def __init__(self, spec: InputSpec) -> None:
        super().__init__()
        self.spec = spec
        for name in ("mean", "std"):
            values = torch.tensor(getattr(spec, name)).reshape(1, 3, 1, 1)
            self.register_buffer(name, values, persistent=False)

    def forward(self, pixels: Tensor) -> Tensor:
        """Return the input [B,3,H,W] of pixels [B,3,H,W]."""
        ordered = pixels.flip(1) if self.spec.channel_order == "BGR" else pixels
        return (ordered * (self.spec.range / 255) - self.mean) / self.std
