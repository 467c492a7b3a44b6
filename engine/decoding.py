"""From the bytes of an image file to RGB pixels on the network's grid, one image at a time.

Every mode becomes RGB by this rule: transparency is laid over white; 16-bit grey is divided by 257; 32-bit integer and
float grey is scaled from its own minimum and maximum to 0..255; CMYK, YCbCr, HSV and palettes are converted by Pillow;
Lab goes through its ICC profile. Of an animation or a multi-page file the first frame counts. Orientation follows EXIF.
"""

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageCms

from ..errors import DecodingError as DecodingError
from ..errors import UnseeError
from ..formats import EXTENSIONS as EXTENSIONS
from ..images import MOST_PIXELS, damaged, open_image

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

GREY_16_BIT = ("I;16", "I;16B", "I;16L", "I;16N")


@dataclass(frozen=True)
class DecodingConfig:
    """size: side of the network's grid in pixels. exif: turn the image as its EXIF orientation says.

    max_pixels: larger images are refused before their pixels are read. exact: decode JPEGs at full size; otherwise at
    the smallest of the scales 1, 1/2, 1/4 and 1/8 that still has twice the grid's resolution. promoter_size: side of the
    grid of the network that promotes the maps, None where nothing does.
    """

    size: int
    exif: bool = True
    max_pixels: int = MOST_PIXELS
    exact: bool = True
    promoter_size: int | None = None

    def __post_init__(self) -> None:
        if self.max_pixels < 1:
            raise UnseeError(f"max_pixels must be at least 1, got {self.max_pixels}")


@dataclass(frozen=True)
class DecodedImage:
    """pixels: uint8 [S,S,3] RGB. width, height: of the whole image as displayed. orientation: EXIF's, 1 to 8.

    promoter_pixels: uint8 [P,P,3] on the promoter's grid. prior: uint8 [S,S], the map that was given for the image.
    """

    pixels: np.ndarray
    width: int
    height: int
    orientation: int
    promoter_pixels: np.ndarray | None = None
    prior: np.ndarray | None = None


def decode(data: bytes, config: DecodingConfig) -> DecodedImage:
    """Decode and resize (bilinear, aspect ratio not kept) one image file.

    Raises `DecodingError` with the codes of `open_image`.
    """
    image = open_image(data, config.max_pixels)
    try:
        return on_grid(image, config)
    except Exception as error:  # whatever a hostile file makes Pillow raise is that one image's failure
        raise damaged(error) from None


def _orientation(image: Image.Image) -> int:
    """Return the EXIF orientation; metadata that cannot be read, or holds nonsense, counts as upright."""
    try:
        value = image.getexif().get(ORIENTATION_TAG, 1)
    except Exception:  # damaged metadata does not make the pixels unusable
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def on_grid(image: Image.Image, config: DecodingConfig) -> DecodedImage:
    """Convert an image to RGB, resize it (bilinear, aspect ratio not kept) and turn it as its EXIF orientation says."""
    orientation = _orientation(image) if config.exif else 1
    width, height = image.size
    if not config.exact:
        least = max(2 * config.size, config.promoter_size or 0)
        image.draft(None, (least, least))  # does nothing for other formats than JPEG
    whole = to_rgb(image)
    pixels = _upright(whole, config.size, orientation)
    fine = None
    if config.promoter_size is not None:
        same = config.promoter_size == config.size
        fine = pixels if same else _upright(whole, config.promoter_size, orientation)
    if orientation >= 5:
        width, height = height, width
    return DecodedImage(pixels, width, height, orientation, fine)


def _upright(image: Image.Image, size: int, orientation: int) -> np.ndarray:
    """Resize, then turn: turning the square grid costs little, and the resampling is the same along both axes."""
    small = image.resize((size, size), Image.Resampling.BILINEAR)
    return np.asarray(small.transpose(TURNS[orientation]) if orientation in TURNS else small)


def to_rgb(image: Image.Image) -> Image.Image:
    """Return the image in mode RGB by the rule at the top of this module."""
    if image.mode in GREY_16_BIT:
        grey = np.asarray(image).astype(np.float32) / 257
        return Image.fromarray(np.rint(grey).astype(np.uint8)).convert("RGB")
    if image.mode in ("I", "F"):
        return Image.fromarray(_stretched(np.asarray(image))).convert("RGB")
    if image.mode == "LAB":
        transform = ImageCms.buildTransform(ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB"), "LAB", "RGB")
        converted = ImageCms.applyTransform(image, transform)
        assert converted is not None  # None only when working in place
        return converted
    if image.mode == "La":  # premultiplied, as RGBa, but Pillow converts only this way
        image = image.convert("LA")
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), layer).convert("RGB")
    return image.convert("RGB")


def _stretched(grey: np.ndarray) -> np.ndarray:
    """Scale finite values linearly from their minimum and maximum to 0..255; a constant image becomes zeros."""
    values = np.nan_to_num(grey.astype(np.float64), posinf=0, neginf=0)
    low, high = values.min(), values.max()
    scale = 255 / (high - low) if high > low else 0.0
    return np.rint((values - low) * scale).astype(np.uint8)
