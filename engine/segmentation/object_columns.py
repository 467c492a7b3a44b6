"""What COCO says of an object, for the rows of those who ask for it: its mask in run lengths, its area and its box."""

from collections.abc import Collection
from typing import Any, Literal, get_args

import numpy as np

from ...errors import UnseeError
from ...extras import require

RowsWith = Literal["rle", "box"]


def check_rows_with(wanted: Collection[str]) -> None:
    """Raise `UnseeError` on an unknown word, `MissingExtraError` where what makes the columns is not installed."""
    unknown = [word for word in wanted if word not in get_args(RowsWith)]
    if unknown:
        raise UnseeError(f"rows come with {' or '.join(get_args(RowsWith))}, not with {unknown[0]!r}")
    if wanted:
        require("pycocotools.mask", "coco", "rows with COCO's run lengths and boxes")


def object_columns(mask: np.ndarray, wanted: Collection[str]) -> dict[str, Any]:
    """Return COCO's `segmentation` (compressed run lengths), `area` and `bbox` of a mask, uint8 [H,W] of 0 and not 0.

    wanted: `rle` for the first, `box` for the last; the area is in any case pixels of the mask. A box is left, top, width
    and height in pixels; that of an empty mask is zeros.
    """
    from pycocotools import mask as coco

    encoded: Any = coco.encode(np.asfortranarray(mask != 0, np.uint8))
    columns: dict[str, Any] = {"area": int(coco.area(encoded))}
    if "rle" in wanted:
        columns["segmentation"] = {"size": list(encoded["size"]), "counts": encoded["counts"].decode()}
    if "box" in wanted:
        columns["bbox"] = [float(side) for side in coco.toBbox(encoded)]
    return columns
