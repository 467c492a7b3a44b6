"""A contact sheet of photographs, maps and overlays, to look at."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from ...engine.saliency import overlay

TILE = 224
MARGIN = 84
CAPTION = 18


@dataclass(frozen=True)
class SheetColumn:
    """One photograph (RGB) with its maps (uint8 [H,W], the photograph's size) by what they are called, and a line of text.

    The last map is the one that is laid over the photograph.
    """

    photograph: Image.Image
    maps: dict[str, np.ndarray]
    caption: str


def contact_sheet(columns: Sequence[SheetColumn]) -> Image.Image:
    """Return one picture: a column for each photograph, above each other the photograph, its maps and its overlay."""
    names = ["photograph", *columns[0].maps, "what stands out"]
    sheet = Image.new("RGB", (MARGIN + TILE * len(columns), CAPTION + TILE * len(names)), "white")
    draw = ImageDraw.Draw(sheet)
    for row, name in enumerate(names):
        draw.text((6, CAPTION + row * TILE + TILE // 2), name, "black")
    for place, column in enumerate(columns):
        left = MARGIN + place * TILE
        draw.text((left + 4, 3), column.caption[:36], "black")
        for row, picture in enumerate(_pictures(column)):
            tile = picture.convert("RGB").resize((TILE - 4, TILE - 4), Image.Resampling.BILINEAR)
            sheet.paste(tile, (left + 2, CAPTION + row * TILE + 2))
    return sheet


def _pictures(column: SheetColumn) -> list[Image.Image]:
    maps = list(column.maps.values())
    return [column.photograph, *map(Image.fromarray, maps), overlay(column.photograph, maps[-1])]
