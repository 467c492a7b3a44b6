"""Reading back the maps of a finished shard, whatever format they are stored in."""

import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from .config import OutputFormat
from .plan import PlannedInput
from .rows import MAP_COLUMN, SUCCESS, Row, read_rows
from .sinks import ARRAY_FILE, ROWS_FILE, TAR_FILE

MapReader = Callable[[PlannedInput], bytes | None]


def stored_rows(folder: Path, shard: int) -> list[Row]:
    """Read the rows of a shard in the plan's order."""
    return read_rows(folder / ROWS_FILE.format(shard=shard))


def map_reader(folder: Path, shard: int, output_format: OutputFormat) -> MapReader:
    """Return a function from an input to its stored map, None where there is none; raises OSError on missing files."""
    if output_format == "files":
        return lambda planned: _file(folder / f"{planned.input.output}.png")
    if output_format == "dummy":
        return lambda _: None
    return {"webdataset": _tar, "parquet": _cells, "npy": _array}[output_format](folder, shard)


def _file(path: Path) -> bytes | None:
    return path.read_bytes() if path.exists() else None


def _tar(folder: Path, shard: int) -> MapReader:
    path = folder / TAR_FILE.format(shard=shard)
    with tarfile.open(path) as archive:
        places = {info.name: (info.offset_data, info.size) for info in archive}

    def read(planned: PlannedInput) -> bytes | None:
        place = places.get(f"{planned.key}.png")
        if place is None:
            return None
        with path.open("rb") as file:
            file.seek(place[0])
            return file.read(place[1])

    return read


def _cells(folder: Path, shard: int) -> MapReader:
    table = pq.read_table(folder / ROWS_FILE.format(shard=shard), columns=["key", MAP_COLUMN])
    places = {key: place for place, key in enumerate(table.column("key").to_pylist())}
    return lambda planned: table.column(MAP_COLUMN)[places[planned.key]].as_py() if planned.key in places else None


def _array(folder: Path, shard: int) -> MapReader:
    maps = np.load(folder / ARRAY_FILE.format(shard=shard), mmap_mode="r")
    stored = {row.key: place for place, row in enumerate(stored_rows(folder, shard)) if row.status == SUCCESS}
    return lambda planned: maps[stored[planned.key]].tobytes() if planned.key in stored else None
