"""Which files nvJPEG is given, in which batches, and what becomes of those that it cannot decode."""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import accumulate
from typing import Protocol

import numpy as np
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

from ... import jpeg
from ...errors import DecodingError, UnseeError, first_line
from ...export.runtime.memory import is_out_of_memory
from ...images import open_image
from ...kernels.resampling_on_device import Resize
from ...resizing import Sides
from .decoded_image import DecodedImage, DecodingConfig
from .decoding import decode
from .orientation import TURNS, orientation_of, swaps_sides
from .placing import Placing, placed, placings

MOST_PIXELS = 2**27
"""Pixels that are decoded together: 400 MB on the device, and as much again while they are put together."""
RGB_COMPONENTS = [ord(letter) for letter in "RGB"]


class JpegDevice(Protocol):
    """What decodes and resizes: `NvJpeg`."""

    def resized(self, files: Sequence[bytes], passes: Sequence[tuple[Sequence[Resize], str]]) -> list[np.ndarray]: ...

    def close(self) -> None: ...


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


class JpegBatches:
    """Decodes batches of JPEGs on a device; what it cannot decode there is decoded on the CPU, image by image."""

    def __init__(self, config: DecodingConfig, device: JpegDevice) -> None:
        self.config, self.device = config, device

    def taken(self, data: bytes) -> Jpeg | None:
        """Return a file as it is given to the device: a whole JPEG of YCbCr; None for any other.

        Raises `DecodingError` with the codes of `open_image`.
        """
        with closing(open_image(data, self.config.max_pixels)) as image:
            if not isinstance(image, JpegImageFile) or not _suits(image) or jpeg.lacks_end(data):
                return None
            return Jpeg(data, image.size, orientation_of(image) if self.config.exif else 1)

    def decoded(self, jpegs: Sequence[Jpeg]) -> list[DecodedImage | DecodingError]:
        """Decode files, each with the result that it has alone; the failures are those of the CPU.

        Raises `UnseeError` where the device has no memory for a single one.
        """
        found: list[DecodedImage | DecodingError] = []
        for part in _parts(jpegs):
            found += self._part(part)
        return found

    def close(self) -> None:
        """Give back the device's memory."""
        self.device.close()

    def _part(self, part: Sequence[Jpeg]) -> list[DecodedImage | DecodingError]:
        """Decode files together; where that fails each half by itself: torchvision does not say which one it was."""
        try:
            return [*self._on_device(part)]
        except Exception as error:  # whatever a hostile file makes nvJPEG say, and no memory
            half = len(part) // 2
            if half:
                return self._part(part[:half]) + self._part(part[half:])
            if is_out_of_memory(error):
                raise UnseeError(
                    f"out of memory on the GPU with a single image: use --decoder cpu ({first_line(error)[:200]})"
                ) from None
            return [self._on_cpu(part[0])]

    def _on_device(self, part: Sequence[Jpeg]) -> list[DecodedImage]:
        plans = [placings(one.stored, self.config, one.turn) for one in part]
        by_grid = list(zip(*plans, strict=True))
        made = self.device.resized([one.data for one in part], [_pass(part, places) for places in by_grid])
        grids = [_cut(flat, places) for flat, places in zip(made, by_grid, strict=True)]
        return [
            placed(list(own), self.config, one.turn, one.size, one.orientation)
            for one, own in zip(part, zip(*grids, strict=True), strict=True)
        ]

    def _on_cpu(self, one: Jpeg) -> DecodedImage | DecodingError:
        try:
            return decode(one.data, self.config)
        except DecodingError as error:
            return error


def _suits(image: JpegImageFile) -> bool:
    """Tell whether nvJPEG and libjpeg agree on what the numbers mean: of YCbCr, which nvJPEG takes all for."""
    components = [component[0] for component in image.layer]
    return (
        image.format == "JPEG"
        and image.mode == "RGB"
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
