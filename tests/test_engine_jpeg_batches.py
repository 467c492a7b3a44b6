"""JPEGs that a device decodes in batches: the pixels, the failures and the files that it is not given."""

import io

import numpy as np
import pytest
from PIL import Image

from unsee.engine.decoding import jpeg_batches
from unsee.engine.decoding.decoded_image import DecodedImage, DecodingConfig
from unsee.engine.decoding.decoding import decode
from unsee.engine.decoding.jpeg_batches import JpegBatches
from unsee.engine.decoding.nvjpeg import NvJpeg
from unsee.engine.decoding.orientation import ORIENTATION_TAG
from unsee.errors import DecodingError, DeviceUnavailableError
from unsee.resizing import Resizing
from unsee.tests.fake_nvjpeg import FakeNvJpeg

RNG = np.random.default_rng(17)


def photograph(width=60, height=40, mode="RGB"):
    blocks = RNG.integers(0, 256, (5, 7, 3), np.uint8)
    return Image.fromarray(blocks).resize((width, height), Image.Resampling.BICUBIC).convert(mode)


def encoded(image, orientation=None, **options):
    exif = Image.Exif()
    if orientation:
        exif[ORIENTATION_TAG] = orientation
    file = io.BytesIO()
    image.save(file, options.pop("format", "JPEG"), exif=exif, **options)
    return file.getvalue()


def batches_of(config, **options):
    return JpegBatches(config, FakeNvJpeg(**options))


def decoded(batches, files):
    return batches.decoded([batches.taken(data) for data in files])


def assert_same(found, expected):
    assert isinstance(found, DecodedImage)
    for name in ("pixels", "promoter_pixels"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
    for name in ("width", "height", "orientation", "frame"):
        assert getattr(found, name) == getattr(expected, name)


CONFIGS = [
    DecodingConfig(24),
    DecodingConfig(24, exif=False),
    DecodingConfig(24, resizing=Resizing("letterbox", "lanczos", 114)),
    DecodingConfig(24, resizing=Resizing(resample="bicubic", sides=(12, 20))),
    DecodingConfig(24, promoter_size=24),
    DecodingConfig(24, promoter_size=17),
]


@pytest.mark.parametrize("config", CONFIGS)
def test_images_are_those_of_the_cpu_at_full_size(config):
    sizes = [(60, 40), (40, 60), (24, 24), (7, 90), (300, 1), (61, 33), (33, 61), (50, 20)]
    files = [encoded(photograph(*size), orientation) for orientation, size in enumerate(sizes, 1)]
    batches = batches_of(config)
    for found, data in zip(decoded(batches, files), files, strict=True):
        assert_same(found, decode(data, config))
    assert batches.device.calls == [8]


def test_one_that_cannot_be_decoded_there_costs_the_others_nothing():
    config = DecodingConfig(24)
    files = [encoded(photograph()) for _ in range(7)]
    batches = batches_of(config)
    batches.device.refused = {files[2], files[4]}
    for place, found in enumerate(decoded(batches, files)):
        if place in (2, 4):
            assert found is None  # the CPU decodes it, or says why not
        else:
            assert_same(found, decode(files[place], config))
    assert sum(batches.device.calls) == 5


def test_memory_that_runs_out_makes_smaller_batches_of_the_same_pixels():
    """What a batch that failed had been given is free again before its halves are decoded."""
    config = DecodingConfig(24)
    files = [encoded(photograph()) for _ in range(5)]
    batches = batches_of(config, room=2 * 60 * 40)
    for found, data in zip(decoded(batches, files), files, strict=True):
        assert_same(found, decode(data, config))
    assert batches.device.calls == [2, 1, 2] and batches.device.freed == 2 and batches.device.held == 0


def test_an_image_that_does_not_fit_by_itself_is_a_failure_of_that_image():
    batches = batches_of(DecodingConfig(24), room=60 * 40)
    small, large, last = decoded(batches, [encoded(photograph(*size)) for size in [(60, 40), (90, 90), (60, 40)]])
    assert isinstance(small, DecodedImage) and isinstance(last, DecodedImage)
    assert isinstance(large, DecodingError) and large.code == "out_of_memory"


def test_a_device_that_has_stopped_working_ends_the_run():
    batches = batches_of(DecodingConfig(24))
    jpegs = [batches.taken(encoded(photograph())) for _ in range(3)]
    batches.device.works = False
    with pytest.raises(DeviceUnavailableError, match="decodes no JPEG"):
        batches.decoded(jpegs)


def test_large_images_are_decoded_in_several_calls(monkeypatch):
    monkeypatch.setattr(jpeg_batches, "MOST_PIXELS", 5000)
    batches = batches_of(DecodingConfig(24))
    sizes = [(60, 40), (60, 40), (60, 40), (200, 100), (60, 40)]
    assert len(decoded(batches, [encoded(photograph(*size)) for size in sizes])) == 5
    assert batches.device.calls == [2, 1, 1, 1]


def test_nothing_to_decode():
    assert batches_of(DecodingConfig(24)).decoded([]) == []


def with_adobe_transform(data, transform):
    """A JPEG with Adobe's marker, which says what its numbers mean, in the place of JFIF's."""
    end = data.index(b"\xff\xdb")
    return data[:2] + b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00" + bytes([transform]) + data[end:]


@pytest.mark.parametrize(
    ("data", "is_taken"),
    [
        (encoded(photograph()), True),
        (encoded(photograph(), subsampling=0), True),
        (with_adobe_transform(encoded(photograph()), 1), True),
        (with_adobe_transform(encoded(photograph()), 0), False),
        (encoded(photograph(), progressive=True), False),
        (encoded(photograph(), keep_rgb=True), False),
        (encoded(photograph(mode="L")), False),
        (encoded(photograph(mode="CMYK")), False),
        (encoded(photograph())[:-2], False),
        (encoded(photograph())[:-300], False),
        (encoded(photograph(), format="PNG"), False),
        (encoded(photograph(200, 300)), False),
        (encoded(photograph(199, 300)) + bytes(50_000), False),
        (b"", False),
        (b"\xff\xd8\xff\xd9", False),
    ],
)
def test_only_whole_jpegs_of_luma_and_chroma_and_of_usual_sizes_are_taken(data, is_taken, monkeypatch):
    monkeypatch.setattr(jpeg_batches, "LARGEST_IMAGE", 199 * 300)
    monkeypatch.setattr(jpeg_batches, "LARGEST_FILE", 50_000)
    assert (batches_of(DecodingConfig(24)).taken(data) is not None) == is_taken
    assert batches_of(DecodingConfig(24, max_pixels=100)).taken(data) is None


def test_a_network_on_the_cpu_has_no_nvjpeg_beside_it():
    with pytest.raises(DeviceUnavailableError, match="--decoder nvjpeg needs a network that runs on a GPU"):
        NvJpeg("cpu")
