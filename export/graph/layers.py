"""The output of a layer inside a network, and the map that its gradient makes of it."""

import math
import threading
from typing import Any

from torch import Tensor, nn

from ...errors import UnseeError
from ..bundles.attribution_contents import AttributionKind
from .step import PixelClassifier

MOST_TOKENS_BEFORE = 8
"""Class and register tokens that may stand before those of the pixels."""
MOST_NAMED = 20
"""Layers that an error lists; of more it names the first and the last."""


def activation_map(values: Tensor, gradient: Tensor, kind: AttributionKind) -> Tensor:
    """Return the class activation map [B,h,w] of a layer's output A and the target logit's gradient G by it.

    grad-cam: max(0, sum over channels of A times G's mean over pixels) (Selvaraju et al. 2017, eq. 1 and 2). layer-cam:
    max(0, sum over channels of A max(0, G)) (Jiang et al. 2021, eq. 5).
    """
    values, gradient = over_pixels(values), over_pixels(gradient)
    weights = gradient.mean((2, 3), keepdim=True) if kind == "grad-cam" else gradient.relu()
    return (values * weights).sum(1).relu()


def over_pixels(values: Tensor) -> Tensor:
    """Return a layer's output as [B,C,h,w].

    Channels come last where the first two sides of [B,h,w,C] are equal and the last two are not, as in Swin; tokens
    [B,T,C] lose those before the largest square number of them, as in ViT. Raises `UnseeError` on other shapes.
    """
    shape = list(values.shape)
    if len(shape) == 4:
        last = shape[1] == shape[2] != shape[3]
        return values.permute(0, 3, 1, 2) if last else values
    side = math.isqrt(int(shape[1])) if len(shape) == 3 else 0
    before = int(shape[1]) - side * side if side else 0
    if not side or before > MOST_TOKENS_BEFORE:
        found = [int(length) for length in shape[1:]]
        raise UnseeError(f"the layer makes {found} of an image, where [C,h,w], [h,w,C] or tokens of a square belong")
    return values.narrow(1, before, side * side).transpose(1, 2).reshape(-1, shape[2], side, side)


class Tapped(nn.Module):
    """A network that returns the output of one of its layers beside the logits.

    network: a classifier of pixels, which is changed for good. layer: name of a module of the network within it. Raises
    `UnseeError` where there is none.
    """

    def __init__(self, network: PixelClassifier, layer: str) -> None:
        super().__init__()
        names = [name for name, _ in network.network.named_modules() if name]
        if layer not in names:
            shown = ", ".join(names if len(names) < MOST_NAMED else [*names[:6], "...", *names[-6:]])
            raise UnseeError(f"the network has no layer {layer!r}; it has {shown}")
        self.network, self.layer = network, layer
        self.last = threading.local()
        network.network.get_submodule(layer).register_forward_hook(self._take)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits [B,N] and the layer's last output."""
        self.last.output = None
        logits = self.network(image)
        if self.last.output is None:
            raise UnseeError(f"layer {self.layer} is not used by the network: name another")
        return logits, self.last.output

    def _take(self, _module: nn.Module, _inputs: Any, output: Any) -> Tensor:
        """Keep a copy, and go on with another: what is changed in place later is not what is kept."""
        if not isinstance(output, Tensor):
            raise UnseeError(f"layer {self.layer} returns a {type(output).__name__}, not a tensor: name another")
        self.last.output = output.clone()
        return self.last.output.clone()
