"""From the bytes of an image file to RGB pixels on the network's grid, one image at a time.

Of an animation or a multi-page file the first frame counts. Orientation follows EXIF, colours `color_modes`.
"""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import cache

import numpy as np
from PIL import Image
from PIL.TiffImagePlugin import TiffImageFile

from ...images import damaged, open_image
from .color_modes import to_rgb
from .decoded_image import DecodedImage, DecodingConfig
from .orientation import TURNS, UNTURNS, orientation_of, swaps_sides
from .pixel_budget import PixelBudget
from .placing import Placing, placed, placings
from .strips import strips


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
    turned = orientation_of(image) if isinstance(image, TiffImageFile) else None
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
    turned = orientation_of(image) if isinstance(image, TiffImageFile) else None  # Pillow turns these as it loads them
    image.load()  # before other metadata is asked for: Pillow hides damage that it meets while it looks for metadata
    orientation = (turned or orientation_of(image)) if config.exif else 1
    turn = _turn_of(image, turned, config.exif)
    if turned:
        width, height = image.size
    if swaps_sides(turned) != swaps_sides(orientation):
        width, height = height, width
    whole = to_rgb(image)
    grids = [_resized(whole, placing) for placing in placings(whole.size, config, turn)]
    return placed(grids, config, turn, (width, height), orientation)


def _turn_of(image: Image.Image, turned: int | None, exif: bool) -> Image.Transpose | None:
    """Return what makes a loaded image upright, or with exif off as it is stored; turned: as Pillow turned it already."""
    if turned:
        return None if exif else UNTURNS.get(turned)
    return TURNS.get(orientation_of(image)) if exif else None


def _resized(image: Image.Image, placing: Placing) -> np.ndarray:
    """Resize strip by strip along one axis, then along the other.

    An array of the whole image would take as much room as the image.
    """
    from ...kernels.resampling import resized

    (width, height), resample, down = placing
    boxes = strips(image.size, down)
    parts = (np.asarray(image if len(boxes) == 1 else image.crop(box)) for box in boxes)
    made = [resized(part, *((height, part.shape[1]) if down else (len(part), width)), resample) for part in parts]
    return resized(np.concatenate(made, axis=1 if down else 0), height, width, resample)
