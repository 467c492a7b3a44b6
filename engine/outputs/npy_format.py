"""NumPy arrays of the raw maps, one file a shard."""

from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
from PIL import Image

from ...files import flush_and_rename, temporary_of
from .layout import ARRAY_FILE, MASKS_FILE
from .rows import SUCCESS, Row, Stored
from .sink import MapReader, Planned, Sink, Storable, stored_rows


class ArraySink(Sink):
    """The raw maps, before any clean-up, as one float32 array [rows,S,S]; zeros stand for an input that failed.

    Masks become a second array, uint8 with 0 and 255.
    """

    archive = ARRAY_FILE
    keeps_maps = in_archive = True

    def __init__(self, folder: Path, shard: int, size: int, wanted: Collection[str] = ()) -> None:
        super().__init__(folder, shard, size, wanted)
        self._maps = ArrayFile(folder / ARRAY_FILE.format(shard=shard), "<f4", size)
        self._masks = ArrayFile(folder / MASKS_FILE.format(shard=shard), "|u1", size)

    def encode(self, picture: Storable) -> Stored:
        """Return the bytes of the raw map and the mask, of the grid's size; what a letterbox shows is stretched to it."""
        detection = picture.detection
        mask = detection.resized_mask(self.size, self.size)
        assert detection.raw is not None  # see `RunConfig.keeps_raw`
        raw = detection.raw.astype("<f4")
        if raw.shape != (self.size, self.size):
            raw = np.asarray(Image.fromarray(raw).resize((self.size, self.size), Image.Resampling.BILINEAR))
        return Stored(raw.tobytes(), None if mask is None else mask.tobytes())

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

    @classmethod
    def files_of_shard(cls, shard: int, masks: bool) -> Iterator[tuple[str, str]]:
        """See `Sink.files_of_shard`."""
        yield "maps", ARRAY_FILE.format(shard=shard)
        if masks:
            yield "masks", MASKS_FILE.format(shard=shard)

    @classmethod
    def reader(cls, folder: Path, shard: int) -> MapReader:
        """See `Sink.reader`."""
        rows = {row.key: (place, row) for place, row in enumerate(stored_rows(folder, shard)) if row.status == SUCCESS}
        maps = np.load(folder / ARRAY_FILE.format(shard=shard), mmap_mode="r")
        masked = any(row.mask_sha256 for _, row in rows.values())
        masks = np.load(folder / MASKS_FILE.format(shard=shard), mmap_mode="r") if masked else None

        def read(planned: Planned) -> Stored | None:
            if planned.key not in rows:
                return None
            place, row = rows[planned.key]
            return Stored(
                maps[place].tobytes(), masks[place].tobytes() if masks is not None and row.mask_sha256 else None
            )

        return read


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


SINK = ArraySink
