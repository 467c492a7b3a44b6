"""What the other sections run on: versions, the GPU, and whether a kernel can be compiled, linked and launched at all."""

import time

import numpy as np

from ...export.runtime.driver import cuda_devices
from ...extras import versions_of
from ...kernels.device import filled
from ..speed.machine import machine
from .scale import Deadline, Found, Scale, need_gpu

PACKAGES = ("numba-cuda", "triton", "onnxruntime", "tensorrt", "torchvision", "cupy-cuda13x")


def measure(scale: Scale, deadline: Deadline) -> Found:  # noqa: ARG001
    """Yield the machine, its packages and its GPU, and the seconds of the first kernel."""
    yield "machine", machine()
    yield "packages", versions_of(PACKAGES)
    yield "gpus", list(cuda_devices())
    need_gpu(scale)
    import torch

    properties = torch.cuda.get_device_properties(0)
    yield (
        "gpu",
        {
            "name": properties.name,
            "capability": f"{properties.major}.{properties.minor}",
            "gigabytes": round(properties.total_memory / 2**30, 1),
            "multiprocessors": properties.multi_processor_count,
            "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(),
        },
    )
    started = time.perf_counter()
    right = bool((filled((1000,), np.int32, 7).copy_to_host() == 7).all())
    yield "first_kernel", {"right": right, "seconds": round(time.perf_counter() - started, 2)}
