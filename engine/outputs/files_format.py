"""PNG files that mirror their inputs: `<output>.png` and, for masks, `<output>.mask.png`."""

import errno
from collections.abc import Collection, Iterator
from pathlib import Path

from ...files import fsync, temporary_of
from .layout import MAP_SUFFIX, MASK_SUFFIX
from .rows import Row, Stored
from .sink import MapReader, Sink, UnstorableError, stored_or_none

UNUSABLE_NAME = (errno.ENAMETOOLONG, errno.EILSEQ, errno.EINVAL, errno.ENOTDIR, errno.EISDIR, errno.ELOOP)
"""What a file system says of a name that it cannot hold: the failure of one image, not of the run."""


class FilesSink(Sink):
    """Files under the mirrored relative paths."""

    keeps_maps = keeps_pictures = True

    def __init__(self, folder: Path, shard: int, size: int, wanted: Collection[str] = ()) -> None:
        super().__init__(folder, shard, size, wanted)
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

    @classmethod
    def files_of_image(cls, output: str, masks: bool) -> Iterator[tuple[str, str]]:
        """See `Sink.files_of_image`."""
        yield "map", output + MAP_SUFFIX
        if masks:
            yield "mask", output + MASK_SUFFIX

    @classmethod
    def reader(cls, folder: Path, shard: int) -> MapReader:  # noqa: ARG003
        """See `Sink.reader`."""
        return lambda planned: stored_or_none(
            *(_file(folder / (planned.input.output + suffix)) for suffix in (MAP_SUFFIX, MASK_SUFFIX))
        )


def _file(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


SINK = FilesSink
