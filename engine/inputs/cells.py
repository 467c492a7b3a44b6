"""Images in the cells of parquet files, told by the type of their column, whoever wrote the file."""

from functools import lru_cache
from threading import Lock
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ...errors import UnseeError
from ...parquet import Table
from ..remote.opening import TOO_LARGE, ReadingConfig, ReadingError, check_size, open_binary

IMAGE_COLUMNS = ("image", "img", "jpg", "jpeg", "png", "webp", "bytes", "content", "data")
"""Usual names, which decide between several columns that could hold images."""


def image_column(schema: pa.Schema, name: str | None, path: str) -> str | None:
    """Return the name of the column that holds images, None where no column can.

    name: the column that the user names, None for the usual names, else the first of a type that can hold images: binary,
    or a struct with a binary field `bytes`, in any width and encoding. Raises `UnseeError` where the named one cannot.
    """
    able = [field.name for field in schema if holds_image(field.type)]
    if name is None:
        return next((usual for usual in IMAGE_COLUMNS if usual in able), able[0] if able else None)
    if name in able:
        return name
    if name not in schema.names:
        raise UnseeError(f"{path}: no column {name}, of {', '.join(schema.names)}; name one with --image-column")
    kind = schema.field(name).type
    raise UnseeError(f"{path}: column {name} is {kind}, not image bytes (binary, or a struct with a field bytes)")


def holds_image(kind: pa.DataType) -> bool:
    """Tell whether a column of this type can hold image files."""
    kind = plain_type(kind)
    if not pa.types.is_struct(kind):
        return holds_bytes(kind)
    return any(field.name == "bytes" and holds_bytes(plain_type(field.type)) for field in kind.fields)


def holds_bytes(kind: pa.DataType) -> bool:
    """Tell whether a plain type is one of the binary ones."""
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or _is(kind, "is_binary_view")


def holds_text(kind: pa.DataType) -> bool:
    """Tell whether a plain type is one of text."""
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or _is(kind, "is_string_view")


def plain_type(kind: pa.DataType) -> pa.DataType:
    """Return the type of the values of a dictionary-encoded or extension type."""
    while True:
        if pa.types.is_dictionary(kind):
            kind = kind.value_type
        elif isinstance(kind, pa.BaseExtensionType):
            kind = kind.storage_type
        else:
            return kind


def _is(kind: pa.DataType, test: str) -> bool:
    """Apply a test that older versions of pyarrow lack."""
    return bool(getattr(pa.types, test, lambda _: False)(kind))


LARGE_IMAGES = 4
"""Images of the largest size that a row group may hold, since it is read as a whole."""

_lock = Lock()


def image_cell(path: str, row: int, reading: ReadingConfig) -> bytes | str:
    """Return the image in a row of a parquet file, or the path of its file, where the cell holds only that.

    A row group is read once for all of its rows. Raises `ReadingError` with code `empty_cell`, `missing_row`, `too_large`.
    """
    with _lock:
        group, first = _row_group(path, row, reading)
        cell = _group_images(path, group, reading)[row - first].as_py()
    data = cell.get("bytes") if isinstance(cell, dict) else cell
    if data is not None:
        check_size(len(data), reading, "the image cell")
        return data
    place = cell.get("path") if isinstance(cell, dict) else None
    if not isinstance(place, str) or not place or "\0" in place:
        raise ReadingError("empty_cell", "the image cell is empty")
    return place


def _row_group(path: str, row: int, reading: ReadingConfig) -> tuple[int, int]:
    first = 0
    metadata = _parquet_file(path, reading).metadata
    for group in range(metadata.num_row_groups):
        count = metadata.row_group(group).num_rows
        if row < first + count:
            return group, first
        first += count
    raise ReadingError("missing_row", f"the file has only {first} rows")


@lru_cache(maxsize=2)
def _parquet_file(path: str, reading: ReadingConfig) -> Table:
    return Table(open_binary(path, reading))


@lru_cache(maxsize=2)
def _group_images(path: str, group: int, reading: ReadingConfig) -> Any:
    file = _parquet_file(path, reading)
    column = image_column(file.schema, reading.image_column, path)
    if column is None:
        raise ReadingError("missing_row", "the file holds no images any more")
    metadata = file.metadata.row_group(group)
    size, most = column_size(metadata, column), reading.max_bytes * min(metadata.num_rows, LARGE_IMAGES)
    if size > most:
        message = (
            f"its row group holds {size} bytes of images, more than {most}: raise --max-bytes, or write smaller ones"
        )
        raise ReadingError(TOO_LARGE, message)
    return file.row_group(group, [column]).column(0)


def column_size(group: pq.RowGroupMetaData, column: str) -> int:
    """Return the bytes that a column, with the fields below it, takes in a row group once it is unpacked."""
    chunks = (group.column(index) for index in range(group.num_columns))
    return sum(chunk.total_uncompressed_size for chunk in chunks if chunk.path_in_schema.split(".")[0] == column)
