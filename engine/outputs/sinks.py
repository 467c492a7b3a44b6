"""Where finished maps go: files, webdataset tars, parquet, arrays, or nowhere."""

import errno
import io
import json
import tarfile
from contextlib import suppress
from pathlib import Path

import numpy as np
from PIL import Image

from ...errors import FailedImageError
from ...files import flush_and_rename, fsync, temporary_of
from ..methods.detection import Detection
from .layout import ARRAY_FILE, MAP_SUFFIX, MASK_SUFFIX, MASKS_FILE, TAR_FILE, OutputFormat, rows_path
from .rows import Row, RowsWriter, Stored

UNUSABLE_NAME = (errno.ENAMETOOLONG, errno.EILSEQ, errno.EINVAL, errno.ENOTDIR, errno.EISDIR, errno.ELOOP)
"""What a file system says of a name that it cannot hold: the failure of one image, not of the run."""


class UnstorableError(FailedImageError):
    """A map that cannot be stored under its name."""


class Sink:
    """Receives the rows of one shard in order, each with its encoded map and mask; this one stores the rows alone.

    Everything is written under temporary names; `close` forces it to disk and gives it its final names. size: the side
    of the network's grid.
    """

    maps_in_rows = False

    def __init__(self, folder: Path, shard: int, size: int) -> None:
        self.folder = folder
        self.size = size
        self.rows = RowsWriter(rows_path(folder, shard), self.maps_in_rows)

    def encode(self, detection: Detection, width: int, height: int) -> Stored:
        """Return the stored form: 8-bit single-channel PNGs at the image's size. Called from several threads."""
        mask = detection.resized_mask(width, height)
        return Stored(_png(detection.resized(width, height)), None if mask is None else _png(mask))

    def add(self, row: Row, stored: Stored | None) -> None:
        """Store a row, its map and its mask; None stands for an input that failed."""
        self.rows.add(row, stored if self.maps_in_rows else None)

    def keep(self, row: Row, stored: Stored | None) -> None:
        """Store a row whose map an earlier run has made."""
        self.add(row, stored)

    def close(self) -> None:
        """Make everything final."""
        self.rows.close()

    def abort(self) -> None:
        """Remove what is not final."""
        self.rows.abort()


class FilesSink(Sink):
    """PNG files under the mirrored relative paths: `<output>.png` and, for masks, `<output>.mask.png`."""

    def __init__(self, folder: Path, shard: int, size: int) -> None:
        super().__init__(folder, shard, size)
        self._written: list[Path] = []

    def add(self, row: Row, stored: Stored | None) -> None:
        """Write the files under a temporary name, then rename them."""
        if stored is not None:
            try:
                self._write(row.output + MAP_SUFFIX, stored.saliency)
                if stored.mask is not None:
                    self._write(row.output + MASK_SUFFIX, stored.mask)
            except OSError as error:
                if error.errno not in UNUSABLE_NAME:
                    raise
                raise UnstorableError(errno.errorcode[error.errno], f"{error.filename}: {error.strerror}") from None
        super().add(row, stored)

    def keep(self, row: Row, stored: Stored | None) -> None:
        """Store the row: the files are there."""
        super().add(row, stored)

    def _write(self, name: str, data: bytes) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = temporary_of(path)
        try:
            temporary.write_bytes(data)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
        self._written.append(path)

    def close(self) -> None:
        """Force the maps and their folders to disk, once a shard: the kernel has written most of it by then."""
        for path in self._written:
            fsync(path)
        for folder in {path.parent for path in self._written}:
            fsync(folder)
        super().close()


