"""One row per input: what became of it."""

from dataclasses import asdict, dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from ..files import atomic_path

SUCCESS = "success"

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
        ("label", pa.int32()),
        ("label_name", pa.string()),
        ("score", pa.float32()),
        ("raw_max", pa.float32()),
        ("map_mean", pa.float32()),
    ]
)


@dataclass(frozen=True)
class Row:
    """A row of a shard's parquet file.

    status: `success` or the stage that failed (`failed_to_read`, `failed_to_decode`, `failed_to_descend`). width,
    height: pixels as displayed. sha256: of the input's bytes. label, score: the class that was unseen and its
    probability in the original image. raw_max: largest mean change of a pixel in grey levels, 0 for a flat map.
    map_mean: mean of the finished map, 0 to 1.
    """

    key: str
    path: str
    output: str
    status: str
    error_code: str | None = None
    error_message: str | None = None
    width: int | None = None
    height: int | None = None
    orientation: int | None = None
    sha256: str | None = None
    label: int | None = None
    label_name: str | None = None
    score: float | None = None
    raw_max: float | None = None
    map_mean: float | None = None


def write_rows(path: Path, rows: list[Row]) -> None:
    """Write the rows of a shard, atomically."""
    with atomic_path(path) as temporary:
        pq.write_table(pa.Table.from_pylist([asdict(row) for row in rows], SCHEMA), temporary)


def printable(path: str) -> str:
    """Return a path as valid UTF-8: bytes that are not become escapes."""
    return path.encode(errors="surrogateescape").decode(errors="backslashreplace")
