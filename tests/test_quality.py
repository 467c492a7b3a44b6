"""Quality on real photographs with masks: the default preset must beat its own ablations."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from unsee.engine.cleanup.postprocess import finish
from unsee.engine.cleanup.presets import PRESETS
from unsee.engine.decoding.decoded_image import DecodingConfig
from unsee.engine.decoding.decoding import decode
from unsee.engine.methods.models import open_descender
from unsee.threads import cores

REFERENCE = PRESETS["reference"]
COUNT = 40


def max_f(maps, masks):
    """Largest F over 256 thresholds of the mean precision and recall (spec 0.5a)."""
    precision, recall = [], []
    for saliency, mask in zip(maps, masks, strict=True):
        levels = np.rint(
            255 * np.asarray(Image.fromarray(saliency).resize(mask.shape[::-1], 2)) / max(saliency.max(), 1e-9)
        )
        found = np.array([levels[mask] >= t for t in range(256)]).sum(1)
        marked = np.array([levels >= t for t in range(256)]).sum((1, 2))
        precision.append(np.where(marked > 0, found / np.maximum(marked, 1), 1))
        recall.append(found / mask.sum())
    p, r = np.mean(precision, 0), np.mean(recall, 0)
    return (1.3 * p * r / np.maximum(0.3 * p + r, 1e-12)).max()


@pytest.fixture
def a_lane_for_each_core():
    """Descend on several images at once, which changes no bit of theirs."""
    before = torch.get_num_threads()
    torch.set_num_threads(cores())
    yield
    torch.set_num_threads(before)


@pytest.mark.proof
@pytest.mark.timeout(900)
@pytest.mark.usefixtures("a_lane_for_each_core")
def test_default_preset_reaches_0_60_and_beats_gradient_and_no_clamp(shared, squeezenet):
    paths = sorted((shared / "data/ecssd-dev/images").glob("*.jpg"))[::6][:COUNT]
    masks = [
        np.asarray(Image.open(path.parents[1] / "masks" / f"{path.stem}.png").convert("L")) > 128 for path in paths
    ]
    images = np.stack([decode(path.read_bytes(), DecodingConfig(227)).pixels for path in paths])

    def descended(**changes):
        session = open_descender(str(squeezenet), replace(REFERENCE.descent, **changes), "cpu", "torch")
        return np.concatenate([session.descend(images[i : i + 10]).delta for i in range(0, COUNT, 10)])

    gradient = np.abs(descended(iterations=1, gradient="raw", gradient_floor=-np.inf)).max(1)
    reference = finish(descended(), images, REFERENCE.post)
    unclamped = finish(descended(gamma=0.0), images, REFERENCE.post)
    score = max_f(reference.final, masks)
    assert score >= 0.60
    assert score > max_f(gradient, masks)
    assert score > max_f(unclamped.final, masks)
    assert max_f(reference.smoothed, masks) > max_f(reference.raw, masks)
