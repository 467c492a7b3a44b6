"""Data sets of images and object masks without classes: MSRA10K, ECSSD, PASCAL-S, DUT-OMRON, HKU-IS, SOD, DUTS."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...errors import UnseeError
from ...formats import image_files
from ...images import open_image
from .datasets import BACKGROUND, Dataset, Scene, read_rgb

IMAGE_FOLDERS = ("images", "Imgs", "imgs", "Image", "image", "DUTS-TR-Image", "DUTS-TE-Image", "DUT-OMRON-image")
MASK_FOLDERS = (
    "masks",
    "GT",
    "gt",
    "ground_truth_mask",
    "Mask",
    "mask",
    "DUTS-TR-Mask",
    "DUTS-TE-Mask",
    "pixelwiseGT-new-PNG",
)
FOREGROUND_ABOVE = 127


@dataclass(frozen=True)
class MaskedItem:
    """An image and its mask."""

    image: Path
    mask: Path

    @property
    def key(self) -> str:
        return self.image.stem

    @property
    def files(self) -> tuple[Path, ...]:
        return self.image, self.mask

    def read(self) -> Scene:
        """Read pixels and mask; the only class is 0."""
        with open_image(self.mask) as mask:
            inside = np.asarray(mask.convert("L")) > FOREGROUND_ABOVE
        return Scene(read_rgb(self.image), np.where(inside, 0, BACKGROUND).astype(np.int16))

    def label(self) -> int | None:
        """Return the only class."""
        return 0


def masked_images(root: Path, images: str | None = None, masks: str | None = None) -> Dataset:
    """Pair the images of a folder with the masks of the same name.

    images, masks: names of the folders below root; those of the known data sets are found by themselves, and a folder
    that holds both together (MSRA10K: .jpg beside .png) is split by suffix. Raises `UnseeError` where there are none.
    """
    image_folder = root / images if images else _first(root, IMAGE_FOLDERS)
    mask_folder = root / masks if masks else _first(root, MASK_FOLDERS)
    photographs = _files(image_folder)
    if mask_folder == image_folder or not _files(mask_folder):
        mask_folder = image_folder
        photographs = [path for path in photographs if path.suffix.lower() in (".jpg", ".jpeg")]
    by_name = {_stem(path): path for path in _files(mask_folder) if path.suffix.lower() in (".png", ".bmp")}
    if not photographs or not by_name:
        there = "no images with masks in it; name their folders, as in folder:ROOT:IMAGES:MASKS"
        raise UnseeError(f"{root}: {there if root.is_dir() else 'no such folder'}")
    pairs = [(path, by_name.get(path.stem)) for path in photographs]
    items = tuple(MaskedItem(image, mask) for image, mask in pairs if mask)
    missing = tuple(f"mask of {image.name}" for image, mask in pairs if mask is None)
    return Dataset(root.name, ("object",), items, missing)


def _first(root: Path, names: tuple[str, ...]) -> Path:
    return next((root / name for name in names if (root / name).is_dir()), root)


def _files(folder: Path) -> list[Path]:
    return image_files(folder)


def _stem(path: Path) -> str:
    return path.stem.removesuffix("_gt").removesuffix("_mask")
