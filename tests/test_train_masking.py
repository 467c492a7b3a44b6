"""Masked images: which pixels are replaced by what."""

import numpy as np
import pytest

from unsee.errors import UnseeError
from unsee.train.data.datasets import Scene
from unsee.train.data.masking import masked_pixels
from unsee.train.networks.metadata import InputSpec

OBJECTS = np.array([[-1, -1, 3], [-2, 0, 3]], np.int16)
SCENE = Scene(np.arange(18, dtype=np.uint8).reshape(2, 3, 3), OBJECTS)


@pytest.mark.parametrize(("fill", "color"), [("mean", [124, 116, 104]), ("black", [0, 0, 0]), ("local", [2, 2, 4])])
def test_all_labelled_objects_and_nothing_else_is_filled(fill, color):
    masked = masked_pixels(SCENE, fill, InputSpec())
    kept = OBJECTS < 0  # background and void
    np.testing.assert_array_equal(masked[kept], SCENE.pixels[kept])
    # local: pixels (0, 1, 2) and (3, 4, 5) are background; halves round to even.
    assert (masked[~kept] == color).all()
    np.testing.assert_array_equal(SCENE.pixels.ravel(), np.arange(18))  # the scene is left alone


def test_mean_is_what_preprocessing_turns_into_zero():
    spec = InputSpec(channel_order="BGR", range=255.0, mean=(103.939, 116.779, 123.68), std=(1, 1, 1))
    assert (masked_pixels(SCENE, "mean", spec)[1, 1] == [124, 117, 104]).all()


def test_local_mean_without_background_is_the_networks():
    scene = Scene(np.zeros((2, 2, 3), np.uint8), np.zeros((2, 2), np.int16))
    assert (masked_pixels(scene, "local", InputSpec()) == [124, 116, 104]).all()


def test_unknown_fill_is_refused():
    with pytest.raises(UnseeError, match="fill must be one of"):
        masked_pixels(SCENE, "white", InputSpec())
