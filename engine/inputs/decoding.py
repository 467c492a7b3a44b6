"""From the bytes of an image file to RGB pixels on the network's grid, one image at a time.

Every mode becomes RGB by this rule: transparency is laid over white; 16-bit grey is divided by 257; 32-bit integer and
float grey is scaled from its own minimum and maximum to 0..255; CMYK, YCbCr, HSV and palettes are converted by Pillow;
Lab goes through its ICC profile. Of an animation or a multi-page file the first frame counts. Orientation follows EXIF.
"""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cache, partial

import numpy as np
from PIL import Image, ImageCms
from PIL.TiffImagePlugin import TiffImageFile

from ...errors import UnseeError
from ...images import MOST_PIXELS, damaged, open_image
from ...resizing import STRETCHED, Filter, Frame, Mode, Resizing
from .pixel_budget import PixelBudget

ORIENTATION_TAG = 0x0112
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What undoes each EXIF orientation (EXIF 2.3, tag 0x0112)."""
UNTURNS = {**TURNS, 6: TURNS[8], 8: TURNS[6]}
"""What turns an upright image into the stored one."""
SIDEWAYS = {TURNS[orientation] for orientation in (5, 6, 7, 8)}
"""The turns that make columns of rows."""

GREY_16_BIT = ("I;16", "I;16B", "I;16L", "I;16N")
STRIP = 2**20
"""Pixels that are converted, or resized, together."""


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


def decode(data: bytes, config: DecodingConfig) -> DecodedImage:
    """Decode one image file and resize it as the configuration says.

    Images that are decoded at once have at most `max_pixels` pixels together. Raises `DecodingError` with the codes of
    `open_image`.
    """
    image = open_image(data, config.max_pixels)
    try:
        width, height = image.size
        _reduce(image, config)
        with _budget(config.max_pixels).held(_held_pixels(image, width * height)), closing(image):
            return _on_grid(image, config, width, height)
    except Exception as error:  # whatever a hostile file makes Pillow raise is that one image's failure
        raise damaged(error) from None


@contextmanager
def whole_image(data: bytes, config: DecodingConfig) -> Iterator[Image.Image]:
    """Yield an image file that `decode` has taken as RGB at its full size, turned as `decode` does."""
    image = open_image(data, config.max_pixels)
    turned = _orientation(image) if isinstance(image, TiffImageFile) else None
    with _budget(config.max_pixels).held(image.width * image.height), closing(image):
        image.load()
        turn = _turn_of(image, turned, config.exif)
        whole = to_rgb(image)
        yield whole if turn is None else whole.transpose(turn)


_budget = cache(PixelBudget)
"""One budget a limit for all threads of the process, as memory is the process's."""


def _held_pixels(image: Image.Image, whole: int) -> int:
    """Return how many pixels reading an image takes room for; a progressive JPEG is held whole at any scale."""
    return whole if image.info.get("progressive") else image.width * image.height


def on_grid(image: Image.Image, config: DecodingConfig) -> DecodedImage:
    """Convert an image to RGB, resize it as the configuration says and turn it as its EXIF orientation says."""
    width, height = image.size
    _reduce(image, config)
    return _on_grid(image, config, width, height)


def _reduce(image: Image.Image, config: DecodingConfig) -> None:
    """Have a JPEG decoded at a smaller scale, unless that is to be exact."""
    if not config.exact:
        least = max(2 * config.size, config.promoter_size or 0)
        image.draft(None, (least, least))  # does nothing for other formats than JPEG


def _on_grid(image: Image.Image, config: DecodingConfig, width: int, height: int) -> DecodedImage:
    """width, height: of the whole image, which may be decoded at a smaller scale."""
    turned = _orientation(image) if isinstance(image, TiffImageFile) else None  # Pillow turns these while it loads them
    image.load()  # before other metadata is asked for: Pillow hides damage that it meets while it looks for metadata
    orientation = (turned or _orientation(image)) if config.exif else 1
    turn = _turn_of(image, turned, config.exif)
    if turned:
        width, height = image.size
    whole = to_rgb(image)
    pixels, frame = _placed(whole, config, turn)
    fine = None
    if config.promoter_size is not None:
        same = config.promoter_size == config.size and config.resizing == STRETCHED
        fine = pixels if same else _resized(whole, (config.promoter_size,) * 2, turn)
    if _swaps_sides(turned) != _swaps_sides(orientation):
        width, height = height, width
    return DecodedImage(pixels, width, height, orientation, fine, frame=frame)


def _turn_of(image: Image.Image, turned: int | None, exif: bool) -> Image.Transpose | None:
    """Return what makes a loaded image upright, or with exif off as it is stored; turned: as Pillow turned it already."""
    if turned:
        return None if exif else UNTURNS.get(turned)
    return TURNS.get(_orientation(image)) if exif else None


def _swaps_sides(orientation: int | None) -> bool:
    return orientation is not None and orientation >= 5


