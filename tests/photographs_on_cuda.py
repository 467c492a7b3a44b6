"""Photographs finished on the device as on the CPU, by every preset; run by test_kernels_cuda.py in a process of its own."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import skimage
from PIL import Image

from unsee.engine.cleanup.postprocess import finish
from unsee.engine.cleanup.presets import PRESETS
from unsee.kernels.color import rgb_to_lab
from unsee.kernels.eight_bits import to_levels
from unsee.kernels.slic import slic_lab
from unsee.tests.cuda_simulator import on_device, simulator, tiny_blocks  # noqa: F401

NAMES = ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg", "motorcycle_left.png", "motorcycle_right.png")
WIDTH, HEIGHT = 19, 15


@pytest.fixture(scope="module")
def photographs():
    """Six photographs, uint8 [6,H,W,3], and differences that are large where they are bright."""
    folder = Path(skimage.__file__).parent / "data"
    pictures = [Image.open(path).convert("RGB") for path in map(folder.joinpath, NAMES) if path.exists()]
    images = np.stack([np.asarray(picture.resize((WIDTH, HEIGHT))) for picture in pictures])
    bright = images.transpose(0, 3, 1, 2).astype(np.float32) / 255
    return images, (20 * bright**2 * np.random.default_rng(0).random(bright.shape)).astype(np.float32)


def test_labels_from_equal_lab_are_equal(photographs):
    lab = rgb_to_lab(photographs[0])
    np.testing.assert_array_equal(slic_lab(on_device(lab), 12).copy_to_host(), slic_lab(lab, 12))


@pytest.mark.parametrize("name", PRESETS)
def test_no_pixel_is_more_than_a_level_off(name, photographs):
    images, delta = photographs
    assert len(images) >= 5
    config = replace(PRESETS[name].post, segments=min(PRESETS[name].post.segments, 12))
    expected = to_levels(finish(delta, images, config).final).astype(int)
    found = to_levels(finish(on_device(delta), on_device(images), config).final).copy_to_host()
    assert np.abs(found - expected).max() <= 1 and expected.max() > 100
