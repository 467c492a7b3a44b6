"""Pascal VOC 2012 in the layout of VOCdevkit (Everingham et al., IJCV 2010)."""

from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from ...errors import UnseeError
from ...images import open_image
from .datasets import BACKGROUND, VOID, Dataset, Scene, listed, read_rgb

CLASSES = tuple(
    "aeroplane bicycle bird boat bottle bus car cat chair cow diningtable dog horse motorbike person pottedplant "
    "sheep sofa train tvmonitor".split()
)
VOID_VALUE = 255
VARIANTS = ("segmentation-train", "segmentation-val", "classification")


@dataclass(frozen=True)
class VocItem:
    """One image: JPEGImages/KEY.jpg with SegmentationClass/KEY.png or, where boxes, Annotations/KEY.xml."""

    root: Path
    key: str
    boxes: bool = False

    @property
    def files(self) -> tuple[Path, ...]:
        labels = f"Annotations/{self.key}.xml" if self.boxes else f"SegmentationClass/{self.key}.png"
        return self.root / "JPEGImages" / f"{self.key}.jpg", self.root / labels

    def read(self) -> Scene:
        """Read pixels and classes; boxes are filled, smaller ones over larger ones."""
        photograph, labels = self.files
        pixels = read_rgb(photograph)
        if self.boxes:
            return Scene(pixels, _filled(self._annotated(), (pixels.shape[0], pixels.shape[1])))
        with open_image(labels) as image:
            values = np.asarray(image)
        if values.ndim != 2:
            raise ValueError("SegmentationClass must be a palette image, one number a pixel")
        objects = values.astype(np.int16) - 1
        objects[values == 0], objects[values == VOID_VALUE] = BACKGROUND, VOID
        return Scene(pixels, objects)

    def label(self) -> int | None:
        """Return the class with the largest summed area of boxes; None where masks say it."""
        if not self.boxes:
            return None
        areas = np.zeros(len(CLASSES))
        for number, (left, top, right, bottom) in self._annotated():
            areas[number] += (right - left) * (bottom - top)
        return int(areas.argmax()) if areas.any() else None

    def _annotated(self) -> list[tuple[int, tuple[int, int, int, int]]]:
        """Class and box (left, top, right, bottom, from 0, end exclusive) of each object."""
        _, path = self.files
        try:
            objects = ElementTree.parse(path).getroot().findall("object")
            return [(CLASSES.index(item.findtext("name", "")), _box(item)) for item in objects]
        except ElementTree.ParseError as error:
            raise ValueError(f"{path.name}: {error}") from None


def _box(item: ElementTree.Element) -> tuple[int, int, int, int]:
    left, top, right, bottom = (
        int(float(item.findtext(f"bndbox/{name}", ""))) for name in ("xmin", "ymin", "xmax", "ymax")
    )
    return left - 1, top - 1, right, bottom


def _filled(boxes: list[tuple[int, tuple[int, int, int, int]]], shape: tuple[int, int]) -> np.ndarray:
    objects = np.full(shape, BACKGROUND, np.int16)
    for number, (left, top, right, bottom) in sorted(boxes, key=lambda box: -_area(box[1])):
        objects[max(top, 0) : bottom, max(left, 0) : right] = number
    return objects


def _area(box: tuple[int, int, int, int]) -> int:
    return (box[2] - box[0]) * (box[3] - box[1])


def voc(root: Path, variant: str) -> Dataset:
    """Read the lists of VOC 2012; root: the folder VOC2012, or one that holds VOCdevkit/VOC2012.

    segmentation-train (1,464), segmentation-val (1,449): images with masks. classification: paper B's 10,091 training
    images, `train` and those of `val` without masks, labelled by the largest area of boxes. Raises `UnseeError` where
    a list is missing.
    """
    root = next(
        (path for path in (root / "VOCdevkit/VOC2012", root / "VOC2012", root) if (path / "ImageSets").is_dir()), root
    )
    if variant not in VARIANTS:
        raise UnseeError(f"unknown part {variant!r} of VOC; known: {', '.join(VARIANTS)}")
    sets = root / "ImageSets"
    if variant != "classification":
        keys, boxes = listed(sets / "Segmentation" / f"{variant.split('-')[1]}.txt"), False
    else:
        masked = set(listed(sets / "Segmentation/val.txt"))
        keys, boxes = [*_main(sets, "train"), *(key for key in _main(sets, "val") if key not in masked)], True
    items = tuple(VocItem(root, key, boxes) for key in keys)
    return Dataset(f"VOC 2012 {variant}", CLASSES, *_present(items))


def _main(sets: Path, split: str) -> list[str]:
    """Keys of the classification lists; each line holds a key and whether the class is there."""
    whole = sets / "Main" / f"{split}.txt"
    if whole.exists():
        return [line.split()[0] for line in listed(whole)]
    lines = [line for name in CLASSES for line in listed(sets / "Main" / f"{name}_{split}.txt")]
    return list(dict.fromkeys(line.split()[0] for line in lines if line.split()[1] == "1"))


def _present(items: tuple[VocItem, ...]) -> tuple[tuple[VocItem, ...], tuple[str, ...]]:
    """Items whose files are there, and the paths of files that are not."""
    there, missing = [], []
    for item in items:
        second = ("Annotations", "xml") if item.boxes else ("SegmentationClass", "png")
        names = [f"JPEGImages/{item.key}.jpg", f"{second[0]}/{item.key}.{second[1]}"]
        lacking = [name for name in names if not (item.root / name).exists()]
        missing += lacking
        if not lacking:
            there.append(item)
    return tuple(there), tuple(missing)
