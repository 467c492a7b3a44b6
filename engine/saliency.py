"""What a detector finds in an image, and pictures of it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
from PIL import Image

from ..errors import OutputError, UnseeError
from ..files import atomic_path
from .methods.detection import Detection
from .segmentation.objects import Box, level_of, marked, object_mask, widened
from .segmentation.picture_config import OTSU

Picture: TypeAlias = Literal["map", "mask", "overlay", "cutout", "crop"]


def overlay(photograph: Image.Image, saliency: np.ndarray) -> Image.Image:
    """Return the photograph with everything but the salient object dimmed to grey."""
    weight = (saliency.astype(np.float32) / 255)[..., None]
    dimmed = np.asarray(photograph.convert("L").convert("RGB"), np.float32) * 0.35
    mixed = np.asarray(photograph.convert("RGB"), np.float32) * weight + dimmed * (1 - weight)
    return Image.fromarray(np.rint(mixed).astype(np.uint8))


@dataclass(frozen=True, repr=False)
class Saliency:
    """What a detector finds in one image.

    map: uint8 [H,W] at the image's size. label: name of the class that was unseen, None where there is no classifier,
    or one that cannot name things (see `Metadata`). score: its probability in the original image. target: its index. raw:
    float32 [S,S] in 0..1, the map on the last network's grid before any clean-up, without the borders of a letterbox. mask:
    uint8 [H,W], 0 and 255, where the detector segments. photograph: reads the image again, RGB and upright, at its full
    size. detection: what was found on the grid, by which the object is told as `unsee run` tells it.
    """

    map: np.ndarray
    label: str | None
    score: float | None
    raw: np.ndarray
    mask: np.ndarray | None = None
    target: int | None = None
    photograph: Callable[[], Image.Image] | None = field(default=None, compare=False)
    detection: Detection | None = field(default=None, compare=False)

    def __repr__(self) -> str:
        height, width = self.map.shape
        named = "" if self.label is None else f", label={self.label!r}, score={self.score:.3f}"
        return f"Saliency({width}x{height}, box={self.box}{named}, target={self.target})"

    @property
    def box(self) -> Box | None:
        """Left, top, width and height of the object in pixels, None where nothing is marked."""
        height, width = self.map.shape
        return marked(object_mask(self._found), width, height).box

    def object_mask(self, threshold: str | float = OTSU) -> np.ndarray:
        """Return the object, uint8 [H,W], 0 and 255: as it was segmented, or where the map is above a threshold.

        threshold: `otsu`, or a value of the map from 0 to 1.
        """
        if self.mask is not None:
            return self.mask
        return np.uint8(255) * (self.map > level_of(self._found.saliency, str(threshold)))

    def overlay(self) -> Image.Image:
        """Return the photograph with everything but the object dimmed to grey."""
        return overlay(self._photograph(), self.map)

    def cutout(self, threshold: str | float = OTSU) -> Image.Image:
        """Return the object cut out of the photograph, RGBA, transparent where the mask is 0."""
        photograph = self._photograph()
        photograph.putalpha(Image.fromarray(self.object_mask(threshold)))
        return photograph

    def crop(self, margin: float = 0.05) -> Image.Image:
        """Return the photograph within the object's box and a margin, a share of the box; all of it where there is none."""
        photograph, box = self._photograph(), self.box
        if box is None:
            return photograph
        left, top, width, height = widened(box, margin, *photograph.size)
        return photograph.crop((left, top, left + width, top + height))

    def save(self, path: str | Path, what: Picture = "map") -> Path:
        """Write a picture to a file whose suffix names its format, and return its path.

        Raises `UnseeError` on a suffix that names none, or one that holds no transparency, `OutputError` where the file
        cannot be written.
        """
        pictures = {
            "map": lambda: Image.fromarray(self.map),
            "mask": lambda: Image.fromarray(self.object_mask()),
            "overlay": self.overlay,
            "cutout": self.cutout,
            "crop": self.crop,
        }
        if what not in pictures:
            raise UnseeError(f"a picture is one of {', '.join(pictures)}, got {what!r}")
        target = Path(path)
        form = Image.registered_extensions().get(target.suffix.lower())
        if form not in Image.SAVE:
            raise UnseeError(f"{target}: its suffix names no format of pictures: call it .png")
        try:
            with atomic_path(target) as temporary:
                pictures[what]().save(temporary, format=form)
        except OSError as error:
            raise OutputError(f"{target}: cannot be written ({error.strerror or error})") from None
        return target

    @property
    def _found(self) -> Detection:
        if self.detection is not None:
            return self.detection
        return Detection(self.map, self.raw, mask=None if self.mask is None else self.mask > 0)

    def _photograph(self) -> Image.Image:
        if self.photograph is None:
            raise UnseeError("this saliency does not know its image, which the picture needs")
        return self.photograph().copy()
