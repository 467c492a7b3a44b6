"""The demonstration: the main job on scikit-image's photographs, and a sheet to look at."""

import io
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from PIL import Image
from rich.console import Console

from ..engine.cleanup.presets import preset
from ..engine.inputs.sources import Sources
from ..engine.run import run
from ..engine.run_config import Resumption, RunConfig
from ..engine.segmentation.segment_config import SegmentConfig
from ..engine.status import Summary
from ..errors import UnseeError
from ..export.bundles.bundle import is_bundle
from ..export.runtime.backends import can_export
from ..extras import require
from ..files import write_bytes
from ..terminal import stderr
from ..train.networks.maps.mapper_names import SMALL_STUDENT, STUDENT
from ..train.networks.model_names import DEFAULT_NAME, PACKAGES
from .pages.sheet import SheetColumn, contact_sheet

PHOTOGRAPHS = {
    "astronaut": "astronaut.png",
    "chelsea": "chelsea.png",
    "coffee": "coffee.png",
    "rocket": "rocket.jpg",
    "motorcycle": "motorcycle_left.png",
}
"""Photographs in scikit-image's wheel, by what they are called here."""

SHEET = "sheet.png"


NAMES = "efficientnet-lite0"
"""The classifier that names what is in the photographs, where it is installed."""


def demo(folder: Path, model: str = DEFAULT_NAME, console: Console | None = None) -> Path:
    """Run `unsee run` on the photographs in `folder`/photos into `folder`/maps; return the path of the sheet.

    The sheet shows the maps of the papers' authors beside those of the default where PyTorch is installed, which they
    need, those of a student, and names what is seen where a classifier that can is.
    """
    console = console or stderr()
    photographs = save_photographs(folder / "photos")
    runs = {"best": folder / "maps"}
    summary = _run(photographs, runs["best"], model, console)
    if not is_bundle(model) and find_spec("torch"):
        runs = {"reference": folder / "reference", **runs}
        _run(photographs, runs["reference"], model, console, preset=preset("reference"))
    runs["student"] = folder / "student"
    edges = SegmentConfig(refine="bilateral")
    _run(photographs, runs["student"], _student(), console, segmentation=edges)
    names = _names(photographs, folder, console)
    sheet = folder / SHEET
    contact_sheet([_column(photographs, name, runs, names) for name in PHOTOGRAPHS]).save(sheet)
    console.print(f"maps in {runs['best']}, {summary.rate:.1f} images/s; look at {sheet}")
    return sheet


def _run(photographs: Path, output: Path, model: str, console: Console, **more: Any) -> Summary:
    config = RunConfig(sources=Sources((str(photographs),)), output_folder=str(output), model=model, **more)
    return run(config, console, Resumption(overwrite=True))


def _student() -> str:
    """Return the better of the shipped students that can run here."""
    return STUDENT if find_spec(PACKAGES[NAMES].module) else SMALL_STUDENT


def _names(photographs: Path, folder: Path, console: Console) -> dict[str, str]:
    """Return what a classifier that can name things calls the photographs, by their names; nothing where there is none."""
    if not (can_export() and find_spec(PACKAGES[NAMES].module)):
        return {}
    _run(photographs, folder / "names", NAMES, console, output_format="dummy")
    table = pq.read_table(folder / "names/00000.parquet").to_pylist()
    return {row["output"]: f": {row['label_name']} {row['score']:.2f}" for row in table}


def _column(photographs: Path, name: str, runs: dict[str, Path], names: dict[str, str]) -> SheetColumn:
    maps = {preset: np.asarray(Image.open(output / f"{name}.png")) for preset, output in runs.items()}
    return SheetColumn(Image.open(photographs / f"{name}.png"), maps, name + names.get(name, ""))


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
