"""Opening images, in one place: by format, size and check sums, without a look at the file's name."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from threading import Lock
from zlib import crc32

from PIL import Image

from . import jpeg, png
from .errors import DecodingError
from .formats import FORMATS, WEAKLY_SIGNED, foreign_format

MOST_PIXELS = 100_000_000
LONGEST_MESSAGE = 300
_pillows_limit = Lock()


def open_image(source: bytes | Path, most_pixels: int = MOST_PIXELS) -> Image.Image:
    """Open an image of one of `FORMATS` from its bytes or its path; pixels are read when they are used.

    Raises `DecodingError` with code `empty_file`, `unsupported_format`, `not_an_image`, `too_large` (more than
    `most_pixels`) or `damaged`, `OSError` where a path cannot be read. Reading pixels may still find them damaged:
    Pillow then raises almost anything, see `damaged`.
    """
    data = source.read_bytes() if isinstance(source, Path) else source
    if not data:
        raise DecodingError("empty_file", "the file is empty")
    if name := foreign_format(data):
        raise DecodingError("unsupported_format", f"format {name} is not among {', '.join(available_formats())}")
    try:
        return _opened(data, most_pixels)
    except DecodingError:
        raise
    except Image.UnidentifiedImageError:
        raise _unidentified(data) from None
    except Exception as error:  # whatever a hostile file makes Pillow raise is that one image's failure
        raise damaged(error) from None


def damaged(error: Exception) -> DecodingError:
    """Return the failure of an image whose bytes made Pillow raise `error`."""
    return DecodingError("damaged", f"{type(error).__name__}: {error}"[:LONGEST_MESSAGE])


def _unidentified(data: bytes) -> DecodingError:
    """Return the failure of a file of which Pillow cannot read as much as the header."""
    if name := signed_format(data):
        return DecodingError("damaged", f"begins as {name}, but its header cannot be read")
    return DecodingError("not_an_image", f"not an image of a supported format ({', '.join(available_formats())})")


def signed_format(data: bytes) -> str | None:
    """Return the name of the format whose signature an image file begins with; None where that could be chance."""
    for name in available_formats():
        accepts = Image.OPEN[name][1]
        if name not in WEAKLY_SIGNED and accepts and accepts(data[:16]) is True:
            return name
    return None


@cache
def available_formats() -> tuple[str, ...]:
    """Return those of `FORMATS` that the installed Pillow reads."""
    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)


def _opened(data: bytes, most_pixels: int) -> Image.Image:
    checked = _checked(data)
    image = _identified(checked)
    if image.width * image.height > most_pixels:
        raise DecodingError("too_large", f"{image.width}x{image.height} is more than {most_pixels} pixels")
    if image.format in ("JPEG", "MPO") and jpeg.lacks_end(checked):
        return _identified(_ended(checked))
    return image


def _checked(data: bytes) -> bytes:
    """Return the bytes that decide an image's pixels, once the check sums of its format have been tested."""
    if data.startswith(png.MAGIC):
        return png.pixels_of_png(data)
    for embedded in _pngs_in_icon(data):
        png.pixels_of_png(embedded)
    return data


def _pngs_in_icon(data: bytes) -> Iterator[bytes]:
    """Yield the PNGs among an ICO's images."""
    if not data.startswith(b"\0\0\1\0"):
        return
    for entry in range(6, 6 + 16 * int.from_bytes(data[4:6], "little"), 16):
        size, start = (int.from_bytes(data[place : place + 4], "little") for place in (entry + 8, entry + 12))
        if data.startswith(png.MAGIC, start):
            yield data[start : start + size]


def _identified(data: bytes) -> Image.Image:
    try:
        return Image.open(io.BytesIO(data), formats=available_formats())
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        with _without_pillows_limit():
            return Image.open(io.BytesIO(data), formats=available_formats())


@contextmanager
def _without_pillows_limit() -> Iterator[None]:
    """Suspend Pillow's limit of pixels, which is the process's, for as long as one header takes: ours decides."""
    with _pillows_limit:
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def _ended(data: bytes) -> bytes:
    """Return a JPEG with the end mark that it lacks, given that its pixels do not depend on what stands before that."""
    if not jpeg.has_all_scans(data):
        raise OSError("image file is truncated: scans are missing")
    start = data.rstrip(b"\xff")  # half an end mark
    ends = [start + filler + jpeg.END for filler in jpeg.FILLERS]
    if len({crc32(_identified(end).tobytes()) for end in ends}) > 1:
        raise OSError("image file is truncated: its last scan lines are missing")
    return ends[0]
