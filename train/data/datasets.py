"""Labelled images: what every data set is read as, whatever its layout; labels, checks and splits (spec 1.1, 1.8, 2.8)."""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

import numpy as np

from ...errors import UnseeError, first_line
from ...images import open_image

BACKGROUND = -1
VOID = -2
"""Pixels that belong to no class for sure: VOC's outlines, COCO's crowds."""
UNREADABLE = (OSError, ValueError, SyntaxError)
"""What reading a damaged image or its labels raises."""


@dataclass(frozen=True)
class Scene:
    """One labelled image. pixels: uint8 [H,W,3] RGB. objects: int16 [H,W], classes from 0 on, BACKGROUND or VOID."""

    pixels: np.ndarray
    objects: np.ndarray


class Item(Protocol):
    """One image of a data set, not yet read. key: its name without suffix. files: what it is read from."""

    @property
    def key(self) -> str: ...

    @property
    def files(self) -> tuple[Path, ...]: ...

    def read(self) -> Scene:
        """Read the image and its objects; raises `OSError` or `ValueError` on damaged files."""
        ...

    def label(self) -> int | None:
        """Return the class of the image, None where it must be read from the scene."""
        ...


@dataclass(frozen=True)
class Dataset:
    """A named list of images with their classes. missing: files that the data set lists and that are not there.

    lists: files that say what is in it.
    """

    name: str
    classes: tuple[str, ...]
    items: tuple[Item, ...]
    missing: tuple[str, ...] = ()
    lists: tuple[Path, ...] = ()

    def __len__(self) -> int:
        return len(self.items)

    def part(self, items: Iterable[Item], name: str) -> "Dataset":
        """Return a data set of some of the items."""
        return replace(self, name=name, items=tuple(items), missing=())


def main_class(objects: np.ndarray) -> int | None:
    """Return the class with the largest labelled area, the first of equal ones; None without a labelled pixel (A 1.1)."""
    labelled = objects[objects >= 0]
    return int(np.bincount(labelled).argmax()) if labelled.size else None


def label_of(item: Item, scene: Scene | None = None) -> int:
    """Return the class of an item, which has been read where `scene` is given.

    Raises `UnseeError` on an image without a labelled object.
    """
    label = item.label()
    if label is None:
        label = main_class((scene or item.read()).objects)
    if label is None:
        raise UnseeError(f"{item.key}: no labelled object, so no class: leave the image out")
    return label


def fingerprint(dataset: Dataset) -> str:
    """Return what changes where images come or go, or a file gets another size: what a training goes on with must agree."""
    told = hashlib.sha256(repr((dataset.classes, [_size(path) for path in dataset.lists])).encode())
    for item in dataset.items:
        told.update(repr((item.key, [_size(path) for path in item.files])).encode())
    return told.hexdigest()[:16]


def _size(path: Path) -> int:
    """Return the size of a file, -1 where there is none."""
    try:
        return path.stat().st_size
    except OSError:
        return -1


def read_for_training(item: Item) -> Scene:
    """Read an image and its objects; `UnseeError` names one that is damaged, or whose sizes differ."""
    try:
        return _read(item)
    except UNREADABLE as error:
        raise UnseeError(f"{item.key}: {first_line(error)}; unsee train check names all that is wrong") from None


def _read(item: Item) -> Scene:
    scene = item.read()
    if scene.pixels.shape[:2] != scene.objects.shape:
        raise ValueError(f"image {scene.pixels.shape[:2]} and objects {scene.objects.shape} differ in size")
    return scene


@dataclass
class Findings:
    """What a check found. classes: images by main class. damaged: keys with reasons. unlabelled: keys without objects."""

    images: int = 0
    classes: Counter[str] = field(default_factory=Counter)
    missing: list[str] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)
    unlabelled: list[str] = field(default_factory=list)

    @property
    def sound(self) -> bool:
        return not self.missing and not self.damaged


def check(dataset: Dataset, advance: Callable[[int], None] = lambda _: None) -> Findings:
    """Read every image and its objects; report what is missing, damaged, mis-sized or without an object."""
    found = Findings(missing=list(dataset.missing))
    for item in dataset.items:
        try:
            scene = _read(item)
        except UNREADABLE as error:
            found.damaged.append(f"{item.key}: {error}")
        else:
            _count(found, item, scene, dataset.classes)
        advance(1)
    return found


def _count(found: Findings, item: Item, scene: Scene, classes: Sequence[str]) -> None:
    found.images += 1
    label = main_class(scene.objects)
    if label is None:
        found.unlabelled.append(item.key)
    elif label >= len(classes):
        found.damaged.append(f"{item.key}: class {label} of only {len(classes)}")
    else:
        found.classes[classes[label]] += 1


def rotated(test: Dataset, extra: Dataset, fold: int, folds: int = 5) -> tuple[Dataset, Dataset]:
    """Return a training and a test set: `extra` and all of `test` but its fold-th part, and that part (A 4.2)."""
    if not 0 <= fold < folds:
        raise UnseeError(f"fold must be 0 to {folds - 1}, got {fold}")
    held = set(range(fold, len(test), folds))
    kept = [item for place, item in enumerate(test.items) if place not in held]
    out = [item for place, item in enumerate(test.items) if place in held]
    return test.part([*extra.items, *kept], f"{test.name} but fold {fold}"), test.part(out, f"{test.name} fold {fold}")


def read_rgb(path: Path) -> np.ndarray:
    """Read an image as uint8 [H,W,3]."""
    with open_image(path) as image:
        return np.asarray(image.convert("RGB"))


def listed(path: Path) -> list[str]:
    """Return the lines of a list file; `UnseeError` where it cannot be read."""
    try:
        return [line.strip() for line in path.read_text().splitlines() if line.strip()]
    except OSError as error:
        raise UnseeError(f"{path}: cannot be read ({error.strerror})") from None
