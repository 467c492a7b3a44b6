"""What decoding is asked for, and what it gives."""

from dataclasses import dataclass

import numpy as np

from ...errors import UnseeError
from ...images import MOST_PIXELS
from ...resizing import STRETCHED, Frame, Resizing


@dataclass(frozen=True)
class DecodingConfig:
    """size: side of the network's grid in pixels. exif: turn the image as its EXIF orientation says.

    max_pixels: larger images are refused before their pixels are read. exact: decode JPEGs at full size; otherwise at
    the smallest of the scales 1, 1/2, 1/4 and 1/8 that still has twice the grid's resolution. promoter_size: side of the
    grid of the network that promotes the maps, None where nothing does. resizing: how images come onto the grid.
    """

    size: int
    exif: bool = True
    max_pixels: int = MOST_PIXELS
    exact: bool = True
    promoter_size: int | None = None
    resizing: Resizing = STRETCHED

    def __post_init__(self) -> None:
        if self.max_pixels < 1:
            raise UnseeError(f"max_pixels must be at least 1, got {self.max_pixels}")


@dataclass(frozen=True)
class DecodedImage:
    """pixels: uint8 [S,S,3] RGB. width, height: of the whole image as displayed. orientation: EXIF's, 1 to 8.

    promoter_pixels: uint8 [P,P,3] on the promoter's grid. prior: uint8 [S,S], the map that was given for the image. frame:
    left, top, width and height of what of the grid shows the image, None where all of it does.
    """

    pixels: np.ndarray
    width: int
    height: int
    orientation: int
    promoter_pixels: np.ndarray | None = None
    prior: np.ndarray | None = None
    frame: Frame | None = None
