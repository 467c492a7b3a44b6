"""Whether a descent on the device is right: several turns, batch mates, repeats, and other work on the GPU meanwhile."""

from typing import Any

import numpy as np

from ...export.bundles.descent_config import DescentConfig
from ...export.parity.levels import relative_error
from ...export.parity.synthetic import synthetic_images
from ..speed.rivals import load_contestant
from .scale import Deadline, Found, Scale

NETWORK = "unsee-small"


def measure(scale: Scale, deadline: Deadline) -> Found:
    """Yield errors against double precision, and whether bits stay the same where they must."""
    from ...export.graph.eager import eager_descender

    classifier, config = load_contestant(NETWORK), DescentConfig(cost="log-prob", step=1.0)
    images = synthetic_images(classifier.metadata.input.size, 8)
    descender = eager_descender(classifier, config, scale.device, precision="fp32")
    exact = eager_descender(classifier, config, "cpu", precision="fp64")
    descender.runner.expect(8)
    for turns in (1, 2, 3):
        error = relative_error(descender.descend(images, turns).delta, exact.descend(images, turns).delta)
        yield f"error_of_{turns}_turns", float(np.median(error))
    together = descender.descend(images, 3).delta
    alone = np.concatenate([descender.descend(images[place : place + 1], 3).delta for place in range(8)])
    yield "batch_mates_decide_nothing", bool((together == alone).all())
    repeats = 0
    for _ in range(scale.repeats):
        repeats += int((descender.descend(images, 3).delta == together).all())
        if deadline.left <= 0:
            break
    yield "same_bits_in_repeats", [repeats, scale.repeats]
    if scale.on_gpu:
        yield "same_bits_beside_another_stream", _beside_another_stream(descender, images, together)
    descender.close()


def _beside_another_stream(descender: Any, images: np.ndarray, expected: np.ndarray) -> bool:
    import torch

    other, busy = torch.cuda.Stream(), torch.randn(4096, 4096, device="cuda")
    right = True
    for _ in range(5):
        with torch.cuda.stream(other):
            for _ in range(10):
                busy = torch.mm(busy, busy).clamp(-1, 1)
        right &= bool((descender.descend(images, 3).delta == expected).all())
    return right
