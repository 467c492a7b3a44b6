"""A contact sheet of photographs, overlays and maps, to look at."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

TILE = 224
CAPTION = 16


@dataclass(frozen=True)
class SheetRow:
    """One photograph (RGB), its map (uint8 [H,W], the photograph's size) and a line of text."""

    photograph: Image.Image
    saliency: np.ndarray
    caption: str


def overlay(photograph: Image.Image, saliency: np.ndarray) -> Image.Image:
    """Return the photograph with everything but the salient object dimmed to grey."""
    weight = (saliency.astype(np.float32) / 255)[..., None]
    dimmed = np.asarray(photograph.convert("L").convert("RGB"), np.float32) * 0.35
    mixed = np.asarray(photograph.convert("RGB"), np.float32) * weight + dimmed * (1 - weight)
    return Image.fromarray(np.rint(mixed).astype(np.uint8))


def contact_sheet(rows: Iterable[SheetRow]) -> Image.Image:
    """Return one picture: a column for each photograph, above each other the photograph, its overlay and its map."""
    columns = [_column(row) for row in rows]
    sheet = Image.new("RGB", (TILE * len(columns), 3 * TILE + CAPTION), "white")
    for place, column in enumerate(columns):
        sheet.paste(column, (place * TILE, 0))
    return sheet


def _column(row: SheetRow) -> Image.Image:
    column = Image.new("RGB", (TILE, 3 * TILE + CAPTION), "white")
    pictures = (row.photograph, overlay(row.photograph, row.saliency), Image.fromarray(row.saliency))
    for place, picture in enumerate(pictures):
        tile = picture.convert("RGB").resize((TILE - 4, TILE - 4), Image.Resampling.BILINEAR)
        column.paste(tile, (2, place * TILE + 2))
    ImageDraw.Draw(column).text((4, 3 * TILE + 2), row.caption[:36], "black")
    return column
