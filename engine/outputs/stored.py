"""Reading back the maps and masks of a finished shard, whatever format they are stored in."""

import hashlib
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from .layout import ARRAY_FILE, MAP_SUFFIX, MASK_SUFFIX, MASKS_FILE, ROWS_FILE, TAR_FILE, OutputFormat, rows_path
from .plan import PlannedInput
from .rows import MAP_COLUMN, MASK_COLUMN, SUCCESS, Row, Stored, read_rows, unreadable_result

MapReader = Callable[[PlannedInput], Stored | None]


def stored_rows(folder: Path, shard: int) -> list[Row]:
    """Read the rows of a shard in the plan's order."""
    return read_rows(rows_path(folder, shard))


def map_reader(folder: Path, shard: int, output_format: OutputFormat) -> MapReader:
    """Return a function from an input to its stored map and mask, None where there is no map.

    Raises `UnseeError` where the shard's archive or array is missing or damaged.
    """
    if output_format == "files":
        return lambda planned: _stored(
            *(_file(folder / (planned.input.output + suffix)) for suffix in (MAP_SUFFIX, MASK_SUFFIX))
        )
    if output_format == "dummy":
        return no_maps
    path = folder / {"webdataset": TAR_FILE, "parquet": ROWS_FILE, "npy": ARRAY_FILE}[output_format].format(shard=shard)
    try:
        return {"webdataset": _tar, "parquet": _cells, "npy": _arrays}[output_format](folder, shard)
    except (OSError, EOFError, ValueError, KeyError, pa.ArrowException, tarfile.TarError) as error:
        raise unreadable_result(path, error) from None


def no_maps(planned: PlannedInput) -> Stored | None:  # noqa: ARG001 - a map reader
    """Return None: there are no maps."""
    return None


def is_whole(row: Row, stored: Stored | None) -> bool:
    """Tell whether a row's map, and its mask where it has one, are the bytes that its digests speak of."""
    if stored is None:
        return False
    return _is(stored.saliency, row.map_sha256) and (row.mask_sha256 is None or _is(stored.mask, row.mask_sha256))


def _is(data: bytes | None, sha256: str | None) -> bool:
    return data is not None and hashlib.sha256(data).hexdigest() == sha256


def _stored(saliency: bytes | None, mask: bytes | None) -> Stored | None:
    return None if saliency is None else Stored(saliency, mask)


def _file(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


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

    return lambda planned: _stored(*(member(planned.key + suffix) for suffix in (MAP_SUFFIX, MASK_SUFFIX)))


def _cells(folder: Path, shard: int) -> MapReader:
    names = ("key", MAP_COLUMN, MASK_COLUMN)
    keys, *images = (pq.read_table(rows_path(folder, shard), columns=[name]).column(0) for name in names)
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
