"""The members of a tar, read header by header: a damaged or hostile one costs neither time nor memory.

Every size is checked against the archive's length before anything is read, and places only grow. tarfile, of which only
the decoding of a single header is used, follows negative sizes for ever, and reads a name as long as it is said to be.
"""

import os
import re
import stat
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import IO, Literal, NamedTuple, TypeAlias

BLOCK = 512
LONGEST_HEADER = 1 << 20
"""Bytes of a name or of extended attributes; file systems end at 4096 a name."""

MOST_MEMBERS = 20_000
"""Of a tar whose directory is held as a whole."""

MemberKind = Literal["file", "folder", "link", "symlink", "special", "sparse"]
KINDS: dict[bytes, MemberKind] = {
    tarfile.DIRTYPE: "folder",
    tarfile.LNKTYPE: "link",
    tarfile.SYMTYPE: "symlink",
    tarfile.CHRTYPE: "special",
    tarfile.BLKTYPE: "special",
    tarfile.FIFOTYPE: "special",
    tarfile.GNUTYPE_SPARSE: "sparse",
}
"""Types without data of their own, and sparse files; all others are files."""

ATTRIBUTES = (tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE)
LONG_NAMES = {tarfile.GNUTYPE_LONGNAME: "path", tarfile.GNUTYPE_LONGLINK: "linkpath"}
SPARSE_NAME, SPARSE_VERSIONS = "GNU.sparse.name", ("GNU.sparse.major", "GNU.sparse.map", "GNU.sparse.size")

ORDINARY = re.compile(
    rb"(?s)(.{100})(?:[0-7]{7}[\0 ]){3}([0-7]{11})[\0 ][0-7]{11}[\0 ]([0-7]{6})[\0 ]{2}([0x])(.{100}).{72}"
    rb"(?:\0{16}|(?:[0-7]{7}[\0 ]){2})(.{155}).{12}"
)
"""A header of a file or of attributes as nearly all programs write it: numbers in octal digits, to the width of their field.
Name, size, checksum, type, target and prefix."""
HALF = BLOCK // 2


class DamagedTarError(Exception):
    """A header that is none, or that leads out of the archive."""


class TarMember(NamedTuple):
    """A member of a tar. offset, size: where its data are. header: where its header is. target: what a link names."""

    name: str
    kind: MemberKind
    offset: int
    size: int
    header: int
    target: str


class OrdinaryHeader(NamedTuple):
    """What `tarfile.TarInfo` says of an ordinary header, as far as it is used here."""

    name: str
    size: int
    type: bytes
    linkname: str


_Header: TypeAlias = tarfile.TarInfo | OrdinaryHeader


@dataclass
class _Headers:
    """What extended headers have said: of the next member, and of all that follow."""

    next: dict[str, str] = field(default_factory=dict)
    all: dict[str, str] = field(default_factory=dict)

    def value(self, name: str, default: str) -> str:
        return self.next.get(name, self.all.get(name, default))


def tar_members(file: IO[bytes], length: int) -> Iterator[TarMember]:
    """Yield the members of an uncompressed tar of `length` bytes; raise `DamagedTarError` where it cannot go on."""
    offset, headers = 0, _Headers()
    while True:
        info = _header(file, offset, length)
        if info is None:
            return
        start = offset
        offset += BLOCK
        if info.type in (*ATTRIBUTES, *LONG_NAMES, tarfile.XGLTYPE):
            _extend(headers, info, _payload(file, offset, info.size, length))
            offset += _padded(info.size)
            continue
        kind = KINDS.get(info.type, "file")
        if kind == "sparse":
            offset = _behind_maps(file, start, length)
        size = _size(info, headers)
        if kind in ("file", "sparse"):
            _check(offset, size, length)
        yield _member(info, headers, kind, offset, size, start)
        offset += _padded(size) if kind in ("file", "sparse") else 0
        headers.next.clear()


def tar_directory(path: str) -> list[TarMember] | None:
    """Return the members of a tar on this machine; None where it is damaged, unreadable, or has more than `MOST_MEMBERS`."""
    try:
        status = os.stat(path)  # noqa: PTH116 - a name of many bytes costs less this way
        if not stat.S_ISREG(status.st_mode):
            return None
        with open(path, "rb") as file:  # noqa: PTH123 - likewise
            members = list(islice(tar_members(file, status.st_size), MOST_MEMBERS + 1))
    except (DamagedTarError, OSError, ValueError):
        return None
    return members if len(members) <= MOST_MEMBERS else None


