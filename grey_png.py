"""Writing grey pictures as PNG, several times as fast as by Pillow, and smaller: saliency maps are smooth and masks flat.

Every row is stored as its difference from the one above, runs of equal bytes are all that is looked for (W3C PNG, section 9;
zlib's strategy Z_RLE).
"""

import struct
import zlib

import numpy as np

from .png import MAGIC

UP = 2
"""The filter of rows that are differences from the row above."""
LEVEL, WINDOW, MEMORY = 1, 15, 8
EIGHT_BITS_GREY = (8, 0, 0, 0, 0)
"""Bits, kind of colour, compression, filters and interlacing in the header."""


def grey_png(pixels: np.ndarray) -> bytes:
    """Return a picture, uint8 [H,W] of at least one pixel, as a PNG file."""
    height, width = pixels.shape
    rows = np.empty((height, width + 1), np.uint8)
    rows[:, 0] = UP
    rows[0, 1:] = pixels[0]
    np.subtract(pixels[1:], pixels[:-1], out=rows[1:, 1:])
    compressor = zlib.compressobj(LEVEL, zlib.DEFLATED, WINDOW, MEMORY, zlib.Z_RLE)
    data = compressor.compress(rows.data) + compressor.flush()
    header = struct.pack(">IIBBBBB", width, height, *EIGHT_BITS_GREY)
    return b"".join([MAGIC, _chunk(b"IHDR", header), _chunk(b"IDAT", data), _chunk(b"IEND", b"")])


def _chunk(kind: bytes, content: bytes) -> bytes:
    return b"".join([struct.pack(">I", len(content)), kind, content, struct.pack(">I", zlib.crc32(kind + content))])
