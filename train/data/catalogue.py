"""Data sets by what a user calls them on the command line."""

import re
from pathlib import Path

from ...errors import UnseeError
from ...files import digest_of
from .coco import coco
from .datasets import Dataset, rotated
from .folders import masked_images
from .scenes import scenes
from .voc import VARIANTS, voc

FORMS = (
    *(f"voc:ROOT:{variant}" for variant in VARIANTS),
    "voc:ROOT:fold-N-train",
    "voc:ROOT:fold-N-test",
    "coco:IMAGES:ANNOTATIONS.json",
    "coco-single:IMAGES:ANNOTATIONS.json",
    "folder:ROOT[:IMAGES:MASKS]",
    "scenes:COUNT:SEED[:TEXTURES]",
    "a part of any: NAME#FROM-TO or NAME#FROM-TO@SEED",
)
DATA_HELP = f"data set: {', '.join(FORMS)}"
_PART = re.compile(
    r"(?P<name>.+)#(?P<first>\d+)(?P<first_percent>%?)-(?P<last>\d+)(?P<last_percent>%?)(@(?P<seed>\d+))?"
)


def open_dataset(name: str, classes: tuple[str, ...] | None = None) -> Dataset:
    """Open a data set by one of `FORMS`; `UnseeError` on any other name.

    fold-N: paper A's rotation, N from 0 to 4: all of segmentation-train and four fifths of segmentation-val to train on,
    the rest to test. classes: what coco-single must keep to, so that a test set has those of its training set.
    #FROM-TO@SEED: images FROM to TO, or so many per cent (0-50%), of an order that follows from SEED and their names.
    """
    if part := _PART.fullmatch(name):
        return _drawn(open_dataset(part["name"], classes), name, part)
    kind, *parts = name.split(":")
    if kind == "voc" and len(parts) == 2:
        return _voc(Path(parts[0]), parts[1])
    if kind in ("coco", "coco-single") and len(parts) == 2:
        return coco(Path(parts[0]), Path(parts[1]), single_category=kind == "coco-single", classes=classes)
    if kind == "folder" and len(parts) in (1, 3):
        return masked_images(Path(parts[0]), *parts[1:])
    if kind == "scenes" and len(parts) in (2, 3) and parts[0].isdigit() and parts[1].isdigit():
        return scenes(int(parts[0]), int(parts[1]), textures=parts[2] if len(parts) == 3 else None)
    raise UnseeError(f"unknown data set {name!r}: write it as one of {', '.join(FORMS)}")


def _drawn(dataset: Dataset, name: str, part: re.Match[str]) -> Dataset:
    """Return a part of a data set; parts of one order that do not overlap share no image."""
    seed, count = int(part["seed"] or 0), len(dataset)
    percent = bool(part["first_percent"] or part["last_percent"])
    first, last = (int(part[end]) * count // 100 if percent else int(part[end]) for end in ("first", "last"))
    if not 0 <= first < last <= count:
        raise UnseeError(f"{name}: wants images {first} to {last}, but there are {count}")
    order = sorted(dataset.items, key=lambda item: digest_of([seed, item.key]))
    return Dataset(name, dataset.classes, tuple(order[first:last]), dataset.missing)


def _voc(root: Path, part: str) -> Dataset:
    if not part.startswith("fold-"):
        return voc(root, part)
    fold, _, kind = part.removeprefix("fold-").partition("-")
    if not fold.isdigit() or kind not in ("train", "test"):
        raise UnseeError(f"unknown part {part!r} of VOC: write fold-N-train or fold-N-test")
    training, test = rotated(voc(root, "segmentation-val"), voc(root, "segmentation-train"), int(fold))
    return training if kind == "train" else test
