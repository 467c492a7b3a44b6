"""Speeds of the CUDA kernels where there is a GPU: images a second, and the share of the copy bandwidth they reach."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import Any

import numpy as np

from ...kernels.color import rgb_to_lab
from ...kernels.contrast import low_level_map
from ...kernels.device import empty, load_cuda, to_device
from ...kernels.pooling import superpixel_mean, superpixel_statistics
from ...kernels.resampling_on_device import Resize, resized_images
from ...kernels.slic import slic_lab
from ...kernels.sweep import joint_histogram

COPY_BYTES = 2**28


@dataclass(frozen=True)
class DeviceSpeed:
    """images_per_second: median over rounds. bandwidth_share: bytes that must be read and written at least, a second, over
    what a copy on the device reads and writes a second."""

    name: str
    images_per_second: float
    bandwidth_share: float


def cuda_speeds(
    pictures: np.ndarray, rounds: int, segments: int = 100, copy_bytes: int = COPY_BYTES
) -> list[DeviceSpeed]:
    """Time every kernel on pictures, uint8 [B, H, W, 3]; waits for the device before and after each.

    segments: superpixels an image.
    """
    images = to_device(pictures)
    lab = rgb_to_lab(images)
    labels = slic_lab(lab, segments)
    maps = to_device(np.random.default_rng(0).random(pictures.shape[:3], np.float32))
    levels = to_device(np.ascontiguousarray(pictures[..., 0]))
    masks = to_device(np.ascontiguousarray(pictures[..., 1]))
    statistics = superpixel_statistics(lab, labels)
    planes = to_device(np.ascontiguousarray(pictures.transpose(0, 3, 1, 2)).reshape(-1))
    sides = pictures.shape[1:3]
    halved = [Resize(sides, (max(1, sides[0] // 2), max(1, sides[1] // 2)), down_first=True)] * len(pictures)
    pixels = pictures[..., 0].size
    kernels = (  # name, call, bytes a pixel read and written at least
        ("Lab", partial(rgb_to_lab, images), 3 + 12),
        ("SLIC", partial(slic_lab, lab, segments), 12 + 4),
        ("superpixel mean", partial(superpixel_mean, maps, labels), 4 + 4 + 4),
        ("superpixel statistics", partial(superpixel_statistics, lab, labels), 12 + 4),
        ("low-level map", partial(low_level_map, statistics), 0),
        ("resizing to a quarter", partial(resized_images, planes, halved, 3), 3 + 0.75),
        ("sweep", partial(joint_histogram, levels, masks), 2),
    )
    copied = _copy_bandwidth(copy_bytes, rounds)
    speeds = []
    for name, call, bytes_a_pixel in kernels:
        seconds = _seconds(call, rounds)
        share = bytes_a_pixel * pixels / seconds / copied
        speeds.append(DeviceSpeed(name, round(len(pictures) / seconds, 1), round(share, 4)))
    return speeds


def _copy_bandwidth(size: int, rounds: int) -> float:
    """Bytes a second that a copy on the device reads and writes."""
    source, target = empty((size,), np.uint8), empty((size,), np.uint8)
    return 2 * size / _seconds(partial(target.copy_to_device, source), rounds)


def _seconds(call: Callable[[], Any], rounds: int) -> float:
    cuda = load_cuda()
    call()  # compiles
    times = []
    for _ in range(rounds):
        cuda.synchronize()
        start = time.perf_counter()
        call()
        cuda.synchronize()
        times.append(time.perf_counter() - start)
    return median(times)
