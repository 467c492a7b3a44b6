"""The demonstration: the main job on scikit-image's photographs, and a sheet to look at."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from PIL import Image
from rich.console import Console

from ..engine.inputs.sources import Sources
from ..engine.run import run
from ..engine.run_config import Resumption, RunConfig
from ..errors import UnseeError
from ..extras import require
from ..files import write_bytes
from ..terminal import stderr
from ..train.networks.model_names import DEFAULT_NAME
from .pages.sheet import SheetRow, contact_sheet

PHOTOGRAPHS = {
    "astronaut": "astronaut.png",
    "chelsea": "chelsea.png",
    "coffee": "coffee.png",
    "rocket": "rocket.jpg",
    "motorcycle": "motorcycle_left.png",
}
"""Photographs in scikit-image's wheel, by what they are called here."""

SHEET = "sheet.png"


def demo(folder: Path, model: str = DEFAULT_NAME, console: Console | None = None) -> Path:
    """Run `unsee run` on the photographs in `folder`/photos into `folder`/maps; return the path of the overlay sheet."""
    console = console or stderr()
    photographs = save_photographs(folder / "photos")
    run(RunConfig(Sources((str(photographs),)), str(folder / "maps"), model=model), console, Resumption(overwrite=True))
    sheet = folder / SHEET
    contact_sheet(_rows(photographs, folder / "maps")).save(sheet)
    console.print(f"maps in {folder / 'maps'}, overlay sheet: {sheet}")
    return sheet


def save_photographs(folder: Path) -> Path:
    """Write scikit-image's photographs as PNG files and return their folder."""
    data = require("skimage.data", "demo", "the demonstration")
    folder.mkdir(parents=True, exist_ok=True)
    for name, file_name in PHOTOGRAPHS.items():
        path = Path(str(data.__file__)).with_name(file_name)
        _save(Image.open(path).convert("RGB"), folder / f"{name}.png")
    return folder


def _save(photograph: Image.Image, path: Path) -> None:
    """Write a photograph; raise `UnseeError` where something else bears its name."""
    buffer = io.BytesIO()
    photograph.save(buffer, format="PNG")
    if path.exists() and path.read_bytes() != buffer.getvalue():
        raise UnseeError(f"{path} is there and is not of this demonstration: name another folder")
    write_bytes(path, buffer.getvalue())


def _rows(photographs: Path, maps: Path) -> list[SheetRow]:
    table = pq.read_table(maps / "00000.parquet").to_pylist()
    found = {row["output"]: _named(row) for row in table}
    return [
        SheetRow(
            Image.open(photographs / f"{name}.png"),
            np.asarray(Image.open(maps / f"{name}.png")),
            f"{name}{found[name]}",
        )
        for name in PHOTOGRAPHS
    ]


def _named(row: dict[str, Any]) -> str:
    """Return what the model calls what it found, nothing where it cannot name things."""
    return "" if row["label_name"] is None else f": {row['label_name']} {row['score']:.2f}"
