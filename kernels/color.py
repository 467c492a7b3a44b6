"""sRGB to CIE Lab (spec 2.6, with the constants of Achanta's SLIC code)."""

from typing import Any

import numpy as np

from .checks import check_images
from .device import empty, handed_back, is_cuda, launch, on_device, pixel_of
from .parallel import compiled, over_images
from .workspace import constant

cuda: Any = None  # bound by launch: a CPU needs no CUDA

RGB_TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
WHITE = np.array([0.950456, 1.0, 1.088754])
THRESHOLD = 0.008856


def linear_levels() -> np.ndarray:
    """Linear light of the 256 sRGB levels, float64 [256]."""
    level = np.arange(256) / 255
    return np.where(level <= 0.04045, level / 12.92, ((level + 0.055) / 1.055) ** 2.4)


LINEAR = linear_levels()
RGB_TO_RATIO = RGB_TO_XYZ / WHITE[:, None]


def rgb_to_lab(images: np.ndarray) -> np.ndarray:
    """Convert sRGB images to CIE Lab.

    images: uint8 [B, H, W, 3], in memory or on a CUDA device; the result lies where they lie. Returns float32
    [B, H, W, 3]: L in 0..100, a and b in about -108..+99. Computed in float64. The white point is Achanta's (.950456, 1,
    1.088754), spec 2.6; scikit-image's is (.95047, 1, 1.08883) and its matrix is rounded, which moves a colour by at
    most 0.06 Lab units. Raises ValueError for another shape or dtype.
    """
    if is_cuda(images):
        return _rgb_to_lab_cuda(images)
    images = check_images(images)
    lab = np.empty(images.shape, np.float32)
    over_images(_lab_loop, images, lab, constants=(LINEAR,))
    return lab


def _rgb_to_lab_cuda(source: Any) -> Any:
    images = on_device("images", source, np.uint8, (None, None, None, 3))
    lab = empty(images.shape, np.float32)
    launch(_lab_kernel, images.size // 3, images, constant(LINEAR), lab)
    return handed_back(lab, source)


@compiled
def _ratio(red: float, green: float, blue: float, row: int) -> float:
    """X, Y or Z of linear light, over that of white."""
    return RGB_TO_RATIO[row, 0] * red + RGB_TO_RATIO[row, 1] * green + RGB_TO_RATIO[row, 2] * blue


@compiled
def _response(ratio: float) -> float:
    """f(t) of the Lab formula; the cube root by two Halley steps, which vectorise where a library call does not."""
    root = 0.1863 + ratio * (3.8331 + ratio * (-10.8763 + ratio * (13.9285 - 6.0325 * ratio)))
    for _ in range(2):  # the polynomial is within 6 %; each step cubes the relative error
        cube = root * root * root
        root = root * (cube + ratio + ratio) / (cube + cube + ratio)
    return root if ratio > THRESHOLD else (903.3 * ratio + 16.0) / 116.0


@compiled
def _lab(x: float, y: float, z: float) -> tuple[float, float, float]:
    """Lab from the three responses."""
    return 116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z)


@compiled
def _lab_loop(images: np.ndarray, lab: np.ndarray, linear: np.ndarray) -> None:
    count, height, width, _ = images.shape
    responses = np.empty((3, width))  # one row at a time, planar, so that the cube roots vectorise
    for image in range(count):
        for row in range(height):
            _row_ratios(images[image, row], linear, responses)
            for channel in range(3):
                for column in range(width):
                    responses[channel, column] = _response(responses[channel, column])
            for column in range(width):
                pixel = _lab(responses[0, column], responses[1, column], responses[2, column])
                lab[image, row, column, 0], lab[image, row, column, 1], lab[image, row, column, 2] = pixel


@compiled
def _row_ratios(pixels: np.ndarray, linear: np.ndarray, ratios: np.ndarray) -> None:
    for column in range(len(pixels)):
        red, green, blue = linear[pixels[column, 0]], linear[pixels[column, 1]], linear[pixels[column, 2]]
        for channel in range(3):
            ratios[channel, column] = _ratio(red, green, blue, channel)


def _lab_kernel(images: Any, linear: Any, lab: Any) -> None:
    index = cuda.grid(1)
    count, height, width, _ = images.shape
    if index < count * height * width:
        image, row, column = pixel_of(index, height, width)
        red = linear[images[image, row, column, 0]]
        green = linear[images[image, row, column, 1]]
        blue = linear[images[image, row, column, 2]]
        x = _response(_ratio(red, green, blue, 0))
        y = _response(_ratio(red, green, blue, 1))
        z = _response(_ratio(red, green, blue, 2))
        lab[image, row, column, 0], lab[image, row, column, 1], lab[image, row, column, 2] = _lab(x, y, z)
