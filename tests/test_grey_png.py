"""Grey PNGs: the pixels come back, whatever reads them, and the files are smaller than Pillow's."""

import io

import numpy as np
import pytest
from PIL import Image

from unsee.engine.decoding.decoded_image import DecodingConfig
from unsee.engine.decoding.decoding import decode
from unsee.grey_png import grey_png

SHAPES = ((1, 1), (1, 7), (7, 1), (5, 3), (64, 48), (301, 1023))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", ["noise", "smooth", "flat", "mask"])
def test_pixels_come_back(shape, kind):
    random = np.random.default_rng(0)
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    pixels = {
        "noise": random.integers(0, 256, shape, np.uint8),
        "smooth": ((rows + columns) % 256).astype(np.uint8),
        "flat": np.full(shape, 255, np.uint8),
        "mask": np.uint8(255) * (rows > columns),
    }[kind]
    image = Image.open(io.BytesIO(grey_png(pixels)))
    image.verify()
    image = Image.open(io.BytesIO(grey_png(pixels)))
    assert (image.mode, image.format) == ("L", "PNG")
    assert np.array_equal(np.asarray(image), pixels)


def test_slices_of_larger_pictures_are_written_too():
    pixels = np.random.default_rng(0).integers(0, 256, (40, 50), np.uint8)[3:33:2, 1:44:3]
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(grey_png(pixels)))), pixels)


def test_maps_and_masks_are_smaller_than_pillows_quick_ones():
    rows, columns = np.mgrid[:300, :400]
    smooth = np.uint8(255 * np.exp(-((rows - 120) ** 2 + (columns - 210) ** 2) / 6000))
    for pixels in (smooth, np.uint8(255) * (smooth > 99)):
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "PNG", compress_level=1)
        assert len(grey_png(pixels)) < len(buffer.getvalue())


def test_our_own_decoder_finds_every_check_sum_right():
    pixels = np.uint8(np.mgrid[:20, :30][1] * 8)
    assert decode(grey_png(pixels), DecodingConfig(8)).width == 30
    damaged = bytearray(grey_png(pixels))
    damaged[50] ^= 1
    with pytest.raises(Exception, match="check sum|damaged"):
        decode(bytes(damaged), DecodingConfig(8))
