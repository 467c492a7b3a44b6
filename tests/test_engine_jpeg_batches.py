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
from unsee.errors import DecodingError, DeviceUnavailableError, UnseeError
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
    files[4] = files[4][:-200] + files[4][-2:]
    batches = batches_of(config)
    batches.device.refused = {files[2], files[4]}
    found = decoded(batches, files)
    for place, data in enumerate(files):
        try:
            assert_same(found[place], decode(data, config))
        except DecodingError as error:
            assert isinstance(found[place], DecodingError) and found[place].code == error.code
    assert sum(batches.device.calls) == 5


def test_what_the_cpu_cannot_decode_either_is_a_failure_of_that_image():
    data = bytearray(encoded(photograph()))
    start = data.index(b"\xff\xc4")
    data[start + 4 : start + 40] = bytes(36)  # no Huffman codes
    batches = batches_of(DecodingConfig(24))
    files = [encoded(photograph()), bytes(data)]
    batches.device.refused = {files[1]}
    good, bad = decoded(batches, files)
    assert isinstance(good, DecodedImage)
    assert isinstance(bad, DecodingError) and bad.code == "damaged"


def test_memory_that_runs_out_makes_smaller_batches_of_the_same_pixels():
    config = DecodingConfig(24)
    files = [encoded(photograph()) for _ in range(5)]
    batches = batches_of(config, room=2 * 60 * 40)
    for found, data in zip(decoded(batches, files), files, strict=True):
        assert_same(found, decode(data, config))
    assert batches.device.calls == [2, 1, 2]


def test_a_single_image_that_does_not_fit_is_said():
    batches = batches_of(DecodingConfig(24), room=100)
    with pytest.raises(UnseeError, match="out of memory on the GPU with a single image: use --decoder cpu"):
        decoded(batches, [encoded(photograph())])


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
        (encoded(photograph(), progressive=True), True),
        (encoded(photograph(), subsampling=0), True),
        (with_adobe_transform(encoded(photograph()), 1), True),
        (with_adobe_transform(encoded(photograph()), 0), False),
        (encoded(photograph(), keep_rgb=True), False),
        (encoded(photograph(mode="L")), False),
        (encoded(photograph(mode="CMYK")), False),
        (encoded(photograph())[:-2], False),
        (encoded(photograph())[:-300], False),
        (encoded(photograph(), format="PNG"), False),
    ],
)
def test_only_whole_jpegs_of_luma_and_chroma_are_taken(data, is_taken):
    batches = batches_of(DecodingConfig(24))
    try:
        assert (batches.taken(data) is not None) == is_taken
    except DecodingError:
        assert not is_taken


@pytest.mark.parametrize(
    ("data", "code"), [(b"", "empty_file"), (b"nothing", "not_an_image"), (encoded(photograph()), "too_large")]
)
def test_headers_fail_as_on_the_cpu(data, code):
    with pytest.raises(DecodingError) as raised:
        batches_of(DecodingConfig(24, max_pixels=100)).taken(data)
    assert raised.value.code == code


def test_a_network_on_the_cpu_has_no_nvjpeg_beside_it():
    with pytest.raises(DeviceUnavailableError, match="--decoder nvjpeg needs a network that runs on a GPU"):
        NvJpeg("cpu")
