"""Speeds of the kernels on the device, with coarse and with fine superpixels."""

from dataclasses import asdict

from ...export.parity.synthetic import synthetic_images
from ..speed.cuda_kernels import cuda_speeds
from .scale import Deadline, Found, Scale, need_gpu

SEGMENTS = (100, 300)
SIZE = 224


def measure(scale: Scale, deadline: Deadline) -> Found:
    """Yield images a second of every kernel, and its share of the rate of copies."""
    need_gpu(scale)
    images = synthetic_images(SIZE, scale.batches[0])
    for segments in SEGMENTS:
        if deadline.left > 0:
            yield f"segments_{segments}", [asdict(one) for one in cuda_speeds(images, scale.rounds, segments)]
