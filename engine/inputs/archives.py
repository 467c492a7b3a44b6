"""Images inside larger files: webdataset tars and parquet files with image bytes. Only their directories are read here."""

import posixpath
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from ...errors import UnseeError
from ...formats import EXTENSIONS
from ...parquet import Table
from ..remote.filesystems import failure_of
from ..remote.opening import NOT_A_FILE, ReadingConfig, ReadingError, is_url, open_binary, size_of
from .cells import image_column
from .input import (
    BROKEN_LINK,
    DAMAGED_ARCHIVE,
    DUPLICATE_NAME,
    SPARSE_MEMBER,
    UNREADABLE_ARCHIVE,
    Input,
    UnreadableSourceError,
)
from .tar_members import DamagedTarError, TarMember, tar_members
from .trees import leave_out, mirrored, suffix_reason

COMPRESSED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd")
"""First bytes of gzip, bzip2, xz and zstd."""

PICTURES = frozenset(
    ".heic .heif .hif .jxl .jxr .psd .dds .svg .eps .exr .hdr .qoi .icns .dng .cr2 .cr3 .nef .arw .raf .orf .rw2 "
    ".raw".split()
)
"""Suffixes of images that cannot be read; other members of a tar that are no images are its captions and labels."""


Directories = Callable[[str], list[TarMember] | None]
"""Returns the members of a local tar where they were read ahead, None where they are to be read now."""


def tar_inputs(
    path: str, relative: str, reading: ReadingConfig, left_out: Counter[str], directories: Directories | None = None
) -> Iterator[Input]:
    """Yield the images of a tar, as img2dataset and clip-retrieval write them, by their place in it.

    Links come last, with the place of what they lead to. What follows a damaged header, what is no file, and a second
    member of one name become inputs with a problem: rows, never silence. Raises `UnreadableSourceError` on an archive
    that cannot be opened.
    """
    try:
        with open_binary(path, reading) as file:
            if file.read(6).startswith(COMPRESSED):
                message = f"{path}: a compressed tar cannot be read in place; unpack the compression first"
                raise UnreadableSourceError(message, UNREADABLE_ARCHIVE)
            read_ahead = directories(path) if directories and not is_url(path) else None
            members = tar_members(file, size_of(file)) if read_ahead is None else read_ahead
            yield from _TarImages(path, relative, left_out).inputs(members)
    except UnseeError:
        raise
    except Exception as error:  # remote file systems raise what their libraries do
        raise _unreadable(path, error) from None


def _unreadable(path: str, error: Exception) -> UnreadableSourceError:
    message = str(error) if isinstance(error, ReadingError) else ": ".join(failure_of(error, path))
    return UnreadableSourceError(f"{path}: cannot be read ({message})", UNREADABLE_ARCHIVE)


@dataclass
class _TarImages:
    """The images of one tar. files: place and size of every file seen. links: target and member by name."""

    path: str
    relative: str
    left_out: Counter[str]
    outputs: set[str] = field(default_factory=set)
    files: dict[str, tuple[int, int]] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)
    linked: list[tuple[int, str, TarMember]] = field(default_factory=list)

    def inputs(self, members: Iterable[TarMember]) -> Iterator[Input]:
        damage = False
        try:
            for number, member in enumerate(members):
                yield from self._own(number, member)
        except DamagedTarError:
            damage = True
        for number, output, member in self.linked:
            yield self._link(number, output, member)
        if damage:
            yield Input(self.path, problem_output(self.path, DAMAGED_ARCHIVE), problem=DAMAGED_ARCHIVE)

    def _own(self, number: int, member: TarMember) -> Iterator[Input]:
        """Yield a member's own input; note what links may need."""
        name = mirrored(member.name)
        if member.kind == "file":
            self.files.setdefault(name, (member.offset, member.size))
        elif member.kind in ("link", "symlink"):
            self.links.setdefault(name, _target(name, member))
        output, suffix = posixpath.splitext(name)
        if member.kind == "folder" or suffix.lower() not in EXTENSIONS:
            if member.kind == "file" and suffix.lower() in PICTURES:
                leave_out(self.left_out, suffix_reason(suffix.lower()))
            return
        problem = self._problem(name, member)
        if problem:
            unique = f"{self.relative}/{output}@{member.header}"
            yield Input(self.path, unique.replace("\0", ""), member.header, 0, problem=problem, suffix=suffix)
        elif member.kind == "file":
            yield Input(self.path, f"{self.relative}/{output}", member.offset, member.size, suffix=suffix)
        else:
            self.linked.append((number, output, member))

    def _problem(self, name: str, member: TarMember) -> str | None:
        if "\0" in name:
            return DAMAGED_ARCHIVE
        if name in self.outputs:
            return DUPLICATE_NAME
        self.outputs.add(name)
        return {"special": NOT_A_FILE, "sparse": SPARSE_MEMBER}.get(member.kind)

    def _link(self, number: int, output: str, member: TarMember) -> Input:
        suffix = posixpath.splitext(mirrored(member.name))[1]
        place = self._resolved(mirrored(member.name))
        if place is None:
            unique = f"{self.relative}/{output}@{member.header}"
            return Input(self.path, unique, member.header, 0, problem=BROKEN_LINK, suffix=suffix)
        return Input(self.path, f"{self.relative}/{output}", *place, row=number, suffix=suffix)

    def _resolved(self, name: str) -> tuple[int, int] | None:
        """Return place and size of the file that a chain of links ends at, None where it ends nowhere."""
        passed: set[str] = set()
        while name in self.links and name not in passed:
            passed.add(name)
            name = self.links[name]
        return self.files.get(name)


def _target(name: str, member: TarMember) -> str:
    """Return the name of what a link leads to: a hard link says it whole, a symbolic one from its own folder."""
    if member.kind == "link":
        return mirrored(member.target)
    joined = posixpath.normpath(posixpath.join(posixpath.dirname(name), member.target))
    return "" if joined.startswith(("/", "..")) else joined


def parquet_inputs(path: str, relative: str, reading: ReadingConfig) -> Iterator[Input] | None:
    """Return the images of a parquet file by their row, named by row number; None where it holds none.

    Raises `UnseeError` where the column that the user names holds none, `UnreadableSourceError` on a file that cannot be
    read.
    """
    try:
        with open_binary(path, reading) as file:
            table = Table(file)
            rows = table.metadata.num_rows if image_column(table.schema, reading.image_column, path) else None
    except UnseeError:
        raise
    except Exception as error:  # as above
        raise _unreadable(path, error) from None
    if rows is None:
        return None
    return (Input(path, f"{relative}/{row:08d}", row=row) for row in range(rows))


def problem_output(path: str, problem: str) -> str:
    """Return the output of an input that will have no map; no other input has it."""
    return mirrored(f"{path}/{problem}")
