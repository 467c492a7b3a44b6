"""Which way up an image is stored (EXIF 2.3, tag 0x0112)."""

from PIL import Image

ORIENTATION_TAG = 0x0112
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What undoes each orientation."""
UNTURNS = {**TURNS, 6: TURNS[8], 8: TURNS[6]}
"""What turns an upright image into the stored one."""
SIDEWAYS = {TURNS[orientation] for orientation in (5, 6, 7, 8)}
"""The turns that make columns of rows."""


def orientation_of(image: Image.Image) -> int:
    """Return the EXIF orientation; metadata that cannot be read, or holds nonsense, counts as upright."""
    try:
        value = image.getexif().get(ORIENTATION_TAG, 1)
    except Exception:  # damaged metadata does not make the pixels unusable
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def swaps_sides(orientation: int | None) -> bool:
    """Tell whether an orientation makes columns of rows."""
    return orientation is not None and orientation >= 5
