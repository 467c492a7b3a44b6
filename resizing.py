"""How an image comes onto the square grid of a network, and its map back to the image's size."""

from dataclasses import dataclass
from typing import Literal

from PIL import Image

Frame = tuple[int, int, int, int]
"""Left, top, width and height of a part of a grid."""
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

    resample: the filter, in both directions.
    """

    mode: Mode = "stretch"
    resample: Filter = "bilinear"
    padding: int = 0


STRETCHED = Resizing()
"""How our own networks see images."""
