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
from ...kernels.resampling import SUPPORT
from ...kernels.resampling_on_device import Resize, resized_images
from ...kernels.slic import slic_lab
from .scale import Deadline, Found, Scale, need_gpu

COUNT, SIZE = 16, 224


def measure(scale: Scale, deadline: Deadline) -> Found:
    """Yield the share of superpixels' labels that are equal, and of each preset's pixels that are within a level."""
    need_gpu(scale)
    images = synthetic_images(SIZE, COUNT)
    lab = rgb_to_lab(images)
    yield "labels_equal", float((_on_host(slic_lab(to_device(lab))) == slic_lab(lab)).mean())
    yield "resized_equal", {resample: _resized_equal(images, resample) for resample in SUPPORT}
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


def _resized_equal(images: np.ndarray, resample: str) -> bool:
    """Tell whether images are resized on the device to the bytes of the CPU, to larger and to smaller sizes."""
    planes = np.ascontiguousarray(images.transpose(0, 3, 1, 2)).reshape(-1)
    sides = images.shape[1:3]
    resizes = [Resize(sides, (50 + 37 * place, 411 - 19 * place), bool(place % 2)) for place in range(len(images))]
    found = resized_images(to_device(planes), resizes, 3, resample)
    return bool((_on_host(found) == resized_images(planes, resizes, 3, resample)).all())


def _on_host(array: Any) -> np.ndarray:
    return array.copy_to_host()


def _delta(images: np.ndarray) -> np.ndarray:
    """Return differences that are large where the images are bright, float32 [B,3,S,S]."""
    bright = images.transpose(0, 3, 1, 2).astype(np.float32) / 255
    return (bright**2 * 20).astype(np.float32) * np.random.default_rng(0).random(bright.shape, np.float32)
