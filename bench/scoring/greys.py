"""Maps and masks as 8-bit grey levels, with what is doubtful about the way in which a file says them.

8-bit grey is taken as it is, colours by their luma (ITU-R 601), 16 bits by their upper 8: what OpenCV reads for the
toolboxes. Where that would make another mask of the one that was meant, the mask is read as it was meant, or refused.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from ...errors import DecodingError
from ...images import open_image

WHITE, VOID = 255, 255
DEEP_WHITE = 65535
MIDDLE, MOST_GREY = (32, 223), 0.25
"""A mask of which a larger share lies between these levels is none."""
FAINT_COLOUR, MOST_COLOUR = 64, 0.01
"""Channels may differ by so much, in so large a share of the pixels, before an image counts as coloured."""
TINT = 16
"""Channels of a palette's greys may differ by so much: the void of PASCAL VOC, a tinted white, differs by 32."""

LABELS = "that hold labels in a palette: 0 and 255 count as background, all others as the object"
SCALED = "that hold 0 and one other value that is not white: it counts as the object"
DIM = "of which most of what is not black lies below the level where masks begin and counts as background"
SOFT = "that are not black and white: photographs or maps?"
COLOURED = "in colours: only their luma counts"
TRANSPARENT = "with transparency, which does not count"
FLAT = "of one value all over"

DEEP_MODES = ("I", "I;16", "I;16B", "I;16L", "I;16N")
AMBIGUOUS = "ambiguous_mask"
REMEDY = "save it as 8-bit grey, 255 for the object and 0 elsewhere"


@dataclass(frozen=True)
class Grey:
    """An image as uint8 [H, W], and the doubts in which it was read."""

    pixels: np.ndarray
    doubts: tuple[str, ...] = ()


def read_map(path: Path) -> Grey:
    """Read a saliency map; `DecodingError` or `OSError` where that is impossible."""
    return _read(path, _map_levels)


def read_mask(path: Path, foreground_above: int = 128) -> Grey:
    """Read a mask of which levels above `foreground_above` are the object; errors as of `read_map`, and `ambiguous_mask`."""
    grey = _read(path, _mask_levels)
    return Grey(grey.pixels, (*grey.doubts, *_mask_doubts(grey.pixels, foreground_above)))


def is_flat(pixels: np.ndarray) -> bool:
    """Tell whether all pixels have one value."""
    return pixels.size == 0 or bool(pixels.min() == pixels.max())


def _read(path: Path, levels: Callable[[Image.Image], Grey]) -> Grey:
    with open_image(path) as image:
        grey = levels(image)
        return Grey(grey.pixels, (*grey.doubts, *_colour_doubts(image)))


def _map_levels(image: Image.Image) -> Grey:
    if image.mode in DEEP_MODES:
        return Grey(_upper_bits(_integers(image)))
    return _plain(image)


def _mask_levels(image: Image.Image) -> Grey:
    if image.mode == "P":
        return _palette_mask(image)
    if image.mode in DEEP_MODES:
        return _deep_mask(_integers(image))
    grey = _plain(image)
    if image.mode == "L" and grey.pixels.max() == 1:  # the other modes cannot hold a mask of 0 and 1 by mistake
        return Grey(grey.pixels * np.uint8(WHITE), (SCALED,))
    return grey


def _plain(image: Image.Image) -> Grey:
    return Grey(_from_floats(np.asarray(image)) if image.mode == "F" else np.asarray(image.convert("L")))


def _from_floats(values: np.ndarray) -> np.ndarray:
    """Levels of a float image that holds 0 to 1 or 0 to 255, as its maximum says."""
    if not np.isfinite(values).all():
        raise DecodingError("damaged", "has values that are not finite")
    low, high = float(values.min()), float(values.max())
    if low < 0 or high > WHITE:
        raise DecodingError("out_of_range", f"values {low:g} to {high:g}, expected 0 to 1 or 0 to 255")
    return np.rint(values * (WHITE if high <= 1 else 1)).astype(np.uint8)


def _integers(image: Image.Image) -> np.ndarray:
    return np.asarray(image).astype(np.int64)


def _upper_bits(values: np.ndarray) -> np.ndarray:
    return (values >> 8).clip(0, WHITE).astype(np.uint8)


def _deep_mask(values: np.ndarray) -> Grey:
    """A 16-bit mask: of two values the larger is the object; few small ones may be labels or levels."""
    top = int(values.max())
    if ((values == 0) | (values == top)).all():
        doubts = () if top in (0, DEEP_WHITE) else (SCALED,)
        return Grey(np.where(values > 0, WHITE, 0).astype(np.uint8), doubts)
    if top <= WHITE:
        raise DecodingError(AMBIGUOUS, f"16 bits, values up to {top} only: labels or grey levels? {REMEDY}")
    return Grey(_upper_bits(values))


def _palette_mask(image: Image.Image) -> Grey:
    """A mask with a palette: grey levels where its colours are grey, else labels as PASCAL VOC has them."""
    indices = np.asarray(image)
    present = np.unique(indices)
    palette = np.zeros((256, 3), np.int64)
    colours = np.array(image.getpalette("RGB") or [], np.int64).reshape(-1, 3)
    palette[: len(colours)] = colours
    if _is_grey(palette) or (_is_grey(palette[present]) and _is_black_or_white(palette[present])):
        return Grey(np.asarray(image.convert("L")))
    if palette[0].any() or set(present.tolist()) <= {0, VOID}:
        raise DecodingError(
            AMBIGUOUS, f"a palette of colours, which need not be labels as PASCAL VOC has them: {REMEDY}"
        )
    return Grey(np.where((indices > 0) & (indices != VOID), WHITE, 0).astype(np.uint8), (LABELS,))


def _is_grey(colours: np.ndarray) -> bool:
    return bool(np.ptp(colours, axis=1).max() <= TINT)


def _is_black_or_white(colours: np.ndarray) -> bool:
    return bool(((colours < MIDDLE[0]) | (colours > MIDDLE[1])).all())


def _mask_doubts(pixels: np.ndarray, foreground_above: int) -> tuple[str, ...]:
    levels = np.bincount(pixels.ravel(), minlength=256)
    dim = levels[1 : foreground_above + 1].sum() > levels[foreground_above + 1 :].sum()
    soft = levels[MIDDLE[0] : MIDDLE[1] + 1].sum() > MOST_GREY * pixels.size
    return (*([DIM] if dim else []), *([SOFT] if soft else []))


def _colour_doubts(image: Image.Image) -> tuple[str, ...]:
    transparent = image.mode in ("LA", "RGBA", "PA") and bool((np.asarray(image.getchannel("A")) < WHITE).any())
    return (*([COLOURED] if _is_coloured(image) else []), *([TRANSPARENT] if transparent else []))


def _is_coloured(image: Image.Image) -> bool:
    if image.mode not in ("RGB", "RGBA", "CMYK", "YCbCr", "HSV"):
        return False
    pixels = np.asarray(image.convert("RGB"))
    strong = pixels.max(axis=2) - pixels.min(axis=2) > FAINT_COLOUR
    return bool(strong.mean() > MOST_COLOUR)
