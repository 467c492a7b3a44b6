"""How an image comes onto the square grid of a network, and its map back to the image's size."""

from dataclasses import dataclass
from typing import Literal

from PIL import Image

Frame = tuple[int, int, int, int]
"""Left, top, width and height of a part of a grid."""
Sides = tuple[int, int]
"""Height and width."""
Mode = Literal["stretch", "letterbox"]
Filter = Literal["bilinear", "bicubic", "lanczos"]
FILTERS = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


@dataclass(frozen=True)
class Resizing:
    """mode: stretched over the grid, or with its proportions kept in the middle of borders of the grey level `padding`.

    resample: the filter, in both directions. sides: of what of the grid the network sees, at its top left, None where that
    is all; the image is brought onto it as onto a grid of its own.
    """

    mode: Mode = "stretch"
    resample: Filter = "bilinear"
    padding: int = 0
    sides: Sides | None = None

    def sides_on(self, size: int) -> Sides:
        """Return the sides of what the network sees of a grid of that size."""
        return self.sides or (size, size)


STRETCHED = Resizing()
"""How our own networks see images."""
