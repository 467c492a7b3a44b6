"""The finished maps of every preset made on the device, against those of the CPU."""

from typing import Any

import numpy as np

from ...engine.cleanup.postprocess import finish
from ...engine.cleanup.presets import PRESETS
from ...export.parity.levels import mean_difference, within_one_level
from ...export.parity.synthetic import synthetic_images
from ...kernels.color import rgb_to_lab
from ...kernels.device import to_device
from ...kernels.eight_bits import to_levels
from ...kernels.slic import slic_lab
from .scale import Deadline, Found, Scale, need_gpu

COUNT, SIZE = 16, 224


def measure(scale: Scale, deadline: Deadline) -> Found:
    """Yield the share of superpixels' labels that are equal, and of each preset's pixels that are within a level."""
    need_gpu(scale)
    images = synthetic_images(SIZE, COUNT)
    lab = rgb_to_lab(images)
    yield "labels_equal", float((_on_host(slic_lab(to_device(lab))) == slic_lab(lab)).mean())
    delta = _delta(images)
    for name, preset in PRESETS.items():
        if deadline.left <= 0:
            return
        expected = to_levels(finish(delta, images, preset.post).final)
        found = to_levels(_on_host(finish(to_device(delta), to_device(images), preset.post).final))
        yield (
            name,
            {
                "equal": float((found == expected).mean()),
                "within_one_level": within_one_level(found, expected),
                "mean_levels": mean_difference(found, expected),
                "largest": int(np.abs(found.astype(int) - expected).max()),
            },
        )


def _on_host(array: Any) -> np.ndarray:
    return array.copy_to_host()


def _delta(images: np.ndarray) -> np.ndarray:
    """Return differences that are large where the images are bright, float32 [B,3,S,S]."""
    bright = images.transpose(0, 3, 1, 2).astype(np.float32) / 255
    return (bright**2 * 20).astype(np.float32) * np.random.default_rng(0).random(bright.shape, np.float32)
