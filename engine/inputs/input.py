"""One input as the plan holds it, and reading its bytes: a file, a URL, a stretch of a tar, a row of a parquet file."""

import os
import time
from dataclasses import dataclass

import pyarrow as pa

from ...errors import MissingExtraError, UnseeError
from ..remote.filesystems import UNKNOWN_PROTOCOL, failure_of
from ..remote.opening import (
    NOT_A_FILE,
    ReadingConfig,
    ReadingError,
    check_size,
    is_url,
    local_path,
    open_binary,
    open_stream,
    read_within,
)
from .cells import image_cell

BAD_LIST_ENTRY = "bad_list_entry"
BROKEN_LINK = "broken_link"
DAMAGED_ARCHIVE = "damaged_archive"
DUPLICATE_NAME = "duplicate_name"
SPARSE_MEMBER = "sparse_member"
UNREADABLE_ARCHIVE = "unreadable_archive"
UNREADABLE_FOLDER = "unreadable_folder"
UNREADABLE_LIST = "unreadable_list"

PROBLEMS = {
    BAD_LIST_ENTRY: "this entry of the list is no path: empty, no text, or with characters that no path has",
    BROKEN_LINK: "the link leads to no file in the archive",
    DAMAGED_ARCHIVE: "the archive is damaged here; what follows cannot be found",
    DUPLICATE_NAME: "the archive holds another image of this name",
    SPARSE_MEMBER: "stored with holes, which cannot be read in place: make the archive without --sparse",
    UNREADABLE_ARCHIVE: "not an archive that can be read: damaged, compressed or without permission",
    UNREADABLE_FOLDER: "the folder cannot be listed: no permission, or gone; none of its images is in the run",
    UNREADABLE_LIST: "the list cannot be read; none of its images is in the run",
    NOT_A_FILE: "neither a regular file nor a link to one",
    UNKNOWN_PROTOCOL: "nothing that is installed knows how to open such a URL",
}
"""What is found while planning, in words: the messages of the rows."""

DEFAULT_READING = ReadingConfig()


class UnreadableSourceError(UnseeError):
    """An archive or list that cannot be read: the end of the run where the user names it, a row where it is found."""

    def __init__(self, message: str, problem: str) -> None:
        super().__init__(message)
        self.problem = problem


@dataclass(frozen=True)
class Input:
    """One image to process.

    path: the file or URL. output: relative path of its map, without the map's extension. offset, size: its place in a
    tar, bytes. row: its place in a parquet file that holds images, or of a link among the members of a tar. problem: an
    error code found while planning. suffix: the extension of its name, which planning adds to `output` where two inputs
    would write one map.
    """

    path: str
    output: str
    offset: int | None = None
    size: int | None = None
    row: int | None = None
    problem: str | None = None
    suffix: str = ""

    @property
    def place(self) -> str:
        """Return a name that no other input has."""
        stretch = "" if self.offset is None else f"@{self.offset}"
        return f"{self.path}{stretch}" if self.row is None else f"{self.path}{stretch}#{self.row}"


def read(member: Input, reading: ReadingConfig = DEFAULT_READING) -> bytes:
    """Return the bytes of an input's image file; raise `ReadingError` where they cannot be had within bounds.

    Raises `MissingExtraError` where a URL needs a package that is not installed: no other input will fare better.
    """
    if member.problem:
        where = "" if member.offset is None else f" ({member.output}{member.suffix})"
        raise ReadingError(member.problem, PROBLEMS.get(member.problem, member.problem) + where)
    try:
        if member.offset is None and member.row is not None:
            return _cell(member.path, member.row, reading)
        return _stretch(member, reading)
    except (ReadingError, MissingExtraError):
        raise
    except Exception as error:  # remote file systems raise what their libraries do; it is this one input's failure
        raise ReadingError(*failure_of(error, member.path)) from None


def _stretch(member: Input, reading: ReadingConfig) -> bytes:
    deadline = time.monotonic() + reading.timeout
    if member.offset is None or member.size is None:
        with open_stream(member.path, reading) as file:
            if local_path(member.path) is not None:
                check_size(os.fstat(file.fileno()).st_size, reading)
            return read_within(file, reading, deadline)
    check_size(member.size, reading, "the archive's member")
    with open_binary(member.path, reading) as file:
        file.seek(member.offset)
        data = file.read(member.size)
    if len(data) != member.size:
        raise ReadingError(DAMAGED_ARCHIVE, f"the archive ends before this member's {member.size} bytes")
    return data


def _cell(path: str, row: int, reading: ReadingConfig) -> bytes:
    try:
        cell = image_cell(path, row, reading)
    except pa.ArrowException as error:
        raise ReadingError(DAMAGED_ARCHIVE, f"{type(error).__name__}: {error}"[:300]) from None
    return cell if isinstance(cell, bytes) else read(Input(located(cell, path), ""), reading)


def located(entry: str, holder: str) -> str:
    """Return where a path is that a list or another file holds: relative ones are seen from the holder's folder."""
    if is_url(entry) or entry.startswith("/"):
        return entry
    return f"{holder.rpartition('/')[0]}/{entry}" if "/" in holder else entry
