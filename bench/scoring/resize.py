"""Resizing of 8-bit maps to their masks, exactly as the toolboxes do it: the numbers depend on the rule."""

from typing import Literal, get_args

import numpy as np
from PIL import Image

from ...errors import DecodingError, UnseeError

ResizeRule = Literal["opencv", "pillow"]
PLAINLY, ROUNDING = 0.1, 0.02
"""Differences of proportions that mean something, and those that come of rounding."""
COEFFICIENT_ONE = 2048  # OpenCV's weights are integers of 11 bits


def check_rule(rule: str) -> None:
    """Raise an UnseeError that lists the rules if this is none."""
    if rule not in get_args(ResizeRule):
        raise UnseeError(f"unknown resize rule {rule!r}: choose one of {', '.join(get_args(ResizeRule))}")


def resize_to(prediction: np.ndarray, shape: tuple[int, int], rule: ResizeRule) -> np.ndarray:
    """Resize a map, uint8 [h, w], to [H, W]; the same map if it has that shape.

    opencv: bit for bit cv2.resize(..., INTER_LINEAR), as PySODEvalToolkit does: between the two nearest pixels even when
    the map shrinks. pillow: Image.resize(BILINEAR), as LPS does: averages when it shrinks.
    """
    if prediction.shape == shape:
        return prediction
    if rule == "pillow":
        return np.asarray(Image.fromarray(prediction).resize((shape[1], shape[0]), Image.Resampling.BILINEAR))
    return _resize_opencv(prediction, shape)


def check_upright(shape: tuple[int, ...], mask_shape: tuple[int, int]) -> None:
    """Raise `DecodingError` with code `turned` for a map [h, w] of the proportions of its mask [H, W] on its side."""
    turned = mask_shape[::-1]
    alike = shape == turned or _stretch(shape, turned) <= ROUNDING < PLAINLY < _stretch(mask_shape, turned)
    if alike and shape != mask_shape:
        (height, width), (rows, columns) = shape, mask_shape
        raise DecodingError(
            "turned",
            f"the map is {width}x{height}, its mask {columns}x{rows}: one of them is turned by 90 degrees (EXIF?)",
        )


def is_squashed(shape: tuple[int, ...], mask_shape: tuple[int, int]) -> bool:
    """Tell whether a map [h, w] that is not square, as the output of a network is, has other proportions than its mask."""
    return shape[0] != shape[1] and _stretch(shape, mask_shape) > PLAINLY


def _stretch(shape: tuple[int, ...], other: tuple[int, ...]) -> float:
    """How much more one axis is scaled than the other between two sizes; 0 for equal proportions."""
    one, two = shape[0] * other[1], shape[1] * other[0]
    return max(one, two) / min(one, two) - 1


def _resize_opencv(prediction: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    (height, width), (new_height, new_width) = prediction.shape, shape
    left, share = _places(width, new_width)
    share = np.where(
        (left < 0) | (left >= width - 1), np.float32(0), share
    )  # rows are only clipped: it is OpenCV's way
    left = left.clip(0, width - 1)
    levels = prediction.astype(np.int32)
    rows = levels[:, left] * _weight(1 - share) + levels[:, (left + 1).clip(max=width - 1)] * _weight(share)
    top, share = _places(height, new_height)
    upper, lower = rows[top.clip(0, height - 1)] >> 4, rows[(top + 1).clip(0, height - 1)] >> 4
    mixed = ((upper * _weight(1 - share)[:, None]) >> 16) + ((lower * _weight(share)[:, None]) >> 16)
    return ((mixed + 2) >> 2).astype(np.uint8)


def _places(length: int, new_length: int) -> tuple[np.ndarray, np.ndarray]:
    """For each new pixel the old one before it, and the share of the one after."""
    place = ((np.arange(new_length) + 0.5) * (1 / (new_length / length)) - 0.5).astype(np.float32)
    before = np.floor(place).astype(np.int64)
    return before, place - before.astype(np.float32)


def _weight(share: np.ndarray) -> np.ndarray:
    return np.rint(share * np.float32(COEFFICIENT_ONE)).astype(np.int32)
