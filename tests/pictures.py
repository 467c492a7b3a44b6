"""Image files as programs write them, and as they become damaged on their way."""

import io
import struct
import zlib
from typing import Any

import numpy as np
from PIL import Image

PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
ADAM7 = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))
"""First row and column, and the steps between rows and columns, of each pass of an interlaced PNG."""


def picture(width: int = 64, height: int = 48) -> Image.Image:
    """Return a picture with a bright disk on a noisy ground."""
    y, x = np.mgrid[:height, :width]
    inside = (x - width / 2) ** 2 + (y - height / 3) ** 2 < (height / 4) ** 2
    noise = np.random.default_rng(0).integers(0, 90, (height, width, 3), np.uint8)
    return Image.fromarray(np.where(inside[..., None], np.uint8(230) - noise, noise))


def encoded(image: Image.Image, file_format: str, **options: Any) -> bytes:
    """Return an image as a file of a format."""
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def chunk(kind: bytes, content: bytes) -> bytes:
    """Return a PNG chunk with its check sum."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def with_chunk(png: bytes, made: bytes) -> bytes:
    """Return a PNG with another chunk behind its header."""
    return png[:33] + made + png[33:]


def interlaced_png(image: Image.Image) -> bytes:
    """Return an image as an interlaced PNG (Adam7), which Pillow only reads."""
    pixels = np.asarray(image.convert("RGB"))
    parts = [pixels[top::down, left::across] for top, left, down, across in ADAM7]
    rows = b"".join(b"\0" + row.tobytes() for part in parts for row in part)
    header = struct.pack(">IIBBBBB", image.width, image.height, 8, 2, 0, 0, 1)
    return PNG_MAGIC + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def flipped(data: bytes, first: int, last: int, seed: int) -> bytes:
    """Return the data with one bit flipped somewhere in the bytes from `first` to before `last`."""
    place = int(np.random.default_rng(seed).integers(8 * first, 8 * last))
    changed = bytearray(data)
    changed[place // 8] ^= 1 << place % 8
    return bytes(changed)


def cut(data: bytes, share: float) -> bytes:
    """Return the first part of a file."""
    return data[: int(len(data) * share)]
