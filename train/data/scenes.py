"""A world of our own: scenes of known objects on photographs' textures, made from a seed, for tests of whole trainings.

A class is a shape with a typical colour. Colours vary and are shared in part, so that shapes count; a masked image keeps
the outline only. Scenes hold one or two objects, clutter of no class, and bars that hide parts of objects.
"""

import colorsys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

from ...errors import UnseeError
from ...extras import require
from ...formats import image_files
from .datasets import BACKGROUND, Dataset, Scene, read_rgb

SIDE = 96
LARGEST_TEXTURE = 512
PHOTOGRAPHS = tuple("astronaut.png chelsea.png coffee.png hubble_deep_field.jpg ihc.png retina.jpg rocket.jpg".split())
"""Photographs in scikit-image's wheel."""
SECOND_OBJECT, HIDDEN = 0.3, 0.3
"""Chances of a second object and of a bar across the first."""
COLOR_JITTER = 0.06
"""Standard deviation of a class's hue, of a turn."""

Inside = Callable[[np.ndarray, np.ndarray], np.ndarray]


def _polygon(corners: int, depth: float) -> Inside:
    """A regular polygon, or a star whose edges are drawn in by `depth`."""

    def inside(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        phase = (np.arctan2(y, x) * corners / (2 * np.pi)) % 1
        edge = np.cos(np.pi / corners) / np.cos((phase - 0.5) * 2 * np.pi / corners)
        return np.hypot(x, y) < edge * (1 - depth * (1 - abs(2 * phase - 1)))

    return inside


SHAPES: dict[str, Inside] = {
    "disk": lambda x, y: np.hypot(x, y) < 0.9,
    "triangle": _polygon(3, 0.0),
    "square": _polygon(4, 0.0),
    "star": _polygon(5, 0.35),
    "ring": lambda x, y: abs(np.hypot(x, y) - 0.7) < 0.25,
    "cross": lambda x, y: (np.minimum(abs(x), abs(y)) < 0.28) & (np.maximum(abs(x), abs(y)) < 0.95),
    "crescent": lambda x, y: (np.hypot(x, y) < 0.95) & (np.hypot(x - 0.5, y) > 0.7),
    "bars": lambda x, y: (abs(abs(x) - 0.6) < 0.25) & (abs(y) < 0.85),
}


@dataclass(frozen=True)
class GeneratedItem:
    """Scene `number` of a world; the same arguments give the same scene."""

    seed: int
    number: int
    side: int = SIDE
    textures: str | None = None

    @property
    def key(self) -> str:
        return f"{self.number:07d}"

    @property
    def files(self) -> tuple[Path, ...]:
        return ()

    def read(self) -> Scene:
        """Compose the scene."""
        random = np.random.default_rng([self.seed, self.number])
        pixels = texture(random, self.side, self.textures)
        objects = np.full((self.side, self.side), BACKGROUND, np.int16)
        _add_clutter(random, pixels)
        for place in range(1 + (random.random() < SECOND_OBJECT)):
            _add_object(random, pixels, objects, self.textures, smaller=place > 0)
        if random.random() < HIDDEN:
            _hide_part(random, pixels, objects)
        return Scene(pixels, objects)

    def label(self) -> int | None:
        """Say nothing: the largest visible object decides."""
        return None


def scenes(count: int, seed: int = 0, side: int = SIDE, textures: str | None = None) -> Dataset:
    """Return `count` scenes, made when they are read. textures: a folder of photographs, scikit-image's where None."""
    if count < 1:
        raise UnseeError(f"the number of scenes must be at least 1, got {count}")
    items = tuple(GeneratedItem(seed, number, side, textures) for number in range(count))
    return Dataset(f"scenes {seed}", tuple(SHAPES), items)


@cache
def photographs(folder: str | None) -> tuple[np.ndarray, ...]:
    """Return the photographs that textures are cut from, uint8 [H,W,3], at most 512 pixels long."""
    if folder is None:
        data = require("skimage.data", "demo", "generating scenes without a folder of textures")
        pictures = [read_rgb(Path(str(data.__file__)).with_name(name)) for name in PHOTOGRAPHS]
    else:
        pictures = [read_rgb(path) for path in image_files(Path(folder))[:500]]
    if not pictures:
        raise UnseeError(f"{folder}: no photographs to cut textures from")
    return tuple(_shrunk(picture) for picture in pictures)


def _shrunk(picture: np.ndarray) -> np.ndarray:
    image = Image.fromarray(picture)
    image.thumbnail((LARGEST_TEXTURE, LARGEST_TEXTURE))
    return np.asarray(image)


def texture(random: np.random.Generator, side: int, folder: str | None) -> np.ndarray:
    """Cut a square out of some photograph and resize it: uint8 [side,side,3]."""
    pictures = photographs(folder)
    picture = pictures[random.integers(len(pictures))]
    shortest = min(picture.shape[:2])
    extent = int(random.integers(max(shortest // 4, 1), shortest + 1))
    top, left = (int(random.integers(length - extent + 1)) for length in picture.shape[:2])
    cut = Image.fromarray(picture[top : top + extent, left : left + extent])
    return np.array(cut.resize((side, side), Image.Resampling.BILINEAR))


def _add_object(
    random: np.random.Generator, pixels: np.ndarray, objects: np.ndarray, folder: str | None, smaller: bool
) -> None:
    number = int(random.integers(len(SHAPES)))
    size = random.uniform(0.1, 0.18) if smaller else random.uniform(0.2, 0.4)
    mask = _placed(random, len(pixels), list(SHAPES.values())[number], size)
    hue = (number / len(SHAPES) + random.normal(0, COLOR_JITTER)) % 1
    color = np.array(colorsys.hsv_to_rgb(hue, random.uniform(0.5, 1), random.uniform(0.6, 1))) * 255
    surface = 0.45 * texture(random, len(pixels), folder) + 0.55 * color
    pixels[mask] = surface[mask].astype(np.uint8)
    objects[mask] = number


def _placed(random: np.random.Generator, side: int, inside: Inside, size: float) -> np.ndarray:
    """A shape of radius `size` (in sides), turned, stretched and moved: bool [side,side]."""
    row, column = random.uniform(size, 1 - size, 2) * side
    y, x = np.mgrid[:side, :side] + 0.5
    angle, stretch = random.uniform(-0.4, 0.4), random.uniform(0.8, 1.25)
    x, y = (x - column) / (size * side * stretch), (y - row) / (size * side / stretch)
    return inside(x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle))


def _add_clutter(random: np.random.Generator, pixels: np.ndarray) -> None:
    """Paint small blots and strokes of random colours, which are of no class."""
    for _ in range(int(random.integers(2, 7))):
        if random.random() < 0.5:
            mask = _placed(random, len(pixels), SHAPES["disk"], random.uniform(0.02, 0.06))
        else:
            mask = _stroke(random, len(pixels), random.uniform(0.005, 0.02))
        pixels[mask] = random.integers(0, 256, 3)


def _hide_part(random: np.random.Generator, pixels: np.ndarray, objects: np.ndarray) -> None:
    mask = _stroke(random, len(pixels), random.uniform(0.02, 0.05))
    pixels[mask] = random.integers(0, 256, 3)
    objects[mask] = BACKGROUND


def _stroke(random: np.random.Generator, side: int, width: float) -> np.ndarray:
    """A straight bar across the image: bool [side,side]; `width` in sides."""
    y, x = np.mgrid[:side, :side] / side - random.uniform(0.2, 0.8, (2, 1, 1))
    angle = random.uniform(0, np.pi)
    return abs(x * np.cos(angle) + y * np.sin(angle)) < width
