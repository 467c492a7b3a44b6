"""The journal of a shard that is not done: its finished images, so that an interrupted or killed run keeps them.

A record is a line of JSON and the bytes that it announces. Nothing is forced to disk: a record that is cut or changed is the
end of what is read, and every map is checked against its row's digest before it is taken over.
"""

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

from .layout import journal_path
from .output_formats import map_reader
from .plan import Plan
from .rows import Row, Stored
from .sink import MapReader, Planned


class Journal:
    """Appends finished images to those that an earlier run has left."""

    def __init__(self, plan: Plan, shard: int) -> None:
        self.path = journal_path(plan.folder, shard)
        self.with_maps = plan.files.sink.in_archive
        self._file = self.path.open("ab", buffering=0)

    def add(self, row: Row, stored: Stored | None) -> None:
        """Append an image that succeeded."""
        saliency, mask = (stored.saliency, stored.mask) if stored and self.with_maps else (b"", None)
        head = {"row": asdict(row), "bytes": [len(saliency), None if mask is None else len(mask)]}
        self._file.write(json.dumps(head).encode() + b"\n" + saliency + (mask or b"") + b"\n")

    def close(self) -> None:
        """Close the file and leave it for the next run."""
        self._file.close()

    def remove(self) -> None:
        """Remove the journal: its shard is done."""
        self.path.unlink(missing_ok=True)


def journaled(plan: Plan, shard: int) -> tuple[dict[str, Row], MapReader]:
    """Return the rows that a shard's journal keeps, by key, and what reads their maps; what is damaged is cut off."""
    path = journal_path(plan.folder, shard)
    rows: dict[str, Row] = {}
    places: dict[str, tuple[int, int, int | None]] = {}
    if path.exists():
        with path.open("r+b") as file:
            for row, place in _records(file):
                rows[row.key], places[row.key] = row, place
    if not plan.files.sink.in_archive:
        return rows, map_reader(plan.folder, shard, plan.files.output_format)

    def read(planned: Planned) -> Stored | None:
        start, size, mask = places[planned.key]
        with path.open("rb") as file:
            file.seek(start)
            return Stored(file.read(size), None if mask is None else file.read(mask))

    return rows, read


def drop_journal(folder: Path, shard: int) -> None:
    """Remove the journal of a shard, if there is one."""
    journal_path(folder, shard).unlink(missing_ok=True)


def _records(file: IO[bytes]) -> Iterator[tuple[Row, tuple[int, int, int | None]]]:
    """Yield rows and the places of their maps; the file is cut where the first damaged record begins."""
    end = file.seek(0, 2)
    start = file.seek(0)
    while start < end:
        record = _record(file)
        if record is None or file.tell() > end:
            file.truncate(start)
            return
        yield record
        start = file.tell()


def _record(file: IO[bytes]) -> tuple[Row, tuple[int, int, int | None]] | None:
    with suppress(ValueError, TypeError, KeyError, RecursionError):
        head: dict[str, Any] = json.loads(file.readline())
        size, mask = head["bytes"]
        row, start = Row(**head["row"]), file.tell()
        file.seek(size + (mask or 0), 1)
        if file.read(1) == b"\n":
            return row, (start, size, mask)
    return None
