"""Whether a batch that does not fit is halved until one does, most of the GPU's memory being taken by somebody else."""

import numpy as np

from ...engine.methods.batching import Batcher
from ...export.bundles.descent_config import DescentConfig
from ...export.parity.synthetic import synthetic_images
from ..speed.rivals import load_contestant
from .scale import Deadline, Found, Scale, need_gpu

TAKEN = 0.9
LARGEST = 512


def measure(scale: Scale, deadline: Deadline) -> Found:  # noqa: ARG001
    """Yield the size of the batch that was left, and whether the maps are those of small batches."""
    need_gpu(scale)
    import torch

    from ...export.graph.eager import eager_descender

    classifier, config = load_contestant("vgg16"), DescentConfig(iterations=1)
    descender = eager_descender(classifier, config, "cuda", precision="fp32")
    free, total = torch.cuda.mem_get_info()
    taken = torch.empty(int(free - (1 - TAKEN) * total), dtype=torch.uint8, device="cuda")
    images = np.tile(synthetic_images(classifier.metadata.input.size, 4), (LARGEST // 4, 1, 1, 1))
    batcher = Batcher(descender, LARGEST)
    batcher.pads = True
    found = batcher.descend(images)
    yield "free_gigabytes", round((free - taken.nbytes) / 2**30, 1)
    yield "batch_that_fits", batcher.size
    yield "shrank", batcher.size < LARGEST
    again = batcher.descend(images)
    yield "same_bits_again", bool((found.delta == again.delta).all())
    descender.close()
