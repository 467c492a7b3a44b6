"""Which files nvJPEG is given, in which batches, and what is left to the CPU."""

import re
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import accumulate
from typing import Protocol

import numpy as np
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

from ... import jpeg
from ...errors import DecodingError, first_line
from ...export.runtime.memory import is_out_of_memory
from ...images import open_image
from ...kernels.resampling_on_device import Resize
from ...resizing import Sides
from .decoded_image import DecodedImage, DecodingConfig
from .orientation import TURNS, orientation_of, swaps_sides
from .placing import Placing, placed, placings

MOST_PIXELS = 2**27
"""Pixels that are decoded together: 400 MB on the device, and as much again while they are put together."""
LARGEST_IMAGE = 2**25
"""Pixels of an image that the device is given."""
LARGEST_FILE = 2**23
"""Bytes of a file that the device is given: up to three batches of them wait in memory."""
START = b"\xff\xd8\xff"
RGB_COMPONENTS = [ord(letter) for letter in "RGB"]
NO_MEMORY = re.compile(r"jpeg[^:]*: 5\b", re.IGNORECASE)
"""NVJPEG_STATUS_ALLOCATOR_FAILURE, of which torchvision says the number only."""


class JpegDevice(Protocol):
    """What decodes and resizes: `NvJpeg`."""

    def resized(self, files: Sequence[bytes], passes: Sequence[tuple[Sequence[Resize], str]]) -> list[np.ndarray]: ...

    def check(self) -> None: ...

    def free(self) -> None: ...


@dataclass(frozen=True)
class Jpeg:
    """A JPEG whose header has been read. stored: its width and height. orientation: EXIF's, 1 to 8."""

    data: bytes
    stored: tuple[int, int]
    orientation: int

    @property
    def size(self) -> tuple[int, int]:
        """Width and height as displayed."""
        width, height = self.stored
        return (height, width) if swaps_sides(self.orientation) else (width, height)

    @property
    def turn(self) -> Image.Transpose | None:
        """What makes it upright."""
        return TURNS.get(self.orientation)


Found = DecodedImage | DecodingError | None
"""None: the device cannot decode the file, and what becomes of it is for the CPU to say."""


class JpegBatches:
    """Decodes batches of JPEGs on a device, each with the result that it has alone."""

    def __init__(self, config: DecodingConfig, device: JpegDevice) -> None:
        self.config, self.device = config, device

    def taken(self, data: bytes) -> Jpeg | None:
        """Return a file as it is given to the device: a whole baseline JPEG of YCbCr; None for any other."""
        if not data.startswith(START) or len(data) > LARGEST_FILE or jpeg.lacks_end(data):
            return None
        try:
            image = open_image(data, self.config.max_pixels)
        except DecodingError:
            return None
        with closing(image):
            if not isinstance(image, JpegImageFile) or not _suits(image):
                return None
            return Jpeg(data, image.size, orientation_of(image) if self.config.exif else 1)

    def decoded(self, jpegs: Sequence[Jpeg]) -> list[Found]:
        """Decode files; one that finds no memory by itself is a failure with code `out_of_memory`.

        Raises `DeviceUnavailableError` where the device has stopped working.
        """
        found: list[Found] = []
        for part in _parts(jpegs):
            found += self._part(part)
        return found

    def close(self) -> None:
        """Give back the device's memory."""
        self.device.free()

    def _part(self, part: Sequence[Jpeg]) -> list[Found]:
        """Decode files together; where that fails each half by itself: torchvision does not say which one it was."""
        plans = [placings(one.stored, self.config, one.turn) for one in part]
        by_grid = list(zip(*plans, strict=True))
        passes = [_pass(part, places) for places in by_grid]
        try:
            made = self.device.resized([one.data for one in part], passes)
        except (RuntimeError, ValueError) as error:  # what torchvision raises, and another size than the header says
            reason, needs_memory = first_line(error)[:200], is_out_of_memory(error) or NO_MEMORY.search(str(error))
        else:
            return [*self._placed(part, made, by_grid)]
        self.device.free()  # here, where the error no longer holds what the batch had been given
        half = len(part) // 2
        if half:
            return self._part(part[:half]) + self._part(part[half:])
        if needs_memory:
            return [DecodingError("out_of_memory", f"no memory on the GPU for this image alone ({reason})")]
        self.device.check()  # it is the file, and not the device
        return [None]

    def _placed(
        self, part: Sequence[Jpeg], made: Sequence[np.ndarray], by_grid: Sequence[Sequence[Placing]]
    ) -> list[DecodedImage]:
        grids = [_cut(flat, places) for flat, places in zip(made, by_grid, strict=True)]
        return [
            placed(list(own), self.config, one.turn, one.size, one.orientation)
            for one, own in zip(part, zip(*grids, strict=True), strict=True)
        ]


def _suits(image: JpegImageFile) -> bool:
    """Tell whether the device is to have an image: one whose numbers nvJPEG and libjpeg both take for YCbCr.

    Those of several scans nvJPEG decodes in good part on the CPU, in one thread.
    """
    components = [component[0] for component in image.layer]
    return (
        image.format == "JPEG"
        and image.mode == "RGB"
        and image.width * image.height <= LARGEST_IMAGE
        and "progressive" not in image.info
        and image.info.get("adobe_transform", 1) == 1
        and components != RGB_COMPONENTS
    )


def _parts(jpegs: Sequence[Jpeg]) -> list[list[Jpeg]]:
    """Cut a batch where it has more pixels than are decoded together."""
    parts: list[list[Jpeg]] = []
    room = 0
    for one in jpegs:
        pixels = one.stored[0] * one.stored[1]
        if not parts or pixels > room:
            parts.append([])
            room = MOST_PIXELS
        parts[-1].append(one)
        room -= pixels
    return parts


def _pass(part: Sequence[Jpeg], places: Sequence[Placing]) -> tuple[list[Resize], str]:
    """Return how a batch comes onto one of the grids."""
    resizes = [
        Resize(_sides(one.stored), _sides(place.size), place.down_first)
        for one, place in zip(part, places, strict=True)
    ]
    return resizes, places[0].resample


def _cut(flat: np.ndarray, places: Sequence[Placing]) -> list[np.ndarray]:
    """Return the images, uint8 [h,w,3], that lie one after the other."""
    sizes = [_sides(place.size) for place in places]
    ends = list(accumulate(height * width * 3 for height, width in sizes))
    return [part.reshape(*size, 3) for part, size in zip(np.split(flat, ends[:-1]), sizes, strict=True)]


def _sides(size: tuple[int, int]) -> Sides:
    width, height = size
    return height, width
