"""MS COCO: instance masks from the annotation JSON (Lin et al., ECCV 2014)."""

import json
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from ...errors import UnseeError
from .datasets import BACKGROUND, VOID, Dataset, Scene, read_rgb

FINER = 4
"""Steps of a pixel in which polygons are drawn."""
MOST_CLASSES = 18
"""Paper A's subset has 18 classes; how they were picked it does not say. Ours are those with most images."""


@dataclass(frozen=True)
class CocoItem:
    """One image with its annotations, each a class (VOID for a crowd) and a segmentation."""

    path: Path
    annotations: tuple[tuple[int, Any], ...]

    @property
    def key(self) -> str:
        return self.path.stem

    @property
    def files(self) -> tuple[Path, ...]:
        return (self.path,)

    def read(self) -> Scene:
        """Read pixels and masks; smaller objects lie over larger ones, crowds below all."""
        pixels = read_rgb(self.path)
        height, width, _ = pixels.shape
        masks = [(number, mask_of(segmentation, height, width)) for number, segmentation in self.annotations]
        objects = np.full((height, width), BACKGROUND, np.int16)
        for number, mask in sorted(masks, key=lambda pair: (pair[0] != VOID, -pair[1].sum())):
            objects[mask] = number
        return Scene(pixels, objects)

    def label(self) -> int | None:
        """Return the only class, None where there are several."""
        numbers = {number for number, _ in self.annotations if number >= 0}
        return numbers.pop() if len(numbers) == 1 else None


def coco(
    images: Path,
    annotations: Path,
    single_category: bool = False,
    most_classes: int = MOST_CLASSES,
    classes: tuple[str, ...] | None = None,
) -> Dataset:
    """Read COCO's annotation file. images: the folder of its photographs.

    single_category: paper A's subset, images whose objects, crowds aside, are all of one category, and of those
    categories the `most_classes` with most images, or those named in `classes`. Otherwise every image with an object
    and all categories. Raises `UnseeError` on an unusable file.
    """
    names, files, grouped = _parsed(annotations)
    chosen = {key: parts for key, parts in grouped.items() if any(not crowd for _, crowd, _ in parts)}
    numbers = sorted(names)
    if single_category:
        chosen = {key: parts for key, parts in chosen.items() if len(_categories(parts)) == 1}
        named = [number for number in numbers if names[number] in (classes or ())]
        numbers = named or _largest(chosen, most_classes)
        chosen = {key: parts for key, parts in chosen.items() if _categories(parts) <= set(numbers)}
    places = {number: place for place, number in enumerate(numbers)}
    items, missing = [], []
    for key in sorted(chosen):
        path = images / files[key]
        parts = ((VOID if crowd else places[number], shape) for number, crowd, shape in chosen[key])
        if path.exists():
            items.append(CocoItem(path, tuple(parts)))
        else:
            missing.append(files[key])
    kind = " of one category" if single_category else ""
    name, chosen_names = f"COCO {annotations.stem}{kind}", tuple(names[number] for number in numbers)
    return Dataset(name, chosen_names, tuple(items), tuple(missing), (annotations,))


Parts = list[tuple[int, bool, Any]]
"""Category, whether it is a crowd, and segmentation of each object of an image."""


def _parsed(path: Path) -> tuple[dict[int, str], dict[int, str], dict[int, Parts]]:
    """Names of categories, files of images, and the parts of each image, all by their ids."""
    try:
        content = json.loads(path.read_text())
        names = {item["id"]: item["name"] for item in content["categories"]}
        files = {item["id"]: item["file_name"] for item in content["images"]}
        grouped: dict[int, Parts] = defaultdict(list)
        for item in content["annotations"]:
            grouped[item["image_id"]].append((item["category_id"], bool(item.get("iscrowd")), item["segmentation"]))
    except OSError as error:
        raise UnseeError(f"{path}: cannot be read ({error.strerror})") from None
    except (ValueError, KeyError, TypeError) as error:
        raise UnseeError(f"{path}: not COCO annotations ({type(error).__name__}: {error})") from None
    return names, files, grouped


def _categories(parts: Parts) -> set[int]:
    return {number for number, crowd, _ in parts if not crowd}


def _largest(chosen: dict[int, Parts], most: int) -> list[int]:
    counts = Counter(number for parts in chosen.values() for number in _categories(parts))
    return sorted(sorted(counts, key=lambda number: (-counts[number], number))[:most])


def mask_of(segmentation: Any, height: int, width: int) -> np.ndarray:
    """Return a segmentation as bool [height,width]: polygons, run lengths, or run lengths packed into text.

    A pixel lies in a polygon if at least half of it does, within 1/4 pixel.
    """
    if isinstance(segmentation, list):
        canvas = Image.new("1", (width * FINER, height * FINER))
        for polygon in segmentation:
            # Coordinates run along the edges of pixels, Pillow's through their middles.
            ImageDraw.Draw(canvas).polygon([value * FINER - 0.5 for value in polygon], fill=1)
        return np.asarray(canvas).reshape(height, FINER, width, FINER).mean((1, 3)) >= 0.5
    counts = segmentation["counts"]
    runs = unpacked(counts) if isinstance(counts, str) else counts
    if list(segmentation["size"]) != [height, width] or sum(runs) != height * width:
        raise ValueError(f"run lengths of size {segmentation['size']} for an image {height} x {width}")
    values = np.arange(len(runs)) % 2 == 1
    return np.repeat(values, runs).reshape(width, height).T  # runs go down the columns


def unpacked(text: str) -> list[int]:
    """Return the run lengths in COCO's text form: 5 bits a character, from the fourth on as differences to two before."""
    runs: list[int] = []
    value = shift = 0
    for character in text:
        code = ord(character) - 48
        value |= (code & 31) << shift
        shift += 5
        if not code & 32:
            if code & 16:
                value -= 1 << shift  # the last character's highest bit is the sign
            runs.append(value + (runs[-2] if len(runs) > 2 else 0))
            value = shift = 0
    return runs