class WebdatasetSink(Sink):
    """A tar with `<key>.png`, `<key>.mask.png` and `<key>.json` of every success, times and owners fixed for equal bytes."""

    def __init__(self, folder: Path, shard: int, size: int) -> None:
        super().__init__(folder, shard, size)
        self.path = folder / TAR_FILE.format(shard=shard)
        self._tar = tarfile.open(temporary_of(self.path), "w", format=tarfile.USTAR_FORMAT)  # noqa: SIM115 - closed in close

    def add(self, row: Row, stored: Stored | None) -> None:
        """Append the members of a success."""
        if stored is not None:
            self._append(f"{row.key}.png", stored.saliency)
            if stored.mask is not None:
                self._append(f"{row.key}.mask.png", stored.mask)
            self._append(f"{row.key}.json", json.dumps(row.printed(), ensure_ascii=False).encode())
        super().add(row, stored)

    def close(self) -> None:
        """Finish the tar."""
        self._tar.close()
        flush_and_rename(self.path)
        super().close()

    def abort(self) -> None:
        """Remove the tar, on a full disk too."""
        with suppress(OSError):
            self._tar.close()
        temporary_of(self.path).unlink(missing_ok=True)
        super().abort()

    def _append(self, name: str, data: bytes) -> None:
        info = tarfile.TarInfo(name)
        info.size = len(data)
        self._tar.addfile(info, io.BytesIO(data))
        self._tar.members.clear()  # pyright: ignore[reportAttributeAccessIssue]  # tarfile keeps every header it has written


class ParquetSink(Sink):
    """The PNG bytes in columns of the rows."""

    maps_in_rows = True


class ArraySink(Sink):
    """The raw maps, before any clean-up, as one float32 array [rows,S,S]; zeros stand for an input that failed.

    Masks become a second array, uint8 with 0 and 255.
    """

    def __init__(self, folder: Path, shard: int, size: int) -> None:
        super().__init__(folder, shard, size)
        self._maps = ArrayFile(folder / ARRAY_FILE.format(shard=shard), "<f4", size)
        self._masks = ArrayFile(folder / MASKS_FILE.format(shard=shard), "|u1", size)

    def encode(self, detection: Detection, width: int, height: int) -> Stored:  # noqa: ARG002 - arrays keep the grid's size
        """Return the bytes of the raw map and the mask."""
        mask = detection.resized_mask(self.size, self.size)
        return Stored(detection.raw.astype("<f4").tobytes(), None if mask is None else mask.tobytes())

    def add(self, row: Row, stored: Stored | None) -> None:
        """Append one map and mask."""
        self._maps.append(stored.saliency if stored else None)
        self._masks.append(stored.mask if stored else None)
        super().add(row, stored)

    def close(self) -> None:
        """Finish the arrays."""
        self._maps.close()
        self._masks.close(keep_empty=False)
        super().close()

    def abort(self) -> None:
        """Remove the arrays."""
        self._maps.abort()
        self._masks.abort()
        super().abort()


class ArrayFile:
    """A .npy file [rows,S,S] that grows by one S x S array at a time; absent ones are zeros."""

    def __init__(self, path: Path, dtype: str, size: int) -> None:
        self.path, self.dtype, self.size = path, dtype, size
        self._file = temporary_of(path).open("wb")
        self._count = self._present = 0
        self._write_header()

    def append(self, data: bytes | None) -> None:
        """Append one array."""
        self._file.write(data or bytes(np.dtype(self.dtype).itemsize * self.size**2))
        self._count += 1
        self._present += data is not None

    def close(self, keep_empty: bool = True) -> None:
        """Write the final header, whose length does not depend on the count; drop a file of nothing but absent arrays."""
        if not self._present and not keep_empty:
            self.abort()
            return
        self._write_header()
        self._file.close()
        flush_and_rename(self.path)

    def abort(self) -> None:
        """Remove the file, on a full disk too."""
        with suppress(OSError):
            self._file.close()
        temporary_of(self.path).unlink(missing_ok=True)

    def _write_header(self) -> None:
        self._file.seek(0)
        shape = (self._count, self.size, self.size)
        np.lib.format.write_array_header_1_0(self._file, {"descr": self.dtype, "fortran_order": False, "shape": shape})


def _png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG", compress_level=1)
    return buffer.getvalue()


SINKS: dict[OutputFormat, type[Sink]] = {
    "files": FilesSink,
    "webdataset": WebdatasetSink,
    "parquet": ParquetSink,
    "npy": ArraySink,
    "dummy": Sink,
}
