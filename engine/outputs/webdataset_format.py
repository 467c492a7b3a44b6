"""Tars of webdataset: `<key>.png`, `<key>.mask.png` and `<key>.json` of every success."""

import io
import json
import tarfile
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path

from ...files import flush_and_rename, temporary_of
from .layout import MAP_SUFFIX, MASK_SUFFIX, TAR_FILE
from .rows import Row, Stored
from .sink import MapReader, Sink, stored_or_none


class WebdatasetSink(Sink):
    """A tar a shard, times and owners fixed for equal bytes."""

    archive = TAR_FILE
    keeps_maps = in_archive = keeps_pictures = True

    def __init__(self, folder: Path, shard: int, size: int, wanted: Collection[str] = ()) -> None:
        super().__init__(folder, shard, size, wanted)
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

    @classmethod
    def files_of_shard(cls, shard: int, masks: bool) -> Iterator[tuple[str, str]]:  # noqa: ARG003
        """See `Sink.files_of_shard`."""
        yield "maps", TAR_FILE.format(shard=shard)

    @classmethod
    def reader(cls, folder: Path, shard: int) -> MapReader:
        """See `Sink.reader`."""
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

        return lambda planned: stored_or_none(*(member(planned.key + suffix) for suffix in (MAP_SUFFIX, MASK_SUFFIX)))


SINK = WebdatasetSink
