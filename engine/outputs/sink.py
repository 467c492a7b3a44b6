"""What a format of results is: it takes the rows of a shard with their maps, names its files, and reads them back."""

import hashlib
import io
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np
from PIL import Image

from ...errors import FailedImageError
from ...grey_png import grey_png
from .layout import ROWS_FILE, rows_path
from .rows import Row, RowsWriter, Stored, read_rows

if TYPE_CHECKING:
    from ..methods.detection import Detection


class Storable(Protocol):
    """A finished image: its detection, and the picture and the mask that are stored of it (see `Picture`)."""

    @property
    def detection(self) -> "Detection": ...

    def pixels(self) -> np.ndarray: ...

    def mask(self) -> np.ndarray | None: ...


class Planned(Protocol):
    """An input of the plan: its key and where its results go."""

    @property
    def key(self) -> str: ...

    @property
    def input(self) -> Any: ...


MapReader = Callable[[Planned], Stored | None]


class UnstorableError(FailedImageError):
    """A map that cannot be stored under its name."""


class Sink:
    """Receives the rows of one shard in order, each with its encoded map and mask; this one stores the rows alone.

    A format of its own overrides what it does otherwise, its reader included. keeps_maps: whether maps are stored;
    in_archive: many in one file, so that a journal keeps those of an unfinished shard; keeps_pictures: as PNG. archive:
    the file that its reader needs, by shard. Everything is written under temporary names; `close` forces it to disk and
    gives it its final names. size: the side of the network's grid. wanted: columns that the rows have besides, see
    `RowsWriter`.
    """

    maps_in_rows: ClassVar[bool] = False
    keeps_maps: ClassVar[bool] = False
    in_archive: ClassVar[bool] = False
    keeps_pictures: ClassVar[bool] = False
    archive: ClassVar[str] = ROWS_FILE

    def __init__(self, folder: Path, shard: int, size: int, wanted: Collection[str] = ()) -> None:
        self.folder = folder
        self.size = size
        self.rows = RowsWriter(rows_path(folder, shard), self.maps_in_rows, wanted)

    def encode(self, picture: Storable) -> Stored:
        """Return the stored form: 8-bit PNGs. Called from several threads."""
        mask = picture.mask()
        return Stored(_png(picture.pixels()), None if mask is None else _png(mask))

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

    @classmethod
    def files_of_image(cls, output: str, masks: bool) -> Iterator[tuple[str, str]]:  # noqa: ARG003
        """Yield (what, path) of the files of one image that succeeds, besides those of its shard."""
        yield from ()

    @classmethod
    def files_of_shard(cls, shard: int, masks: bool) -> Iterator[tuple[str, str]]:  # noqa: ARG003
        """Yield (what, path) of the files of a shard, besides its rows."""
        yield from ()

    @classmethod
    def reader(cls, folder: Path, shard: int) -> MapReader:  # noqa: ARG003
        """Return a function from an input to its stored map and mask, None where there is no map."""
        return no_maps


def stored_rows(folder: Path, shard: int) -> list[Row]:
    """Read the rows of a shard in the plan's order."""
    return read_rows(rows_path(folder, shard))


def no_maps(planned: Planned) -> Stored | None:  # noqa: ARG001 - a map reader
    """Return None: there are no maps."""
    return None


def is_whole(row: Row, stored: Stored | None) -> bool:
    """Tell whether a row's map, and its mask where it has one, are the bytes that its digests speak of."""
    if stored is None:
        return False
    return _is(stored.saliency, row.map_sha256) and (row.mask_sha256 is None or _is(stored.mask, row.mask_sha256))


def _is(data: bytes | None, sha256: str | None) -> bool:
    return data is not None and hashlib.sha256(data).hexdigest() == sha256


def stored_or_none(saliency: bytes | None, mask: bytes | None) -> Stored | None:
    """Return what is stored, None where there is no map."""
    return None if saliency is None else Stored(saliency, mask)


def _png(pixels: np.ndarray) -> bytes:
    if pixels.ndim == 2:
        return grey_png(pixels)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG", compress_level=1)
    return buffer.getvalue()
