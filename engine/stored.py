"""Reading back the maps and masks of a finished shard, whatever format they are stored in."""

import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from .config import OutputFormat
from .plan import PlannedInput
from .rows import MAP_COLUMN, MASK_COLUMN, SUCCESS, Row, Stored, read_rows
from .sinks import ARRAY_FILE, MASKS_FILE, ROWS_FILE, TAR_FILE

MapReader = Callable[[PlannedInput], Stored | None]


def stored_rows(folder: Path, shard: int) -> list[Row]:
    """Read the rows of a shard in the plan's order."""
    return read_rows(folder / ROWS_FILE.format(shard=shard))


def map_reader(folder: Path, shard: int, output_format: OutputFormat) -> MapReader:
    """Return a function from an input to its stored map and mask, None where there is no map.

    Raises OSError on missing files.
    """
    if output_format == "files":
        return lambda planned: _stored(
            *(_file(folder / f"{planned.input.output}.{end}") for end in ("png", "mask.png"))
        )
    if output_format == "dummy":
        return lambda _: None
    return {"webdataset": _tar, "parquet": _cells, "npy": _arrays}[output_format](folder, shard)


def _stored(saliency: bytes | None, mask: bytes | None) -> Stored | None:
    return None if saliency is None else Stored(saliency, mask)


def _file(path: Path) -> bytes | None:
    return path.read_bytes() if path.exists() else None


def _tar(folder: Path, shard: int) -> MapReader:
    path = folder / TAR_FILE.format(shard=shard)
    with tarfile.open(path) as archive:
        places = {info.name: (info.offset_data, info.size) for info in archive}

    def member(name: str) -> bytes | None:
        place = places.get(name)
        if place is None:
            return None
        with path.open("rb") as file:
            file.seek(place[0])
            return file.read(place[1])

    return lambda planned: _stored(*(member(f"{planned.key}.{end}") for end in ("png", "mask.png")))


def _cells(folder: Path, shard: int) -> MapReader:
    names = ("key", MAP_COLUMN, MASK_COLUMN)
    keys, *images = (pq.read_table(folder / ROWS_FILE.format(shard=shard), columns=[name]).column(0) for name in names)
    places = {key: place for place, key in enumerate(keys.to_pylist())}

    def read(planned: PlannedInput) -> Stored | None:
        place = places.get(planned.key)
        return None if place is None else _stored(*(column[place].as_py() for column in images))

    return read


def _arrays(folder: Path, shard: int) -> MapReader:
    rows = {row.key: (place, row) for place, row in enumerate(stored_rows(folder, shard)) if row.status == SUCCESS}
    maps = np.load(folder / ARRAY_FILE.format(shard=shard), mmap_mode="r")
    masked = any(row.mask_sha256 for _, row in rows.values())
    masks = np.load(folder / MASKS_FILE.format(shard=shard), mmap_mode="r") if masked else None

    def read(planned: PlannedInput) -> Stored | None:
        if planned.key not in rows:
            return None
        place, row = rows[planned.key]
        return Stored(maps[place].tobytes(), masks[place].tobytes() if masks is not None and row.mask_sha256 else None)

    return read