def _member(info: _Header, headers: _Headers, kind: MemberKind, offset: int, size: int, start: int) -> TarMember:
    if any(name in headers.next for name in SPARSE_VERSIONS):
        kind = "sparse"
    name = headers.value(SPARSE_NAME, headers.value("path", info.name))
    return TarMember(name, kind, offset, size, start, headers.value("linkpath", info.linkname))


def _header(file: IO[bytes], offset: int, length: int) -> _Header | None:
    """Return the header at a place, None at the end of the archive."""
    if offset and offset == length:
        return None  # without the two empty blocks that should end it, as some writers leave it
    block = _payload(file, offset, BLOCK, length)
    ordinary = ordinary_header(block)
    if ordinary:
        return ordinary
    if not block.strip(b"\0"):
        return None
    try:
        return tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.HeaderError as error:
        raise DamagedTarError(f"no header at byte {offset}: {error}") from None


def ordinary_header(block: bytes) -> OrdinaryHeader | None:
    """Return what an ordinary header says, as tarfile does in four times as long; None for any other."""
    found = ORDINARY.fullmatch(block)
    if not found:
        return None
    name, size, checksum, kind, target, prefix = found.groups()
    if int(checksum, 8) != _sum(block[:HALF]) + _sum(block[HALF:]) - sum(block[148:156]) + 8 * ord(" "):
        return None
    name, target, prefix = (_text(field) for field in (name, target, prefix))
    return OrdinaryHeader(f"{prefix}/{name}" if prefix else name, int(size, 8), kind, target)


def _sum(half: bytes) -> int:
    """Return the sum of at most 256 bytes: what Adler's checksum holds before it wraps around, at 65521."""
    return (zlib.adler32(half) & 0xFFFF) - 1


def _text(field: bytes) -> str:
    return field.partition(b"\0")[0].decode("utf-8", "surrogateescape")


def _payload(file: IO[bytes], offset: int, size: int, length: int) -> bytes:
    _check(offset, size, length)
    if size > LONGEST_HEADER:
        raise DamagedTarError(f"a header of {size} bytes at byte {offset}")
    file.seek(offset)
    data = file.read(size)
    if len(data) != size:
        raise DamagedTarError(f"the archive ends within a header at byte {offset}")
    return data


def _check(offset: int, size: int, length: int) -> None:
    if size < 0 or offset + size > length:
        raise DamagedTarError(f"{size} bytes at byte {offset} of an archive of {length}")


def _padded(size: int) -> int:
    return -(-size // BLOCK) * BLOCK


def _size(info: _Header, headers: _Headers) -> int:
    text = headers.value("size", str(info.size))
    if not text.isascii() or not text.removeprefix("-").isdigit() or len(text) > 20:
        raise DamagedTarError(f"a size of {text[:20]!r}")
    return int(text)


def _extend(headers: _Headers, info: _Header, data: bytes) -> None:
    """Take in an extended header; the names of GNU's end at the first NUL, those of PAX hold what they hold."""
    if info.type in LONG_NAMES:
        name = data.partition(b"\0")[0].decode("utf-8", "surrogateescape")
        headers.next[LONG_NAMES[info.type]] = name
    else:
        (headers.all if info.type == tarfile.XGLTYPE else headers.next).update(_records(data))


def _records(data: bytes) -> Iterator[tuple[str, str]]:
    """Yield the records of a PAX header: `LENGTH NAME=VALUE` and a line end each, LENGTH counting all of it."""
    place = 0
    while place < len(data) and data[place]:
        digits = data[place : place + 10].partition(b" ")[0]
        end = place + int(digits) if digits.isdigit() else 0
        record = data[place + len(digits) + 1 : end - 1]
        if not place + len(digits) + 2 < end <= len(data) or b"=" not in record:
            raise DamagedTarError("extended attributes that are none")
        name, _, value = record.partition(b"=")
        yield name.decode("utf-8", "surrogateescape"), value.decode("utf-8", "surrogateescape")
        place = end


def _behind_maps(file: IO[bytes], start: int, length: int) -> int:
    """Return where the data of a sparse member begin: behind the blocks that list its holes."""
    more = _payload(file, start, BLOCK, length)[482]
    offset = start + BLOCK
    while more:
        more = _payload(file, offset, BLOCK, length)[504]
        offset += BLOCK
    return offset
