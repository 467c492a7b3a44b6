"""Tars as no honest writer makes them, built header by header."""

import io
import tarfile

MEMBER = b"bytes of the member"


def header(name: str, size: int = 0, kind: bytes = tarfile.REGTYPE, target: str = "") -> bytearray:
    """Return the block of one header."""
    info = tarfile.TarInfo(name)
    info.size, info.type, info.linkname = size, kind, target
    return bytearray(info.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape"))


def with_size(block: bytearray, size: int) -> bytearray:
    """Write any size into a header, negative and huge ones too, with a checksum that fits."""
    block[124:136] = (b"\xff" if size < 0 else b"\x80") + size.to_bytes(11, "big", signed=True)
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return block


def padded(data: bytes) -> bytes:
    """Fill up the last block."""
    return data + bytes(-len(data) % 512)


def member(name: str, data: bytes = MEMBER) -> bytes:
    """Return a whole member."""
    return bytes(header(name, len(data))) + padded(data)


def attributes(kind: bytes = tarfile.XHDTYPE, **values: bytes) -> bytes:
    """Return an extended header of the given records."""
    records = b""
    for name, value in values.items():
        body = b" " + name.encode() + b"=" + value + b"\n"
        length = len(body) + len(str(len(body) + 2))
        records += str(length).encode() + body
    return bytes(header("pax", len(records), kind)) + padded(records)


def hostile_tars(image: bytes = MEMBER) -> dict[str, bytes]:
    """Return archives by what is wrong with them; each begins with the whole member `first.jpg`."""
    first = member("first.jpg", image)
    end = bytes(1024)
    return {
        "negative-size": first + bytes(with_size(header("a.jpg"), -1024)) + end,
        "negative-size-in-pax": first + attributes(size=b"-512") + bytes(header("a.jpg")) + end,
        "size-2-62": first + bytes(with_size(header("a.jpg"), 2**62)) + end,
        "long-name-2-40": first + bytes(with_size(header("././@LongLink", 0, tarfile.GNUTYPE_LONGNAME), 2**40)) + end,
        "pax-of-2-40": first + bytes(with_size(header("pax", 0, tarfile.XHDTYPE), 2**40)) + end,
        "nul-in-pax-path": first + attributes(path=b"b\0c.jpg") + member("b.jpg") + end,
        "pax-that-is-none": first + bytes(header("pax", 20, tarfile.XHDTYPE)) + padded(b"99999999999 path=x.jpg") + end,
        "junk-header": first + b"\x55" * 512 + end,
        "cut-off-header": first + bytes(header("a.jpg"))[:300],
        "cut-off-data": first + bytes(header("a.jpg", 5000)) + b"x" * 700,
    }


def linked_tar(image: bytes) -> bytes:
    """Return an archive of a file, links of every kind to it, and members that are no files."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, kind, target in [
            ("late.jpg", tarfile.SYMTYPE, "d/a.jpg"),
            ("d/a.jpg", tarfile.REGTYPE, ""),
            ("d/hard.jpg", tarfile.LNKTYPE, "d/a.jpg"),
            ("d/soft.jpg", tarfile.SYMTYPE, "a.jpg"),
            ("e/up.jpg", tarfile.SYMTYPE, "../d/soft.jpg"),
            ("chain.jpg", tarfile.SYMTYPE, "e/alias"),
            ("e/alias", tarfile.SYMTYPE, "up.jpg"),
            ("gone.jpg", tarfile.SYMTYPE, "nowhere.jpg"),
            ("out.jpg", tarfile.SYMTYPE, "/etc/passwd"),
            ("loop.jpg", tarfile.SYMTYPE, "pool.jpg"),
            ("pool.jpg", tarfile.SYMTYPE, "loop.jpg"),
            ("fifo.jpg", tarfile.FIFOTYPE, ""),
            ("device.jpg", tarfile.CHRTYPE, ""),
            ("folder.jpg", tarfile.DIRTYPE, ""),
        ]:
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, target
            info.size = len(image) if kind == tarfile.REGTYPE else 0
            archive.addfile(info, io.BytesIO(image))
    return buffer.getvalue()


LINKED = ("d/a.jpg", "late.jpg", "d/hard.jpg", "d/soft.jpg", "e/up.jpg", "chain.jpg")
UNLINKED = {
    "gone": "broken_link", "out": "broken_link", "loop": "broken_link", "pool": "broken_link",
    "fifo": "not_a_file", "device": "not_a_file",
}  # fmt: skip
"""The members of `linked_tar` that are images, and what is wrong with the others."""