def _orientation(image: Image.Image) -> int:
    """Return the EXIF orientation; metadata that cannot be read, or holds nonsense, counts as upright."""
    try:
        value = image.getexif().get(ORIENTATION_TAG, 1)
    except Exception:  # damaged metadata does not make the pixels unusable
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _placed(
    image: Image.Image, config: DecodingConfig, turn: Image.Transpose | None
) -> tuple[np.ndarray, Frame | None]:
    """Return the network's grid, and what of it shows the image where that is not all."""
    size, resizing = config.size, config.resizing
    rows, columns = resizing.sides_on(size)
    inner_size = _inner_size(image.size, (rows, columns) if turn in SIDEWAYS else (columns, rows), resizing.mode)
    inner = _resized(image, inner_size, turn, resizing.resample)
    if inner.shape[:2] == (size, size) and resizing.mode == "stretch":
        return inner, None
    height, width = inner.shape[:2]
    left, top = (columns - width) // 2, (rows - height) // 2
    grid = np.full((size, size, 3), resizing.padding, np.uint8)
    grid[top : top + height, left : left + width] = inner
    return grid, (left, top, width, height)


def _inner_size(image: tuple[int, int], room: tuple[int, int], mode: Mode) -> tuple[int, int]:
    """Return width and height of an image that fills a room, or that has its proportions in it."""
    if mode == "stretch":
        return room
    scale = min(room[0] / image[0], room[1] / image[1])
    return max(1, round(image[0] * scale)), max(1, round(image[1] * scale))


def _resized(
    image: Image.Image, size: tuple[int, ...], turn: Image.Transpose | None, resample: Filter = "bilinear"
) -> np.ndarray:
    """Resize, then turn, which costs little on the small grid; the bytes are those of an image that is turned before."""
    from ...kernels.resampling import columns_first  # it loads numba, which planning has no use for

    (width, height), sideways = size, turn in SIDEWAYS
    sides = (
        ((image.width, image.height), (width, height)) if sideways else ((image.height, image.width), (height, width))
    )
    small = _small(image, width, height, resample, columns_first(*sides) != sideways)
    return small if turn is None else np.asarray(Image.fromarray(small).transpose(turn))


def _small(image: Image.Image, width: int, height: int, resample: Filter, down: bool) -> np.ndarray:
    """Resize strip by strip along one axis, columns where down, then along the other.

    An array of the whole image would take as much room as the image.
    """
    from ...kernels.resampling import resized

    boxes = _strips(image.size, down)
    strips = (np.asarray(image if len(boxes) == 1 else image.crop(box)) for box in boxes)
    made = [resized(one, *((height, one.shape[1]) if down else (len(one), width)), resample) for one in strips]
    return resized(np.concatenate(made, axis=1 if down else 0), height, width, resample)


def _strips(size: tuple[int, int], upright: bool) -> list[tuple[int, int, int, int]]:
    """Return boxes of at most `STRIP` pixels that make up an image: of whole columns where upright, else of whole rows."""
    width, height = size
    across, along = (height, width) if upright else (width, height)
    step = max(1, STRIP // across)
    spans = [(first, min(first + step, along)) for first in range(0, along, step)]
    return [(first, 0, end, height) if upright else (0, first, width, end) for first, end in spans]


def to_rgb(image: Image.Image) -> Image.Image:
    """Return the image in mode RGB by the rule at the top of this module; one that is RGB already is not copied."""
    image.load()
    if image.mode == "RGB" and not image.has_transparency_data:
        return image
    convert = _converter(image)
    if convert is None:
        return image.convert("RGB")
    if image.width * image.height <= STRIP:
        return convert(image)
    return _by_strips(image, convert)


def _converter(image: Image.Image) -> Callable[[Image.Image], Image.Image] | None:
    """Return what makes strips of an image RGB, None where Pillow does so by itself."""
    if image.mode in GREY_16_BIT:
        return _from_16_bit
    if image.mode in ("I", "F"):
        return partial(_stretched, extrema=_extrema(np.asarray(image)))
    if image.mode == "LAB":
        return _from_lab
    if image.mode == "La" or image.has_transparency_data:
        return _over_white
    return None


def _by_strips(image: Image.Image, convert: Callable[[Image.Image], Image.Image]) -> Image.Image:
    """Convert an image a strip at a time: what is made on the way takes several times the room of the result."""
    result = Image.new("RGB", image.size)
    for box in _strips(image.size, upright=False):
        result.paste(convert(image.crop(box)), box)
    return result


def _from_16_bit(image: Image.Image) -> Image.Image:
    grey = np.asarray(image).astype(np.float32) / 257
    return Image.fromarray(np.rint(grey).astype(np.uint8)).convert("RGB")


def _from_lab(image: Image.Image) -> Image.Image:
    transform = ImageCms.buildTransform(ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB"), "LAB", "RGB")
    converted = ImageCms.applyTransform(image, transform)
    assert converted is not None  # None only when working in place
    return converted


def _over_white(image: Image.Image) -> Image.Image:
    if image.mode == "La":  # premultiplied, as RGBa, but Pillow converts only this way
        image = image.convert("LA")
    layer = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), layer).convert("RGB")


def _extrema(grey: np.ndarray) -> tuple[float, float]:
    """Return the least and the largest of all values [H,W], those that are not finite taken as 0."""
    values = np.nan_to_num(grey, posinf=0, neginf=0)
    return float(values.min()), float(values.max())


def _stretched(image: Image.Image, extrema: tuple[float, float]) -> Image.Image:
    """Scale finite values linearly from the extrema to 0..255; a constant image becomes zeros."""
    values = np.nan_to_num(np.asarray(image).astype(np.float64), posinf=0, neginf=0)
    low, high = extrema
    scale = 255 / (high - low) if high > low else 0.0
    return Image.fromarray(np.rint((values - low) * scale).astype(np.uint8)).convert("RGB")
