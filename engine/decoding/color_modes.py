"""Every mode of an image becomes RGB by one rule.

Transparency is laid over white; 16-bit grey is divided by 257; 32-bit integer and float grey is scaled from its own
minimum and maximum to 0..255; CMYK, YCbCr, HSV and palettes are converted by Pillow; Lab goes through its ICC profile.
"""

from collections.abc import Callable
from functools import partial

import numpy as np
from PIL import Image, ImageCms

from . import strips

GREY_16_BIT = ("I;16", "I;16B", "I;16L", "I;16N")


def to_rgb(image: Image.Image) -> Image.Image:
    """Return the image in mode RGB by the rule at the top of this module; one that is RGB already is not copied."""
    image.load()
    if image.mode == "RGB" and not image.has_transparency_data:
        return image
    convert = _converter(image)
    if convert is None:
        return image.convert("RGB")
    if image.width * image.height <= strips.STRIP:
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
    for box in strips.strips(image.size, upright=False):
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
