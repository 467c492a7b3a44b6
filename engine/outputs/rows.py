"""One row per input: what became of it."""

from collections.abc import Collection
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ...errors import UnseeError, first_line
from ...files import flush_and_rename, temporary_of
from ...names import printable
from ...parquet import Table

SUCCESS = "success"
MAP_COLUMN = "png"
MASK_COLUMN = "mask_png"
ROWS_AT_ONCE = 256

Retry = frozenset[str] | Literal["all"]
"""Error codes of failed images that are tried again."""

SCHEMA = pa.schema(
    [
        ("key", pa.string()),
        ("path", pa.string()),
        ("output", pa.string()),
        ("status", pa.string()),
        ("error_code", pa.string()),
        ("error_message", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("orientation", pa.int8()),
        ("sha256", pa.string()),
        ("target", pa.int32()),
        ("label", pa.int32()),
        ("label_name", pa.string()),
        ("score", pa.float64()),
        ("raw_max", pa.float64()),
        ("map_mean", pa.float64()),
        ("map_sha256", pa.string()),
        ("mask_area", pa.float64()),
        ("mask_sha256", pa.string()),
        ("box", pa.list_(pa.int32())),
        ("object_share", pa.float64()),
        ("objectness", pa.float64()),
        ("has_object", pa.bool_()),
    ]
)


WANTED_COLUMNS = {
    "segmentation": pa.struct([("size", pa.list_(pa.int32())), ("counts", pa.string())]),
    "area": pa.int64(),
    "bbox": pa.list_(pa.float64()),
}
"""Columns of those who ask for them, see `object_columns`."""
COLUMNS_WITH = {"rle": ("segmentation", "area"), "box": ("area", "bbox")}


@dataclass(frozen=True)
class Row:
    """A row of a shard's parquet file.

    status: `success` or the stage that failed (`failed_to_read`, `failed_to_decode`, `failed_to_descend`). width,
    height: pixels as displayed. sha256: of the input's bytes. target: index of the class that was unseen. label,
    label_name, score: the same, its name and its probability in the original image, None where the model cannot name
    things. raw_max: largest mean change of a pixel in grey levels, 0 for a flat map.
    map_mean: mean of the finished map, 0 to 1. map_sha256: of the map as it is stored. mask_area: share of the image
    that the mask covers. mask_sha256: of the mask as it is stored. box: left, top, width and height in
    pixels of what the map marks, None where that is nothing. object_share: of the image that it covers. objectness: 0 to
    1, how far the mean colour of what the map marks is from that of the rest. has_object: whether that is enough to call
    it an object. segmentation, area, bbox: see `object_columns`, None where nobody asked for them.
    """

    key: str
    path: str
    output: str
    status: str = SUCCESS
    error_code: str | None = None
    error_message: str | None = None
    width: int | None = None
    height: int | None = None
    orientation: int | None = None
    sha256: str | None = None
    target: int | None = None
    label: int | None = None
    label_name: str | None = None
    score: float | None = None
    raw_max: float | None = None
    map_mean: float | None = None
    map_sha256: str | None = None
    mask_area: float | None = None
    mask_sha256: str | None = None
    box: list[int] | None = None
    object_share: float | None = None
    objectness: float | None = None
    has_object: bool | None = None
    segmentation: dict[str, Any] | None = None
    area: int | None = None
    bbox: list[float] | None = None

    def printed(self) -> dict[str, Any]:
        """Return the row as it leaves the program: its names are valid UTF-8."""
        return {
            name: printable(value) if isinstance(value, str) else value
            for name, value in asdict(self).items()
            if value is not None or name not in WANTED_COLUMNS
        }

    def failed(self, status: str, code: str, message: str) -> "Row":
        """Return the row of an image that failed; what speaks of a map is taken back."""
        return Row(
            self.key,
            self.path,
            self.output,
            status,
            code,
            message,
            self.width,
            self.height,
            self.orientation,
            self.sha256,
        )


@dataclass(frozen=True)
class Stored:
    """An image's results in the form in which they are stored: its map and, where it was segmented, its mask."""

    saliency: bytes
    mask: bytes | None = None


class RowsWriter:
    """Streams rows into a parquet file, a few hundred in memory at a time; `close` gives it its final name.

    wanted: keys of `COLUMNS_WITH`.
    """

    def __init__(self, path: Path, with_maps: bool = False, wanted: Collection[str] = ()) -> None:
        self.path = path
        asked = {name for word in wanted for name in COLUMNS_WITH[word]}
        columns = [pa.field(name, kind) for name, kind in WANTED_COLUMNS.items() if name in asked]
        maps = [pa.field(name, pa.binary()) for name in (MAP_COLUMN, MASK_COLUMN)] if with_maps else []
        self.schema = pa.schema([*SCHEMA, *columns, *maps])
        self._writer = pq.ParquetWriter(temporary_of(path), self.schema)
        self._pending: list[dict[str, Any]] = []

    def add(self, row: Row, stored: Stored | None = None) -> None:
        """Append a row, with its map and mask where they are stored in the rows."""
        images = {MAP_COLUMN: stored.saliency, MASK_COLUMN: stored.mask} if stored else {}
        self._pending.append({**row.printed(), **images})
        if len(self._pending) == ROWS_AT_ONCE:
            self._write()

    def close(self) -> None:
        """Write what is pending, flush and rename."""
        self._write()
        self._writer.close()
        flush_and_rename(self.path)

    def abort(self) -> None:
        """Drop everything, on a full disk too."""
        with suppress(OSError):
            self._writer.close()
        temporary_of(self.path).unlink(missing_ok=True)

    def _write(self) -> None:
        if self._pending:
            self._writer.write_table(pa.Table.from_pylist(self._pending, self.schema))
            self._pending.clear()


def read_rows(path: Path, failures_only: bool = False) -> list[Row]:
    """Read the rows of a shard, None in columns that its version of unsee did not write yet.

    Raises `UnseeError` where the file is missing or damaged.
    """
    known = {field.name for field in fields(Row)}
    try:
        with path.open("rb") as source:
            file = Table(source)
            table = file.read([name for name in file.schema.names if name in known])
        if failures_only:
            table = table.filter(pc.field("status") != SUCCESS)
        return [Row(**row) for row in table.to_pylist()]
    except (OSError, ValueError, TypeError, pa.ArrowException) as error:
        raise unreadable_result(path, error) from None


def unreadable_result(path: Path, error: Exception) -> UnseeError:
    """Return what to say of a file of a finished shard that is missing or damaged."""
    reason = getattr(error, "strerror", None) or first_line(error)
    return UnseeError(f"{path} cannot be read ({reason}): unsee run --repair makes the shard again")
