"""Masked images: what CNN2 and CNN3 are trained on (paper A, section 3.1; spec 1.1)."""

from typing import Literal, get_args

import numpy as np

from ...errors import UnseeError
from ..networks.metadata import InputSpec
from .datasets import BACKGROUND, Scene

Fill = Literal["mean", "black", "local"]


def masked_pixels(scene: Scene, fill: Fill, spec: InputSpec) -> np.ndarray:
    """Return the image, uint8 [H,W,3], with every pixel of every labelled object replaced.

    fill: mean is the network's mean colour, which its preprocessing turns into zero; local is the mean colour of the
    pixels that stay. Void and crowd pixels stay as they are: nobody knows what they show, and no class is theirs.
    """
    if fill not in get_args(Fill):
        raise UnseeError(f"fill must be one of {get_args(Fill)}, got {fill!r}")
    inside = scene.objects >= 0
    masked = scene.pixels.copy()
    masked[inside] = _color(scene, fill, spec)
    return masked


def _color(scene: Scene, fill: Fill, spec: InputSpec) -> np.ndarray:
    if fill == "black":
        return np.zeros(3, np.uint8)
    ground = scene.pixels[scene.objects == BACKGROUND]
    if fill == "local" and len(ground):
        return np.rint(ground.mean(0)).astype(np.uint8)
    mean = np.array(spec.mean) * 255 / spec.range
    return np.rint(mean[::-1] if spec.channel_order == "BGR" else mean).astype(np.uint8)
