"""One input as the plan holds it, and reading its bytes: a file, a URL, a stretch of a tar, a row of a parquet file."""

import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import IO, Any

import fsspec
import pyarrow.parquet as pq

DAMAGED_ARCHIVE = "damaged_archive"
DUPLICATE_NAME = "duplicate_name"


class ReadingError(Exception):
    """An input whose bytes cannot be had; `code` is the row's error code."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Input:
    """One image to process.

    path: the file or URL. output: relative path of its map, without the map's extension. offset, size: its place in a
    tar, bytes. row: its place in a parquet file that holds images. problem: an error code found while planning. suffix:
    the extension of its name, which planning adds to `output` where two inputs would write one map.
    """

    path: str
    output: str
    offset: int | None = None
    size: int | None = None
    row: int | None = None
    problem: str | None = None
    suffix: str = ""

    @property
    def place(self) -> str:
        """Return a name that no other input has."""
        if self.offset is not None:
            return f"{self.path}@{self.offset}"
        return self.path if self.row is None else f"{self.path}#{self.row}"


def read(member: Input) -> bytes:
    """Return the bytes of an input's image file; raise `ReadingError` where they cannot be had."""
    if member.problem:
        raise ReadingError(member.problem, f"found while planning: {member.problem.replace('_', ' ')}")
    try:
        if member.row is not None:
            return _parquet_cell(member.path, member.row)
        return _stretch(member)
    except ReadingError:
        raise
    except OSError as error:
        raise ReadingError(type(error).__name__, error.strerror or str(error)) from None
    except Exception as error:  # remote file systems raise what their libraries do; it is this one input's failure
        raise ReadingError("unreadable", f"{type(error).__name__}: {error}"[:300]) from None


def _stretch(member: Input) -> bytes:
    if not is_url(member.path) and Path(member.path).exists() and not Path(member.path).is_file():
        raise ReadingError(
            "not_a_file", "neither a regular file nor a link to one"
        )  # opening a pipe would wait for ever
    with open_binary(member.path) as file:
        if member.offset is None or member.size is None:
            return file.read()
        file.seek(member.offset)
        data = file.read(member.size)
    if len(data) != member.size:
        raise ReadingError(DAMAGED_ARCHIVE, f"the archive ends before this member's {member.size} bytes")
    return data


def is_url(path: str) -> bool:
    """Tell a URL that fsspec opens from a local path."""
    return "://" in path


def open_binary(path: str) -> IO[bytes]:
    """Open a local file or a URL for reading."""
    if not is_url(path):
        return Path(path).open("rb")
    system, place = fsspec.core.url_to_fs(path)
    return system.open(place, "rb")


def stat_size(path: str) -> int:
    """Return the size of a local file in bytes; -1 for one that is not there, and for URLs, which would cost a request."""
    if is_url(path):
        return -1
    try:
        return os.stat(path).st_size  # noqa: PTH116 - called a million times, and Path costs more than the call
    except OSError:
        return -1


_parquet_lock = Lock()


def _parquet_cell(path: str, row: int) -> bytes:
    """Return one image; a row group is read once for all of its rows."""
    with _parquet_lock:
        group, first = _row_group(path, row)
        cell = _image_column(path, group)[row - first].as_py()
    data = cell.get("bytes") if isinstance(cell, dict) else cell
    if data is None:
        raise ReadingError("empty_cell", "the image cell is empty")
    return data


def _row_group(path: str, row: int) -> tuple[int, int]:
    first = 0
    metadata = _parquet_file(path).metadata
    for group in range(metadata.num_row_groups):
        count = metadata.row_group(group).num_rows
        if row < first + count:
            return group, first
        first += count
    raise ReadingError("missing_row", f"the file has only {first} rows")


@lru_cache(maxsize=2)
def _parquet_file(path: str) -> pq.ParquetFile:
    return pq.ParquetFile(open_binary(path))


@lru_cache(maxsize=2)
def _image_column(path: str, group: int) -> Any:
    file = _parquet_file(path)
    column = image_column(file)
    assert column is not None  # the planner saw it
    return file.read_row_group(group, [column]).column(0)


def image_column(file: pq.ParquetFile) -> str | None:
    """Return the name of the column that holds image bytes: binary, or a struct with a `bytes` field."""
    for field in file.schema_arrow:
        kind = str(field.type)
        if kind in ("binary", "large_binary") or kind.startswith("struct<bytes: binary"):
            return field.name
    return None
