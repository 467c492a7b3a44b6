"""Objectness against its definition, and flat images."""

import numpy as np
import pytest

from unsee.engine.methods.detection import OBJECT_FROM, Detection
from unsee.engine.segmentation.objectness import judged, objectness

HALF = np.zeros((6, 10), np.uint8)
HALF[:, :5] = 255


def naive(saliency, image):
    weights = saliency.astype(float) / 255
    ours = [np.average(image[..., channel], weights=weights) for channel in range(3)]
    theirs = [np.average(image[..., channel], weights=1 - weights) for channel in range(3)]
    return np.linalg.norm(np.subtract(ours, theirs)) / np.linalg.norm([255, 255, 255])


def test_objectness_is_the_distance_of_the_mean_colors():
    random = np.random.default_rng(0)
    saliency, image = random.integers(0, 256, (7, 9), np.uint8), random.integers(0, 256, (7, 9, 3), np.uint8)
    assert objectness(saliency, image) == pytest.approx(naive(saliency, image), abs=1e-12)


def test_white_on_black_is_1_and_one_valued_maps_are_0():
    image = np.repeat(HALF[..., None], 3, 2)
    assert objectness(HALF, image) == pytest.approx(1)
    assert objectness(np.zeros_like(HALF), image) == objectness(np.full_like(HALF, 255), image) == 0


def test_flat_images_have_nothing_and_failures_stay():
    detection = Detection(HALF, HALF / np.float32(255), magnitude=118.0)
    image = np.repeat(HALF[..., None], 3, 2)
    flat, missing, found = judged([detection, None, detection], np.stack([np.full_like(image, 40), image, image]))
    assert flat is not None and found is not None
    assert missing is None
    assert (flat.saliency.max(), flat.raw.max(), flat.magnitude, flat.objectness, flat.has_object) == (
        0,
        0,
        0,
        0,
        False,
    )
    np.testing.assert_array_equal(found.saliency, HALF)
    assert found.has_object and found.magnitude == 118


def test_rule_is_a_threshold():
    assert Detection(HALF, HALF, objectness=OBJECT_FROM).has_object
    assert not Detection(HALF, HALF, objectness=OBJECT_FROM - 1e-9).has_object
