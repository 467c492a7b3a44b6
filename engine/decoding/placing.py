"""How a stored image comes onto the grids of the networks: the sizes it is resized to, the order, the turn, the borders."""

from typing import NamedTuple

import numpy as np
from PIL import Image

from ...resizing import STRETCHED, Filter, Frame, Mode
from .decoded_image import DecodedImage, DecodingConfig
from .orientation import SIDEWAYS


class Placing(NamedTuple):
    """What becomes of an image before it is turned: its size on a grid, width and height, the filter, and the first axis."""

    size: tuple[int, int]
    resample: Filter
    down_first: bool


def placings(stored: tuple[int, int], config: DecodingConfig, turn: Image.Transpose | None) -> list[Placing]:
    """Return how an image of a width and a height comes onto the network's grid, and onto the promoter's where that is
    another.

    The bytes are those of an image that is turned before it is resized.
    """
    rows, columns = config.resizing.sides_on(config.size)
    room = (rows, columns) if turn in SIDEWAYS else (columns, rows)
    made = [_placing(stored, _inner_size(stored, room, config.resizing.mode), turn, config.resizing.resample)]
    if config.promoter_size is not None and not _one_grid(config):
        made.append(_placing(stored, (config.promoter_size, config.promoter_size), turn, "bilinear"))
    return made


def placed(
    grids: list[np.ndarray],
    config: DecodingConfig,
    turn: Image.Transpose | None,
    size: tuple[int, int],
    orientation: int,
) -> DecodedImage:
    """Return the image whose grids, uint8 [h,w,3], were made by its placings. size: width and height as displayed."""
    inner, *fine = grids if turn is None else [_turned(grid, turn) for grid in grids]
    pixels, frame = _framed(inner, config)
    promoter_pixels = None if config.promoter_size is None else fine[0] if fine else pixels
    return DecodedImage(pixels, *size, orientation, promoter_pixels, frame=frame)


def _one_grid(config: DecodingConfig) -> bool:
    return config.promoter_size == config.size and config.resizing == STRETCHED


def _placing(stored: tuple[int, int], size: tuple[int, int], turn: Image.Transpose | None, resample: Filter) -> Placing:
    from ...kernels.resampling import columns_first  # it loads numba, which planning has no use for

    (columns, rows), (width, height) = stored, size
    if turn in SIDEWAYS:
        return Placing(size, resample, not columns_first((columns, rows), (width, height)))
    return Placing(size, resample, columns_first((rows, columns), (height, width)))


def _inner_size(image: tuple[int, int], room: tuple[int, int], mode: Mode) -> tuple[int, int]:
    """Return width and height of an image that fills a room, or that has its proportions in it."""
    if mode == "stretch":
        return room
    scale = min(room[0] / image[0], room[1] / image[1])
    return max(1, round(image[0] * scale)), max(1, round(image[1] * scale))


def _turned(grid: np.ndarray, turn: Image.Transpose) -> np.ndarray:
    return np.asarray(Image.fromarray(grid).transpose(turn))


def _framed(inner: np.ndarray, config: DecodingConfig) -> tuple[np.ndarray, Frame | None]:
    """Return the network's grid, and what of it shows the image where that is not all."""
    size, resizing = config.size, config.resizing
    if inner.shape[:2] == (size, size) and resizing.mode == "stretch":
        return inner, None
    rows, columns = resizing.sides_on(size)
    height, width = inner.shape[:2]
    left, top = (columns - width) // 2, (rows - height) // 2
    grid = np.full((size, size, 3), resizing.padding, np.uint8)
    grid[top : top + height, left : left + width] = inner
    return grid, (left, top, width, height)
