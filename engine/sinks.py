"""Where finished maps go: files, webdataset tars, parquet, arrays, or nowhere."""

import io
import json
import tarfile
from dataclasses import asdict
from pathlib import Path

import numpy as np
from PIL import Image

from ..files import flush_and_rename, fsync, temporary_of
from .config import OutputFormat
from .detection import Detection
from .rows import Row, RowsWriter

ROWS_FILE = "{shard:05d}.parquet"
TAR_FILE = "{shard:05d}.tar"
ARRAY_FILE = "{shard:05d}.npy"


class Sink:
    """Receives the rows of one shard in order, each with its encoded map; this one stores the rows alone.

    Everything is written under temporary names; `close` forces it to disk and gives it its final names. size: the side
    of the network's grid.
    """

    maps_in_rows = False

    def __init__(self, folder: Path, shard: int, size: int) -> None:
        self.folder = folder
        self.size = size
        self.rows = RowsWriter(folder / ROWS_FILE.format(shard=shard), self.maps_in_rows)

    def encode(self, detection: Detection, width: int, height: int) -> bytes:
        """Return the stored form of a map: an 8-bit single-channel PNG at the image's size. Called from several threads."""
        buffer = io.BytesIO()
        Image.fromarray(detection.resized(width, height)).save(buffer, format="PNG", compress_level=1)
        return buffer.getvalue()

    def add(self, row: Row, data: bytes | None) -> None:
        """Store a row and its map; None stands for an input that failed."""
        self.rows.add(row, data if self.maps_in_rows else None)

    def close(self) -> None:
        """Make everything final."""
        self.rows.close()

    def abort(self) -> None:
        """Remove what is not final."""
        self.rows.abort()


class FilesSink(Sink):
    """PNG files under the mirrored relative paths."""

    def __init__(self, folder: Path, shard: int, size: int) -> None:
        super().__init__(folder, shard, size)
        self._written: list[Path] = []

    def add(self, row: Row, data: bytes | None) -> None:
        """Write `<output>.png` under a temporary name, then rename it."""
        if data is not None:
            path = self.folder / f"{row.output}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary = path.with_name(f".{row.key}.tmp")
            try:
                temporary.write_bytes(data)
                temporary.replace(path)
            finally:
                temporary.unlink(missing_ok=True)
            self._written.append(path)
        super().add(row, data)

    def close(self) -> None:
        """Force the maps and their folders to disk, once a shard: the kernel has written most of it by then."""
        for path in self._written:
            fsync(path)
        for folder in {path.parent for path in self._written}:
            fsync(folder)
        super().close()


class WebdatasetSink(Sink):
    """A tar with `<key>.png` and `<key>.json` of every success; times and owners are fixed for equal bytes."""

    def __init__(self, folder: Path, shard: int, size: int) -> None:
        super().__init__(folder, shard, size)
        self.path = folder / TAR_FILE.format(shard=shard)
        self._tar = tarfile.open(temporary_of(self.path), "w", format=tarfile.USTAR_FORMAT)  # noqa: SIM115 - closed in close

    def add(self, row: Row, data: bytes | None) -> None:
        """Append the two members of a success."""
        if data is not None:
            self._append(f"{row.key}.png", data)
            self._append(f"{row.key}.json", json.dumps(asdict(row), ensure_ascii=False).encode())
        super().add(row, data)

    def close(self) -> None:
        """Finish the tar."""
        self._tar.close()
        flush_and_rename(self.path)
        super().close()

    def abort(self) -> None:
        """Remove the tar."""
        self._tar.close()
        temporary_of(self.path).unlink(missing_ok=True)
        super().abort()

    def _append(self, name: str, data: bytes) -> None:
        info = tarfile.TarInfo(name)
        info.size = len(data)
        self._tar.addfile(info, io.BytesIO(data))
        self._tar.members.clear()  # pyright: ignore[reportAttributeAccessIssue]  # tarfile keeps every header it has written


class ParquetSink(Sink):
    """The PNG bytes in a column of the rows."""

    maps_in_rows = True


class ArraySink(Sink):
    """The raw maps, before any clean-up, as one float32 array [rows,S,S]; zeros stand for an input that failed."""

    def __init__(self, folder: Path, shard: int, size: int) -> None:
        super().__init__(folder, shard, size)
        self.path = folder / ARRAY_FILE.format(shard=shard)
        self._file = temporary_of(self.path).open("wb")
        self._count = 0
        self._write_header()

    def encode(self, detection: Detection, width: int, height: int) -> bytes:  # noqa: ARG002 - arrays keep the grid's size
        """Return the raw map's bytes."""
        return detection.raw.astype("<f4").tobytes()

    def add(self, row: Row, data: bytes | None) -> None:
        """Append one map."""
        self._file.write(data or bytes(4 * self.size**2))
        self._count += 1
        super().add(row, data)

    def close(self) -> None:
        """Write the final header, whose length does not depend on the count."""
        self._write_header()
        self._file.close()
        flush_and_rename(self.path)
        super().close()

    def abort(self) -> None:
        """Remove the array."""
        self._file.close()
        temporary_of(self.path).unlink(missing_ok=True)
        super().abort()

    def _write_header(self) -> None:
        self._file.seek(0)
        shape = (self._count, self.size, self.size)
        np.lib.format.write_array_header_1_0(self._file, {"descr": "<f4", "fortran_order": False, "shape": shape})


SINKS: dict[OutputFormat, type[Sink]] = {
    "files": FilesSink,
    "webdataset": WebdatasetSink,
    "parquet": ParquetSink,
    "npy": ArraySink,
    "dummy": Sink,
}
