"""What of a PNG decides its pixels: its chunks, with their check sums tested (W3C PNG, section 5).

Pillow tests no check sum of pixel data, and gives an image up for what its texts or profile hold. Here pixels are tested
and the rest is left out: a chunk of metadata with a wrong check sum, or of any size, does the pixels no harm.
"""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass

MAGIC = b"\x89PNG\r\n\x1a\n"
END = b"\0\0\0\0IEND\xaeB`\x82"
METADATA = frozenset(
    b"tEXt zTXt iTXt iCCP gAMA cHRM sRGB pHYs tIME eXIf bKGD hIST sBIT sPLT acTL fcTL fdAT cICP mDCV cLLI mDCv cLLi "
    b"oFFs pCAL sCAL sTER gIFg gIFx gIFt dSIG caNv orNT vpAg iDOT".split()
)
"""The registered chunks that change no pixel; frames after the first count as such."""
ORIENTATION_KEYWORDS = (b"Raw profile type exif", b"XML:com.adobe.xmp")
LARGEST_TEXT = 2**20
"""Bytes of a text, decompressed, that is looked into for an orientation."""


@dataclass(frozen=True)
class Chunk:
    """kind: its four letters. whole: length, letters, content and check sum. sound: the check sum is there and right."""

    kind: bytes
    whole: memoryview
    sound: bool

    @property
    def content(self) -> memoryview:
        return self.whole[8:-4]


def pixels_of_png(data: bytes) -> bytes:
    """Return a PNG of the chunks that decide pixels and orientation only; an end that is missing is added.

    Raises `ValueError` where a chunk that is not known to be metadata is cut short or has a wrong check sum.
    """
    kept: list[bytes | memoryview] = [MAGIC]
    keywords: set[bytes] = set()
    for chunk in _chunks(memoryview(data)):
        if chunk.kind not in METADATA:
            if not chunk.sound:
                raise ValueError(f"broken PNG: chunk {chunk.kind!r} is cut short or has a wrong check sum")
            kept.append(chunk.whole)
        elif chunk.sound and (keyword := _tells_orientation(chunk)) and keyword not in keywords:
            keywords.add(keyword)
            kept.append(chunk.whole)
    return b"".join([*kept, END])


def _chunks(data: memoryview) -> Iterator[Chunk]:
    """Yield the chunks before the end mark, or before the end of the data where less than a chunk's head is left."""
    place = len(MAGIC)
    while place + 8 <= len(data):
        end = place + 12 + int.from_bytes(data[place : place + 4])
        kind = bytes(data[place + 4 : place + 8])
        if kind == b"IEND":
            return
        whole = data[place:end]
        sound = end <= len(data) and zlib.crc32(whole[4:-4]) == int.from_bytes(whole[-4:])
        yield Chunk(kind, whole, sound)
        place = end


def _tells_orientation(chunk: Chunk) -> bytes | None:
    """Return by what name a chunk of metadata may give an orientation, None where it does not or is too large."""
    if chunk.kind == b"eXIf":
        return chunk.kind
    if chunk.kind not in (b"tEXt", b"zTXt", b"iTXt"):
        return None
    keyword, _, rest = bytes(chunk.content[: LARGEST_TEXT + 1]).partition(b"\0")
    return keyword if keyword in ORIENTATION_KEYWORDS and _is_small(chunk.kind, rest) else None


def _is_small(kind: bytes, rest: bytes) -> bool:
    """Tell whether a text, given from behind its keyword on, is at most `LARGEST_TEXT` long when decompressed."""
    if kind == b"tEXt" or (kind == b"iTXt" and rest[:1] == b"\0"):
        return len(rest) < LARGEST_TEXT
    packed = rest[1:] if kind == b"zTXt" else rest[2:].split(b"\0", 2)[-1]
    try:
        unpacking = zlib.decompressobj()
        return len(unpacking.decompress(packed, LARGEST_TEXT)) < LARGEST_TEXT
    except zlib.error:
        return False
